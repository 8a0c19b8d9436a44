# Events are published again after an operator went back.
set(file worker/settle.c)
set(old [==[
progress_is_published(range->with->progress, entry)]==])
set(new [==[
!own]==])
