# The producer that is replaced after a COMMIT that failed is not suspected of having lost an earlier transaction.
set(file worker/lane/publish.c)
set(old [==[
        if (outcome == OUTCOME_OK)
            outcome = confirm_earlier(publishing, err);
        end_watch(publishing);]==])
set(new [==[
        end_watch(publishing);]==])
