# What the lane remembers of a partition outlives the log that it is about.
set(file worker/lane/assignment.c)
set(old [==[
        progress_drop(&lane->progress, topic_id_of(lane, resets[i].topic), resets[i].partition);]==])
set(new [==[
        (void)topic_id_of(lane, resets[i].topic);]==])
