# The redelivery check is skipped.
set(file worker/lane/settle.c)
set(old [==[
    if (!own) {
        entry->state = ENTRY_DUPLICATE;]==])
set(new [==[
    if (!own || own) {
        entry->state = ENTRY_DUPLICATE;]==])
