# The second half is settled first.
set(file worker/lane/bisect.c)
set(old [==[
settle(bisecting, from, middle, patience, err);
    return outcome == OUTCOME_OK ? settle(bisecting, middle, to, patience, err)]==])
set(new [==[
settle(bisecting, middle, to, patience, err);
    return outcome == OUTCOME_OK ? settle(bisecting, from, middle, patience, err)]==])
