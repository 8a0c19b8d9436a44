# Another content under a known id counts as a duplicate.
set(file worker/lane/settle.c)
set(old [==[
if (!uuid_equal(content, &entry->command.digest))]==])
set(new [==[
if (content == NULL)]==])
