#pragma once

#include "events/commands.h"
#include "repo/pg/write.h"
#include "worker/apply/touched.h"

/* How each type of command meets its repository: the columns APPLY and REJECTIONS of
 * events/commands.def. Private to this room. */

/* The commands of one type in one wave: one statement. */
struct group_run {
    const struct command_type *type;
    const struct command *const *commands;
    size_t count;
    struct command_result **results; /* where each command's result goes */
    struct arena *arena;

    /* between prepare and finish */
    enum write_result *answers; /* one per command */
    void *rows; /* removed records, owners or usages: as the binding's functions say */
    struct write write;
};

struct binding {
    /* Makes the statement of the group, in run->write. */
    enum outcome (*prepare)(struct group_run *run, struct err *err);
    /* Fills the results from the answers. */
    enum outcome (*finish)(struct group_run *run, struct err *err);
    enum resource_kind row; /* that the command's id names; RESOURCE_NONE: it writes no row */
    touch_function *touch;
    enum write_result
        rejected[COMMAND_REJECTIONS_MAX]; /* the answer of each rejection of the type */
};

extern const struct binding bindings[COMMAND_KIND_COUNT]; /* indexed by kind */

/* The functions that the rows name: a missing one fails to link. */
#define APPLY(prepare_name, finish_name, row_, touch_name)                                         \
    enum outcome prepare_##prepare_name(struct group_run *run, struct err *err);                   \
    enum outcome finish_##finish_name(struct group_run *run, struct err *err);                     \
    touch_function touch_##touch_name;
#define COMMAND(kind_, name_, record_, event_, apply_, rejections_) apply_
#include "events/commands.def"
#undef COMMAND
#undef APPLY

/* An answer that no repository gives: the command is rejected before anything is written. */
#define NOT_A_WRITE WRITE_OPEN

/* The id of a command's record: every record has it as its declared field "id". */
struct text record_id(const struct command *command);

/* The records, or their ids, of the group's commands as the repositories take them; in the arena,
 * NULL when it is full. */
const void **records_of(const struct group_run *run);
struct text *ids_of(const struct group_run *run);

/* The result of an answer: a rejection of the type, or applied. FATAL  the repository answered what
 * the row of the type does not know */
enum outcome answer_read(const struct command_type *type, enum write_result answer,
                         struct command_result *ret_result, struct err *err);

/* One row has the functions, the resource and the rejections that it needs. FATAL  err->text names
 * the type */
enum outcome binding_check(const struct command_type *type, const struct binding *binding,
                           struct err *err);

/* Every row of events/commands.def. */
enum outcome bindings_check(struct err *err);
