# A log that went back counts as not published at all: known commands are published again.
set(file worker/lane/progress.c)
set(old [==[
        assign(progress, &floors[i], &stored[i]);]==])
set(new [==[
        assign(progress, &floors[i], &floors[i]);]==])
