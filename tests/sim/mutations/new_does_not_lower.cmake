# A new command below the published offset does not lower it.
set(file worker/lane/progress.c)
set(old [==[
    if (offset < item->published)
        lower_for_now(item, offset);]==])
set(new [==[
    if (item->published < 0)
        lower_for_now(item, offset);]==])
