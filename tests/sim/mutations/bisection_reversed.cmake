# The second half is settled first.
set(file worker/lane.c)
set(old [==[
settle(lane, settling, from, middle, err);
    return outcome == OUTCOME_OK ? settle(lane, settling, middle, to, err)]==])
set(new [==[
settle(lane, settling, middle, to, err);
    return outcome == OUTCOME_OK ? settle(lane, settling, from, middle, err)]==])
