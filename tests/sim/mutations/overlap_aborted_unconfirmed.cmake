# The producer that is replaced after a COMMIT that failed is not suspected of having lost an earlier transaction.
set(file worker/lane/publish.c)
set(old [==[
        if (outcome == OUTCOME_OK)
            outcome = confirm_earlier(lane, batch, err);
        end_watch(lane);]==])
set(new [==[
        end_watch(lane);]==])
