#include "repo/pg/refused_row.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char refused_row_skipped[] = "row_skipped";
const char refused_row_renamed[] = "row_renamed";

const char refused_row_unreadable[] = "row_unreadable";

static const char unreadable_reason[] = "a column of the stored row can not be read";
static const char skipped_reason[] = "no row was written: a trigger, rule or policy of the table "
                                     "skipped it";
static const char renamed_reason[] = "a trigger of the table changed the primary key of the row";

enum outcome refused_row_set_skipped(struct err *err, const char *what)
{
    return err_set(err, OUTCOME_REJECT, refused_row_skipped, "%s: %s", what, skipped_reason);
}

enum outcome refused_row_set_renamed(struct err *err, const char *what)
{
    return err_set(err, OUTCOME_REJECT, refused_row_renamed, "%s: %s", what, renamed_reason);
}

enum outcome refused_row_set_unreadable(struct err *err)
{
    if (err->outcome == OUTCOME_FATAL && err->code[0] == '\0') {
        err->outcome = OUTCOME_REJECT;
        snprintf(err->code, sizeof(err->code), "%s", refused_row_unreadable);
    }
    return err->outcome;
}

const char *refused_row_reason(const struct err *err)
{
    if (strcmp(err->code, refused_row_unreadable) == 0)
        return unreadable_reason;
    if (strcmp(err->code, refused_row_skipped) == 0)
        return skipped_reason;
    return strcmp(err->code, refused_row_renamed) == 0 ? renamed_reason : NULL;
}
