# A message that fails by itself is waited for.
set(file worker/lane/isolate.c)
set(old [==[
    suspicion->since_us = now_us; /* what]==])
set(new [==[
    return false; /* what]==])
