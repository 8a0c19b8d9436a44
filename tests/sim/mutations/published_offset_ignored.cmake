# Events are published again after an operator went back.
set(file worker/lane/settle.c)
set(old [==[
progress_is_published(&range->lane->progress, entry)]==])
set(new [==[
!own]==])
