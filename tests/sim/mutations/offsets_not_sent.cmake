# The offsets do not go with the transaction.
set(file worker/lane/publish.c)
set(old [==[
        outcome = persist(with, call_send_offsets, NULL, err);]==])
set(new [==[
        outcome = OUTCOME_OK;]==])
