# A redelivered command counts as published: its event is lost when the Kafka commit failed.
set(file worker/lane/settle.c)
set(old [==[
progress_is_published(&range->lane->progress, entry)]==])
set(new [==[
own]==])
