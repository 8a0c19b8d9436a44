# After the connection broke, the lane goes on with what it remembers of the store.
set(file worker/lane/setback.c)
set(old [==[
    if (!lane->recovered)
        return OUTCOME_OK;]==])
set(new [==[
    if (lane != NULL)
        return OUTCOME_OK;]==])
