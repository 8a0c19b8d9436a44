# What is known of a partition outlives its revocation, and is not loaded when it comes again.
set(file worker/lane/progress.c)
set(old [==[
    progress->count = 0;
}]==])
set(new [==[
    (void)progress;
}]==])
set(old_2 [==[
    if (item == NULL)
        item = &progress->items[progress->count++];
    *item =]==])
set(new_2 [==[
    if (item != NULL)
        return;
    item = &progress->items[progress->count++];
    *item =]==])
