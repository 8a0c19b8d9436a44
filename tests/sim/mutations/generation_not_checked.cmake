# Waiting does not notice that the partitions went.
set(file worker/lane/wait.c)
set(old [==[
 && source_generation(lane->source) == generation;]==])
set(new [==[
;
    (void)generation;]==])
