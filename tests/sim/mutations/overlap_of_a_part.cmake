# The overlapping callback runs for a part of the batch.
set(file worker/lane/settle.c)
set(old [==[
    return whole && range->batch->overlap.run != NULL ? &range->batch->overlap : NULL;]==])
set(new [==[
    (void)whole;
    return range->batch->overlap.run != NULL ? &range->batch->overlap : NULL;]==])
