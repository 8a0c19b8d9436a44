# The group's committed offset is not a floor.
set(file worker/lane/progress.c)
set(old [==[
        item->published = floor->offset;]==])
set(new [==[
        item->published = stored;]==])
