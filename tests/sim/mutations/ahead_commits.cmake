# What goes ahead of the COMMIT is committed there.
set(file worker/lane/publish.c)
set(old [==[
                                        : prepare(publishing, &publishing->why);]==])
set(new [==[
                                        : transact(publishing, &publishing->why);]==])
