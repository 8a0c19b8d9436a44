# A COMMIT that failed, or whose answer was lost, counts as done: published all the same.
set(file worker/lane/settle.c)
set(old [==[
    if (outcome == OUTCOME_OK)
        CRASH_POINT(after_commit);]==])
set(new [==[
    if (outcome == OUTCOME_RETRY)
        outcome = OUTCOME_OK;]==])
