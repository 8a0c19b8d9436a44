# Counted as published before the Kafka transaction committed.
set(file worker/lane/lane.c)
set(old [==[
    enum outcome outcome = publish_batch(publishing, err);
]==])
set(new [==[
    progress_published(&lane->progress, publishing->batch);
    enum outcome outcome = publish_batch(publishing, err);
]==])
