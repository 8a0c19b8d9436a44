# A new command below the published offset does not lower it.
set(file worker/progress.c)
set(old [==[
entry->message->offset >= item->published)
        return;]==])
set(new [==[
entry->message->offset >= item->published || item->published > 0)
        return;]==])
