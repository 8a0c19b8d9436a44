# The last transaction of a batch does not record its end: the group stands past what the store knows.
set(file worker/lane/progress.c)
set(old [==[
            topic_id_of(batch->lane, end->topic) == item->topic_id)
            return end->offset;]==])
set(new [==[
            topic_id_of(batch->lane, end->topic) == item->topic_id)
            return recorded;]==])
