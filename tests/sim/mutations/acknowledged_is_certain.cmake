# The first acknowledgement is taken for certain.
set(file worker/lane/progress.c)
set(old [==[
            item->published = entry->message->offset + 1;]==])
set(new [==[
            item->confirmed = item->published = entry->message->offset + 1, item->unsaved = true;]==])
