# Counted as published before the Kafka transaction committed.
set(file worker/lane/lane.c)
set(old [==[
    enum outcome outcome = publish_batch(lane, batch, err);
]==])
set(new [==[
    progress_published(&lane->progress, batch);
    enum outcome outcome = publish_batch(lane, batch, err);
]==])
