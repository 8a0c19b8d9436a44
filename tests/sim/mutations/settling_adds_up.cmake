# Each attempt to settle a batch keeps its memory.
set(flags --outage)
set(file worker/lane/settle.c)
set(old [==[
arena_rewind(range.arena, mark); /* attempts must not add up */]==])
set(new [==[
(void)mark;]==])
