# Results go to the commands in reverse.
set(file worker/lane/settle.c)
set(old [==[
for (size_t i = range->count; outcome == OUTCOME_OK && i-- > 0;) {
        if (range->entries[i].state == ENTRY_NEW)
            range->entries[i].result = results[--count];]==])
set(new [==[
for (size_t i = 0; outcome == OUTCOME_OK && i < range->count; i++) {
        if (range->entries[i].state == ENTRY_NEW)
            range->entries[i].result = results[--count];]==])
