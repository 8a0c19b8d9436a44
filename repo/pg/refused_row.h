#pragma once

#include "base/err.h"

/* Rows that the database did not write as it was asked to, although no constraint was in the way.
 * Each is a refused row: REJECT with a code of its own in place of a SQLSTATE.
 *
 *   skipped   no row was written: a trigger (or a rule or a policy) skipped it
 *   renamed   a row with another primary key was written: a trigger changed it
 *
 * A row that is missing may also have met a row that another transaction removed meanwhile, so the
 * transaction is run once more before the row counts as refused. */
extern const char refused_row_skipped[];
extern const char refused_row_renamed[];

/* A row that other programs stored and that can not be read concerns the commands about it only. */
extern const char refused_row_unreadable[];

/* Makes a failure to read a row, FATAL without a code, the refusal of that row; others stay. */
enum outcome refused_row_set_unreadable(struct err *err);

/* `what` is the name of the statement. Both return REJECT. */
enum outcome refused_row_set_skipped(struct err *err, const char *what);
enum outcome refused_row_set_renamed(struct err *err, const char *what);

/* The reason for people, without any value: NULL when `err` is none of these. */
const char *refused_row_reason(const struct err *err);
