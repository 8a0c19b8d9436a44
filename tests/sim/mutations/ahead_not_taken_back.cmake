# What went ahead of a COMMIT that failed is gone on with.
set(file worker/lane/publish.c)
set(old [==[
    if (publishing->begun) {]==])
set(new [==[
    if (publishing->begun)
        return OUTCOME_OK;
    if (publishing->begun) {]==])
