#include "base/clock.h"
#include "base/json_writer.h"
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
enum { LOCK_TRIES = 20, LOCK_PAUSE_US = 100 * 1000 };

struct retention_call {
    const struct arguments *arguments;
    struct session session;
    struct buffer out;
    struct json_writer json; /* into `out` */
    struct audit_layout layout;
    struct audit_change change;
    int64_t keep_ms; /* CONFIG_FOREVER: nothing is removed */
    int64_t ahead;
    int64_t from_us; /* partition: TIMESTAMP_ABSENT: the next interval */
    bool dry_run;
    struct audit_guard guard; /* when something may be removed */
};

static bool keeps_forever(const struct retention_call *self)
{
    return self->keep_ms == CONFIG_FOREVER;
}

static int64_t keep_from_us(const struct retention_call *self)
{
    return self->layout.now_us - self->keep_ms * 1000;
}

static enum exit_code fail(const struct retention_call *self, const struct err *err)
{
    if (strcmp(err->code, AUDIT_IN_USE) == 0)
        return cli_fail(self->arguments, EXIT_TRY_AGAIN, "%s", err->text);
    return cli_fail_err(self->arguments, err);
}

/* Brokers refuse because of how they, or we, are configured. */
static enum exit_code fail_guard(const struct retention_call *self, const struct err *err)
{
    if (err->outcome == OUTCOME_REJECT)
        return cli_fail(self->arguments, EXIT_CONFIG, "nothing is removed: %s", err->text);
    return cli_fail(self->arguments, exit_code_of(err), "nothing is removed: %s", err->text);
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static enum exit_code print(struct retention_call *self)
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

static bool is_past(const struct retention_call *self, const struct audit_partition *partition)
{
    return partition->kind == AUDIT_INTERVAL && !keeps_forever(self) &&
           partition->until_us <= keep_from_us(self);
}

/* Whether brokers must be asked. */
static bool has_past(const struct retention_call *self)
{
    for (size_t i = 0; i < self->layout.partition_count; i++) {
        if (is_past(self, &self->layout.partitions[i]))
            return true;
    }
    return false;
}

/* unknown: why it cannot be told whether commands can still be read; NULL: it can. */
static enum outcome append_fate(struct retention_call *self,
                                const struct audit_partition *partition, const char *unknown,
                                struct err *err)
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
    json_bool(&self->json, "mayGo", may_go);
    if (!may_go)
        json_text(&self->json, "because", text_of(why != NULL ? why : because(&judgement)));
    return OUTCOME_OK;
}

static enum outcome append_partition(struct retention_call *self,
                                     const struct audit_partition *partition, const char *unknown,
                                     struct err *err)
{
    struct json_writer *json = &self->json;

    json_begin_object(json, NULL);
    json_text(json, "name", text_of(partition->name));
    json_text(json, "kind", text_of(kind_name(partition->kind)));
    json_time(json, "from", partition->from_us);
    json_time(json, "until", partition->until_us);
    json_int(json, "bytes", partition->bytes);
    if (partition->estimated_rows >= 0)
        json_int(json, "estimatedRows", partition->estimated_rows);
    enum outcome outcome = append_fate(self, partition, unknown, err);
    json_end_object(json);
    return outcome;
}

static enum exit_code run_status(struct retention_call *self)
{
    const struct config *config = &self->session.config;
    struct json_writer *json = &self->json;
    const char *unknown = NULL;
    struct err guard_err;
    struct err err;

    if (has_past(self) &&
        retention_guard(config, session_db(&self->session), keep_from_us(self), self->session.arena,
                        &self->guard, &guard_err) != OUTCOME_OK)
        unknown = guard_err.text;
    json_begin_object(json, NULL);
    json_bool(json, "partitioned", self->layout.shape != AUDIT_PLAIN);
    json_time(json, "now", self->layout.now_us);
    if (!keeps_forever(self))
        json_time(json, "keptFrom", keep_from_us(self));
    json_text(json, "interval", text_of(interval_name(config->audit_partition_interval)));
    json_begin_array(json, "partitions");
    for (size_t i = 0; i < self->layout.partition_count; i++) {
        if (append_partition(self, &self->layout.partitions[i], unknown, &err) != OUTCOME_OK)
            return fail(self, &err);
    }
    json_end_array(json);
    json_end_object(json);
    return print(self);
}

/* --- partition ---------------------------------------------------------------------------------
 */

static enum exit_code run_partition(struct retention_call *self)
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
    json_begin_object(&self->json, NULL);
    json_bool(&self->json, "converted", converted.converted);
    if (converted.converted) {
        json_time(&self->json, "from", converted.first_us);
        json_int(&self->json, "intervals", (int64_t)converted.intervals);
        json_int(&self->json, "rowsMoved", converted.rows_moved);
    }
    json_end_object(&self->json);
    return print(self);
}

/* --- run ---------------------------------------------------------------------------------------
 */

/* What a run does goes into the report as it is done, so that a failure leaves a report of what
 * was done before. */
static enum outcome add_interval(struct retention_call *self, const struct audit_range *range,
                                 struct err *err)
{
    struct audit_extended extended = {.added = true};
    char name[AUDIT_NAME_BYTES];
    struct json_writer *json = &self->json;

    enum outcome outcome =
        self->dry_run ? OUTCOME_OK
                      : audit_extend(&self->change, range, self->session.arena, &extended, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    audit_interval_name(range->from_us, name);
    json_begin_object(json, NULL);
    json_text(json, "name", text_of(name));
    json_time(json, "from", range->from_us);
    json_time(json, "until", range->until_us);
    json_bool(json, "added", extended.added);
    json_int(json, "rowsMoved", extended.rows_moved);
    if (!extended.added)
        json_text(json, "because", text_of("too many of its rows are in stray already"));
    json_end_object(json);
    return OUTCOME_OK;
}

static enum outcome add_intervals(struct retention_call *self, struct err *err)
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

static enum outcome drop_interval(struct retention_call *self,
                                  const struct audit_partition *partition, struct err *err)
{
    struct audit_judgement judgement;
    struct json_writer *json = &self->json;

    enum outcome outcome =
        self->dry_run ? audit_judge(session_db(&self->session), partition, &self->guard,
                                    self->session.arena, &judgement, err)
                      : audit_drop(&self->change, partition, &self->guard, AUDIT_SCAN_MAX_BYTES,
                                   self->session.arena, &judgement, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    bool gone = judgement.verdict == AUDIT_MAY_GO;
    json_begin_object(json, NULL);
    json_text(json, "name", text_of(partition->name));
    json_bool(json, "dropped", gone);
    if (gone)
        json_int(json, "rowsMoved", judgement.staying);
    else
        json_text(json, "because", text_of(because(&judgement)));
    json_end_object(json);
    return OUTCOME_OK;
}

static enum outcome drop_intervals(struct retention_call *self, struct err *err)
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
static enum outcome delete_rows(struct retention_call *self, struct err *err)
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
        json_begin_object(&self->json, NULL);
        json_text(&self->json, "from", text_of(partition->name));
        json_int(&self->json, "rows", deleted);
        json_end_object(&self->json);
    }
    return outcome;
}

static enum exit_code remove_old(struct retention_call *self)
{
    struct err err;

    if (keeps_forever(self))
        return EXIT_DONE;
    if (retention_guard(&self->session.config, session_db(&self->session), keep_from_us(self),
                        self->session.arena, &self->guard, &err) != OUTCOME_OK)
        return fail_guard(self, &err);
    json_begin_array(&self->json, "intervals");
    enum outcome outcome = drop_intervals(self, &err);
    json_end_array(&self->json);
    json_begin_array(&self->json, "deleted");
    if (outcome == OUTCOME_OK)
        outcome = delete_rows(self, &err);
    json_end_array(&self->json);
    return outcome == OUTCOME_OK ? EXIT_DONE : fail(self, &err);
}

static enum exit_code run_run(struct retention_call *self)
{
    struct err err;

    if (self->layout.shape == AUDIT_FOREIGN)
        return cli_fail(self->arguments, EXIT_CONFIG,
                        "auth_audit_events is partitioned in another way");
    interrupt_catch();
    json_begin_object(&self->json, NULL);
    json_bool(&self->json, "dryRun", self->dry_run);
    json_begin_array(&self->json, "added");
    enum exit_code code = add_intervals(self, &err) == OUTCOME_OK ? EXIT_DONE : fail(self, &err);
    json_end_array(&self->json);
    if (code == EXIT_DONE && !interrupted())
        code = remove_old(self);
    json_end_object(&self->json);
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
    enum exit_code (*run)(struct retention_call *self);
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

/* The server ends the session of a program that has ended a moment later, and only then is its lock
 * free: one call right after another must not fail. */
static enum outcome lock_patiently(struct retention_call *self, bool *ret_locked, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    *ret_locked = false;
    for (int tries = 0; outcome == OUTCOME_OK && !*ret_locked && tries < LOCK_TRIES; tries++) {
        if (tries > 0)
            clock_sleep_us(LOCK_PAUSE_US);
        outcome =
            audit_retention_lock(session_db(&self->session), self->session.config.database_schema,
                                 self->session.arena, ret_locked, err);
    }
    return outcome;
}

/* Ours alone from here on, unless nothing is changed. */
static enum exit_code begin(struct retention_call *self, const struct action *action)
{
    struct executor *db = session_db(&self->session);
    const char *schema = self->session.config.database_schema;
    struct err err;
    bool locked = true;

    self->change = (struct audit_change){db, schema, PATIENCE_MS, interrupted};
    enum outcome outcome = migrate_check(db, self->session.arena, &err);
    if (outcome == OUTCOME_OK && action->changes)
        outcome = lock_patiently(self, &locked, &err);
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
    struct retention_call self = {
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
        self.json = json_writer_of(&self.out);
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
