# The second half is settled first.
set(file worker/lane/bisect.c)
set(old [==[
settle(lane, batch, from, middle, patience, err);
    return outcome == OUTCOME_OK ? settle(lane, batch, middle, to, patience, err)]==])
set(new [==[
settle(lane, batch, middle, to, patience, err);
    return outcome == OUTCOME_OK ? settle(lane, batch, from, middle, patience, err)]==])
