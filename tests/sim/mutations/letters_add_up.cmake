# Each attempt to publish keeps the memory of its dead letters.
set(file worker/lane/publish.c)
set(old [==[
        outcome = produce_record(lane, batch, &letter, err);
    arena_rewind(lane->scratch, mark);]==])
set(new [==[
        outcome = produce_record(lane, batch, &letter, err);
    (void)mark;]==])
