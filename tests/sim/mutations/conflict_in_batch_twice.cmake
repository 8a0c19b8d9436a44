# The same conflict twice in one batch is answered twice.
set(file worker/lane/settle.c)
set(old [==[
else if (candidate->first != i)
            entry->state = ENTRY_DUPLICATE;]==])
set(new [==[
else if (candidate->first > i)
            entry->state = ENTRY_DUPLICATE;]==])
