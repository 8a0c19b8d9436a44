# A duplicate answers with the first one's event again.
set(file worker/lane/settle.c)
set(old [==[
    if (!own) {
        entry->state = ENTRY_DUPLICATE;]==])
set(new [==[
    if (!own) {
        entry->state = ENTRY_DUPLICATE;
        entry->event = known;]==])
