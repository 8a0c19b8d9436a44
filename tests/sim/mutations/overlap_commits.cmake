# The overlapping callback commits the Kafka transaction.
set(file worker/lane/publish.c)
set(old [==[
                                        : prepare(lane, batch, &publication->why);]==])
set(new [==[
                                        : transact(lane, batch, &publication->why);]==])
