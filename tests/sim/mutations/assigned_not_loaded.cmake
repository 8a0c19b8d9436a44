# The last of the assigned partitions is not loaded.
set(file worker/lane/progress.c)
set(old [==[
    for (size_t i = 0; i < count; i++)
        assign(]==])
set(new [==[
    for (size_t i = 0; i + 1 < count; i++)
        assign(]==])
