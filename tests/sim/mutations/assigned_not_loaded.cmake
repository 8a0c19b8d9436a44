# The last of the assigned partitions is not loaded.
set(file worker/lane/progress.c)
set(old [==[
outcome == OUTCOME_OK && i < count; i++)
        assign(]==])
set(new [==[
outcome == OUTCOME_OK && i + 1 < count; i++)
        assign(]==])
