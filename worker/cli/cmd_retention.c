#include "base/json.h"
#include "base/timestamp.h"
#include "repo/audit/audit_partitions.h"
#include "repo/schema/migrate.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/retention_guard.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"

/* How long one step may try for its locks before the run gives up, and how many intervals stand
 * ahead when nobody says. */
enum { PATIENCE_MS = 20000, AHEAD_DEFAULT = 3, AHEAD_MAX = 1000 };

struct retaining {
    const struct arguments *arguments;
    struct session session;
    struct buffer out;
    struct audit_layout layout;
    struct audit_change change;
    int64_t keep_ms; /* CONFIG_FOREVER: nothing is removed */
    int64_t ahead;
    int64_t from_us; /* partition: TIMESTAMP_ABSENT: the next interval */
    bool dry_run;
    struct audit_guard guard; /* when something may be removed */
};

static bool keeps_forever(const struct retaining *self)
{
    return self->keep_ms == CONFIG_FOREVER;
}

static int64_t keep_from_us(const struct retaining *self)
{
    return self->layout.now_us - self->keep_ms * 1000;
}

static enum exit_code fail(const struct retaining *self, const struct err *err)
{
    if (strcmp(err->code, AUDIT_IN_USE) == 0)
        return cli_fail(self->arguments, EXIT_TRY_AGAIN, "%s", err->text);
    return cli_fail_err(self->arguments, err);
}

/* Brokers refuse because of how they, or we, are configured. */
static enum exit_code fail_guard(const struct retaining *self, const struct err *err)
{
    if (err->outcome == OUTCOME_REJECT)
        return cli_fail(self->arguments, EXIT_CONFIG, "nothing is removed: %s", err->text);
    return cli_fail(self->arguments, exit_code_of(err), "nothing is removed: %s", err->text);
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static void append_name(struct buffer *out, const char *name)
{
    json_append_string(out, text_of(name));
    buffer_append_byte(out, ':');
}

/* The first member has no comma in front: it follows a brace. */
static void append_text(struct buffer *out, const char *name, const char *text)
{
    if (out->length > 0 && out->bytes[out->length - 1] != '{')
        buffer_append_byte(out, ',');
    append_name(out, name);
    json_append_string(out, text_of(text));
}

static void append_int(struct buffer *out, const char *name, int64_t value)
{
    buffer_append_byte(out, ',');
    append_name(out, name);
    json_append_int(out, value);
}

static void append_time(struct buffer *out, const char *name, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        return;
    buffer_append_byte(out, ',');
    append_name(out, name);
    json_append_time(out, us);
}

static void append_bool(struct buffer *out, const char *name, bool value)
{
    if (out->length > 0 && out->bytes[out->length - 1] != '{')
        buffer_append_byte(out, ',');
    append_name(out, name);
    buffer_append_literal(out, value ? "true" : "false");
}

/* An object in an array. */
static void open_item(struct buffer *out)
{
    buffer_append_literal(out, out->length > 0 && out->bytes[out->length - 1] == '[' ? "{" : ",{");
}

static enum exit_code print(struct retaining *self)
{
    if (self->out.full)
        return cli_fail(self->arguments, EXIT_BUG, "no memory");
    return output_json(self->arguments, buffer_text(&self->out));
}

static const char *because(const struct audit_judgement *judgement)
{
    switch (judgement->verdict) {
    case AUDIT_MAY_GO:
        break;
    case AUDIT_TOO_NEW:
        return "it ends after what is kept begins";
    case AUDIT_DELIVERABLE:
        return "commands in it can still be read from their topics";
    case AUDIT_YOUNG_ROWS:
        return "it holds events that are kept";
    }
    return "";
}

/* --- status ------------------------------------------------------------------------------------
 */

static const char *kind_name(enum audit_partition_kind kind)
{
    switch (kind) {
    case AUDIT_INTERVAL:
        return "interval";
    case AUDIT_STRAY:
        return "stray";
    case AUDIT_REST:
        return "rest";
    case AUDIT_WHOLE:
        break;
    }
    return "whole";
}

static bool is_past(const struct retaining *self, const struct audit_partition *partition)
{
    return partition->kind == AUDIT_INTERVAL && !keeps_forever(self) &&
           partition->until_us <= keep_from_us(self);
}

/* Whether brokers must be asked. */
static bool has_past(const struct retaining *self)
{
    for (size_t i = 0; i < self->layout.partition_count; i++) {
        if (is_past(self, &self->layout.partitions[i]))
            return true;
    }
    return false;
}

/* unknown: why it cannot be told whether commands can still be read; NULL: it can. */
static enum outcome append_fate(struct retaining *self, const struct audit_partition *partition,
                                const char *unknown, struct err *err)
{
    struct audit_judgement judgement = {.verdict = AUDIT_TOO_NEW};
    const char *why = NULL;

    if (keeps_forever(self))
        why = "everything is kept";
    else if (partition->kind != AUDIT_INTERVAL)
        why = "old rows are deleted from it";
    else if (is_past(self, partition) && unknown != NULL)
        why = unknown;
    else if (is_past(self, partition)) {
        enum outcome outcome = audit_judge(session_db(&self->session), partition, &self->guard,
                                           self->session.arena, &judgement, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    bool may_go = why == NULL && judgement.verdict == AUDIT_MAY_GO;
    append_bool(&self->out, "mayGo", may_go);
    if (!may_go)
        append_text(&self->out, "because", why != NULL ? why : because(&judgement));
    return OUTCOME_OK;
}

static enum outcome append_partition(struct retaining *self,
                                     const struct audit_partition *partition, const char *unknown,
                                     struct err *err)
{
    struct buffer *out = &self->out;

    open_item(out);
    append_text(out, "name", partition->name);
    append_text(out, "kind", kind_name(partition->kind));
    append_time(out, "from", partition->from_us);
    append_time(out, "until", partition->until_us);
    append_int(out, "bytes", partition->bytes);
    if (partition->estimated_rows >= 0)
        append_int(out, "estimatedRows", partition->estimated_rows);
    enum outcome outcome = append_fate(self, partition, unknown, err);
    buffer_append_byte(out, '}');
    return outcome;
}

static enum exit_code run_status(struct retaining *self)
{
    const struct config *config = &self->session.config;
    struct buffer *out = &self->out;
    const char *unknown = NULL;
    struct err guard_err;
    struct err err;

    if (has_past(self) &&
        retention_guard(config, session_db(&self->session), keep_from_us(self), self->session.arena,
                        &self->guard, &guard_err) != OUTCOME_OK)
        unknown = guard_err.text;
    buffer_append_byte(out, '{');
    append_bool(out, "partitioned", self->layout.shape != AUDIT_PLAIN);
    append_time(out, "now", self->layout.now_us);
    if (!keeps_forever(self))
        append_time(out, "keptFrom", keep_from_us(self));
    append_text(out, "interval", interval_name(config->audit_partition_interval));
    buffer_append_literal(out, ",\"partitions\":[");
    for (size_t i = 0; i < self->layout.partition_count; i++) {
        if (append_partition(self, &self->layout.partitions[i], unknown, &err) != OUTCOME_OK)
            return fail(self, &err);
    }
    buffer_append_literal(out, "]}");
    return print(self);
}

/* --- partition ---------------------------------------------------------------------------------
 */

static enum exit_code run_partition(struct retaining *self)
{
    const struct audit_conversion conversion = {
        .interval = self->session.config.audit_partition_interval,
        .first_us = self->from_us,
        .ahead = self->ahead,
    };
    struct audit_converted converted;
    struct err err;

    if (audit_convert(&self->change, &conversion, self->session.arena, &converted, &err) !=
        OUTCOME_OK)
        return fail(self, &err);
    buffer_append_byte(&self->out, '{');
    append_bool(&self->out, "converted", converted.converted);
    if (converted.converted) {
        append_time(&self->out, "from", converted.first_us);
        append_int(&self->out, "intervals", (int64_t)converted.intervals);
        append_int(&self->out, "rowsMoved", converted.rows_moved);
    }
    buffer_append_byte(&self->out, '}');
    return print(self);
}

/* --- run ---------------------------------------------------------------------------------------
 */

/* What a run does goes into the report as it is done, so that a failure leaves a report of what
 * was done before. */
static enum outcome add_interval(struct retaining *self, const struct audit_range *range,
                                 struct err *err)
{
    struct audit_extended extended = {.added = true};
    char name[AUDIT_NAME_BYTES];
    struct buffer *out = &self->out;

    enum outcome outcome =
        self->dry_run ? OUTCOME_OK
                      : audit_extend(&self->change, range, self->session.arena, &extended, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    audit_interval_name(range->from_us, name);
    open_item(out);
    append_text(out, "name", name);
    append_time(out, "from", range->from_us);
    append_time(out, "until", range->until_us);
    append_bool(out, "added", extended.added);
    append_int(out, "rowsMoved", extended.rows_moved);
    if (!extended.added)
        append_text(out, "because", "too many of its rows are in stray already");
    buffer_append_byte(out, '}');
    return OUTCOME_OK;
}

static enum outcome add_intervals(struct retaining *self, struct err *err)
{
    enum interval interval = self->session.config.audit_partition_interval;
    const struct audit_range *ranges;
    size_t count;

    if (self->layout.shape != AUDIT_PARTITIONED)
        return OUTCOME_OK;
    enum outcome outcome =
        audit_intervals_plan(audit_intervals_start_us(&self->layout, interval), self->layout.now_us,
                             interval, self->ahead, self->session.arena, &ranges, &count, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count && !interrupted(); i++)
        outcome = add_interval(self, &ranges[i], err);
    return outcome;
}

static enum outcome drop_interval(struct retaining *self, const struct audit_partition *partition,
                                  struct err *err)
{
    struct audit_judgement judgement;
    struct buffer *out = &self->out;

    enum outcome outcome =
        self->dry_run ? audit_judge(session_db(&self->session), partition, &self->guard,
                                    self->session.arena, &judgement, err)
                      : audit_drop(&self->change, partition, &self->guard, AUDIT_SCAN_MAX_BYTES,
                                   self->session.arena, &judgement, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    bool gone = judgement.verdict == AUDIT_MAY_GO;
    open_item(out);
    append_text(out, "name", partition->name);
    append_bool(out, "dropped", gone);
    if (gone)
        append_int(out, "rowsMoved", judgement.staying);
    else
        append_text(out, "because", because(&judgement));
    buffer_append_byte(out, '}');
    return OUTCOME_OK;
}

static enum outcome drop_intervals(struct retaining *self, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; outcome == OUTCOME_OK && i < self->layout.partition_count && !interrupted();
         i++) {
        if (is_past(self, &self->layout.partitions[i]))
            outcome = drop_interval(self, &self->layout.partitions[i], err);
    }
    return outcome;
}

/* From the tables that hold rows of all ages. */
static enum outcome delete_rows(struct retaining *self, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; outcome == OUTCOME_OK && i < self->layout.partition_count && !interrupted();
         i++) {
        const struct audit_partition *partition = &self->layout.partitions[i];
        int64_t deleted;
        if (partition->kind == AUDIT_INTERVAL)
            continue;
        outcome = audit_delete_old(&self->change, partition->name, &self->guard, self->dry_run,
                                   &deleted, err);
        open_item(&self->out);
        append_text(&self->out, "from", partition->name);
        append_int(&self->out, "rows", deleted);
        buffer_append_byte(&self->out, '}');
    }
    return outcome;
}

static enum exit_code remove_old(struct retaining *self)
{
    struct err err;

    if (keeps_forever(self))
        return EXIT_DONE;
    if (retention_guard(&self->session.config, session_db(&self->session), keep_from_us(self),
                        self->session.arena, &self->guard, &err) != OUTCOME_OK)
        return fail_guard(self, &err);
    buffer_append_literal(&self->out, ",\"intervals\":[");
    enum outcome outcome = drop_intervals(self, &err);
    buffer_append_literal(&self->out, "],\"deleted\":[");
    if (outcome == OUTCOME_OK)
        outcome = delete_rows(self, &err);
    buffer_append_byte(&self->out, ']');
    return outcome == OUTCOME_OK ? EXIT_DONE : fail(self, &err);
}

static enum exit_code run_run(struct retaining *self)
{
    struct err err;

    if (self->layout.shape == AUDIT_FOREIGN)
        return cli_fail(self->arguments, EXIT_CONFIG,
                        "auth_audit_events is partitioned in another way");
    interrupt_catch();
    buffer_append_byte(&self->out, '{');
    append_bool(&self->out, "dryRun", self->dry_run);
    buffer_append_literal(&self->out, ",\"added\":[");
    enum exit_code code = add_intervals(self, &err) == OUTCOME_OK ? EXIT_DONE : fail(self, &err);
    buffer_append_byte(&self->out, ']');
    if (code == EXIT_DONE && !interrupted())
        code = remove_old(self);
    buffer_append_byte(&self->out, '}');
    enum exit_code printed = print(self);
    if (code == EXIT_DONE && interrupted())
        return cli_fail(self->arguments, EXIT_TRY_AGAIN, "interrupted; the same call goes on");
    return code != EXIT_DONE ? code : printed;
}

/* --- the verb ----------------------------------------------------------------------------------
 */

struct action {
    const char *name;
    const char *flags; /* with blanks around each */
    bool changes;      /* one at a time */
    enum exit_code (*run)(struct retaining *self);
};

static const struct action actions[] = {
    {"status", " keep ", false, run_status},
    {"partition", " ahead from ", true, run_partition},
    {"run", " ahead keep dry-run ", true, run_run},
};

static const struct flag flags[] = {
    {"ahead", "N", "partition, run: whole intervals behind the present one (default 3)"},
    {"from", "TIME", "partition: begin with the interval of this time, not with the next"},
    {"keep", "DURATION", "status, run: in place of the setting: 90d, 12h, forever"},
    {"dry-run", NULL, "run: tell what would be done, change nothing"},
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static const struct action *find_action(const struct arguments *arguments)
{
    const char *name = arguments->operand_count == 0 ? "status" : arguments->operands[0];

    for (size_t i = 0; arguments->operand_count <= 1 && i < sizeof(actions) / sizeof(actions[0]);
         i++) {
        if (strcmp(name, actions[i].name) == 0)
            return &actions[i];
    }
    cli_usage_error(arguments, "takes status, partition or run");
    return NULL;
}

/* Without --keep: *ret_keep_ms stays. */
static bool parse_keep(const struct arguments *arguments, int64_t *ret_keep_ms)
{
    const char *keep = argument(arguments, "keep");

    if (keep == NULL || config_retention_parse(keep, ret_keep_ms))
        return true;
    cli_usage_error(arguments, "--keep: must be forever, or a number with d, h, m or s");
    return false;
}

/* Ours alone from here on, unless nothing is changed. */
static enum exit_code begin(struct retaining *self, const struct action *action)
{
    struct executor *db = session_db(&self->session);
    const char *schema = self->session.config.database_schema;
    struct err err;
    bool locked = true;

    self->change = (struct audit_change){db, schema, PATIENCE_MS, interrupted};
    enum outcome outcome = migrate_check(db, self->session.arena, &err);
    if (outcome == OUTCOME_OK && action->changes)
        outcome = audit_retention_lock(db, schema, self->session.arena, &locked, &err);
    if (outcome == OUTCOME_OK && locked)
        outcome = audit_layout_read(db, self->session.arena, &self->layout, &err);
    if (outcome != OUTCOME_OK)
        return fail(self, &err);
    if (!locked)
        return cli_fail(self->arguments, EXIT_TRY_AGAIN, "another one is under way");
    return EXIT_DONE;
}

static enum exit_code retention_run(const struct arguments *arguments)
{
    struct retaining self = {
        .arguments = arguments,
        .ahead = AHEAD_DEFAULT,
        .from_us = TIMESTAMP_ABSENT,
        .dry_run = argument(arguments, "dry-run") != NULL,
    };
    int64_t keep_ms = -1;

    const struct action *action = find_action(arguments);
    if (action == NULL || !argument_flags_among(arguments, 0, action->name, action->flags) ||
        !argument_number(arguments, "ahead", 0, AHEAD_MAX, &self.ahead) ||
        !argument_time(arguments, "from", &self.from_us) || !parse_keep(arguments, &keep_ms))
        return EXIT_USAGE;

    /* No statement timeout: what is read and deleted may be much. */
    enum exit_code code = session_open(arguments, 0, &self.session);
    if (code == EXIT_DONE) {
        log_configure(self.session.config.log_level, self.session.config.log_format);
        self.keep_ms = keep_ms >= 0 ? keep_ms : self.session.config.audit_retention_ms;
        buffer_init(&self.out, self.session.arena);
        code = begin(&self, action);
    }
    if (code == EXIT_DONE)
        code = action->run(&self);
    session_close(&self.session);
    return code;
}

const struct verb verb_retention = {
    .name = "retention",
    .operands = "[status | partition | run]",
    .summary = "keep the audit log in bounds",
    .description =
        "status (the default) shows the partitions of the audit log, and which may go. partition\n"
        "turns the audit log into partitions by time, once; the workers wait while it is read\n"
        "once. run makes partitions ahead, drops those that are past database.audit_retention,\n"
        "and deletes old rows from the tables that hold rows of all ages (without partitions:\n"
        "from the one table). It removes no row whose command can still be read from its topic.\n"
        "Run it daily, beside running workers; only one runs at a time (else 75). Brokers away:\n"
        "nothing is removed, 69. run prints what it did, also when it fails half way.",
    .flags = flags,
    .flag_count = FLAG_COUNT,
    .run = retention_run,
};
