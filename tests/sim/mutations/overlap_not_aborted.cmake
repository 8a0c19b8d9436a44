# The Kafka transaction that overlapped with a failed COMMIT goes on.
set(file worker/lane/publish.c)
set(old [==[
    if (batch->publication.begun) {]==])
set(new [==[
    if (batch->publication.begun)
        return OUTCOME_OK;
    if (batch->publication.begun) {]==])
