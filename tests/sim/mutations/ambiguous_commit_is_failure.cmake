# A commit whose answer was lost counts as not done.
set(file worker/publish.c)
set(old [==[
    return has_committed(with, err);]==])
set(new [==[
    return OUTCOME_REJECT;]==])
