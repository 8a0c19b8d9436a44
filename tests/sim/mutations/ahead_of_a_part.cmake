# A part of a batch goes ahead as if it were all of it.
set(file worker/lane/settle.c)
set(old [==[
    return range->count == range->with->batch->count ? range->with->meanwhile : NULL;]==])
set(new [==[
    return range->with->meanwhile;]==])
