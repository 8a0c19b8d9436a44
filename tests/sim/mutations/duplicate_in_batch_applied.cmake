# A duplicate within one batch is not recognised.
set(file worker/lane/settle.c)
set(old [==[
candidate->first == index ? ENTRY_NEW : ENTRY_DUPLICATE]==])
set(new [==[
candidate->first <= index ? ENTRY_NEW : ENTRY_DUPLICATE]==])
