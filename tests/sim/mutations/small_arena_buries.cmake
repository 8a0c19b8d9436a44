# A valid command that is larger than the memory of a batch becomes a dead letter.
set(file worker/lane/lane.c)
set(old [==[
return process_alone(lane, messages,]==])
set(new [==[
return process_oversized(lane, messages,]==])
