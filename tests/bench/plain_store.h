#pragma once

#include "events/commands.h"
#include "repo/pg/executor.h"

/* The tables as an ordinary service writes them: a statement per row. Knows key.issue,
 * key.record_usage and user.upsert. */

/* Whether the command is in the audit log. */
bool plain_find_prepare(const struct uuid *audit_id, struct arena *arena,
                        struct statement *ret_statement);

/* false: the arena is full, or a command that is not known here. */
bool plain_write_prepare(const struct command *command, struct arena *arena,
                         struct statement *ret_statement);

/* What the write's answer means. */
bool plain_write_read(const struct command *command, const struct rows *rows, struct arena *arena,
                      struct command_result *ret_result);

bool plain_record_prepare(const struct audit_event *event, struct arena *arena,
                          struct statement *ret_statement);
