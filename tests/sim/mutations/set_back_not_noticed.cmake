# A marked offset above the recorded one is taken for an operator's.
set(file worker/lane/setback.c)
set(old [==[
    return committed->ours ? STANDING_SET_BACK : STANDING_MOVED;]==])
set(new [==[
    return committed->ours ? STANDING_MOVED : STANDING_MOVED;]==])
