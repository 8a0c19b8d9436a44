# Each attempt to load published offsets keeps its memory.
set(flags --outage)
set(file worker/lane/assignment.c)
set(old [==[
arena_rewind(lane->scratch, mark);]==])
set(new [==[
(void)mark;]==])
