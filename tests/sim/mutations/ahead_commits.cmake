# What goes ahead of the COMMIT is committed there.
set(file worker/publish.c)
set(old [==[
    enum outcome outcome = prepare(publishing, &publishing->why);]==])
set(new [==[
    enum outcome outcome = transact(publishing, &publishing->why);]==])
