# An id conflict below the published offset does not lower it.
set(file worker/lane/settle.c)
set(old [==[
        if (is_fresh(&range->entries[i]))
            progress_saw_new]==])
set(new [==[
        if (range->entries[i].state == ENTRY_NEW)
            progress_saw_new]==])
