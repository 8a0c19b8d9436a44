# An aborted transaction counts as published.
set(file worker/publish.c)
set(old [==[
    if (outcome != OUTCOME_FATAL)
        return OUTCOME_REJECT;]==])
set(new [==[
    if (outcome != OUTCOME_FATAL)
        return OUTCOME_OK;]==])
