#include "worker/cli/redrive.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/json.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/printed.h"
#include "worker/daemon/policies.h"
#include "worker/kafka/kafka_redriver.h"

enum {
    TIMEOUT_MS = 60000,
    /* Not longer: who takes over learns it too, and librdkafka 2.0.2 may not get its answer. */
    COMMIT_TIMEOUT_MS = 15000,
    LETTERS_PER_TRANSACTION = 100,
    BYTES_PER_TRANSACTION = 16 * 1024 * 1024,
    PAUSE_MAX_US = 100 * 1000,
    SETBACKS_MAX = 5,
};

enum fate {
    LEFT, /* beyond --limit, or redriven before */
    REFUSED,
    WAITING,
    ALONE, /* waits for a transaction of its own, since one that it was in was refused */
    QUEUED,
    UNSURE, /* nobody answered whether its transaction was committed */
    REDRIVEN,
};

struct run {
    const char *audit_topic; /* command topic that takes the events of the redrive */
    struct redrive *redrive;
    struct kafka_redriver *redriver; /* NULL: a dry run */
    struct letter_list letters;
    enum fate *fates; /* one for each */
    size_t chosen, refused, already;
    size_t waiting;   /* WAITING, ALONE, UNSURE */
    int letter_width; /* of the table; 0: its header is not printed yet */

    int64_t started_us;
    size_t *batch; /* indices of what is in the open transaction */
    size_t batch_count, batch_bytes, batch_max;
    bool again;   /* another pass over the topics, with another producer */
    int setbacks; /* transactions in a row that failed for no fault of a letter */
    uint64_t done;
};

/* --- reporting ---------------------------------------------------------------------------------
 */

static void print_row(struct run *run, const char *letter, const char *outcome, const char *why)
{
    if (run->letter_width == 0) {
        for (size_t i = 0; i < run->letters.count; i++) {
            /* the longest partition and offset that there can be would waste a line's width */
            int width = (int)run->letters.items[i].topic.length + (int)strlen(":99:9999999999");
            run->letter_width = width > run->letter_width ? width : run->letter_width;
        }
        printf("%-17s  %-*s  %s\n", "outcome", run->letter_width, "letter", "why");
    }
    printf("%-17s  %-*s  ", outcome, run->letter_width, letter);
    cli_print_text(stdout, text_of(why != NULL ? why : ""));
    printf("\n");
}

static void append_member(struct buffer *line, const char *name, const char *value)
{
    buffer_append_byte(line, line->length == 0 ? '{' : ',');
    json_append_string(line, text_of(name));
    buffer_append_byte(line, ':');
    json_append_string(line, text_of(value));
}

/* As it happens, not as one table at the end: a redrive may take long, and may be ended. */
static enum outcome report(struct run *run, size_t index, const char *outcome, const char *why,
                           struct err *err)
{
    struct arena *arena = run->redrive->arena;
    const struct arena_mark mark = arena_mark(arena);
    struct buffer line;
    buffer_init(&line, arena);
    char *name = letter_name(&run->letters.items[index], arena);
    if (name == NULL)
        return err_no_memory(err, "redrive");
    if (run->redrive->arguments->output == OUTPUT_TABLE) {
        print_row(run, name, outcome, why);
    } else {
        append_member(&line, "letter", name);
        append_member(&line, "outcome", outcome);
        if (why != NULL)
            append_member(&line, "why", why);
        buffer_append_byte(&line, '}');
        if (line.full)
            return err_no_memory(err, "redrive");
        cli_print_text(stdout, buffer_text(&line));
        printf("\n");
    }
    arena_rewind(arena, mark);
    return OUTCOME_OK;
}

static enum outcome refuse(struct run *run, size_t index, const char *why, struct err *err)
{
    run->fates[index] = REFUSED;
    run->refused++;
    return report(run, index, "refused", why, err);
}

/* --- what goes back ----------------------------------------------------------------------------
 */

static enum outcome make_audit(const struct run *run, const struct letter *letter,
                               struct arena *arena, struct outgoing_record *ret_audit,
                               struct err *err)
{
    return letter_audit(letter, text_of(run->audit_topic), clock_wall_us(), arena, ret_audit, err);
}

/* NULL: as far as can be known before it is sent. The text may be that of *err. */
static const char *fault_of(const struct run *run, const struct letter *letter, struct err *err)
{
    const struct redrive *redrive = run->redrive;
    size_t topic = 0;
    while (topic + 1 < redrive->topics.count &&
           !text_is(letter->topic, redrive->topics.items[topic].name))
        topic++;
    const char *fault = letter_fault(letter, text_of(redrive->config->command_topics[topic]),
                                     redrive->max_redrives);
    if (fault != NULL)
        return fault;
    if (letter->origin_partition >= redrive->origin_partitions[topic])
        return "its partition of origin is not there any more";

    struct outgoing_record audit;
    const struct arena_mark mark = arena_mark(redrive->arena);
    enum outcome outcome = make_audit(run, letter, redrive->arena, &audit, err);
    arena_rewind(redrive->arena, mark);
    if (outcome == OUTCOME_OK)
        return NULL;
    err_prefix(err, "its audit event cannot be made");
    return err->text;
}

static enum outcome choose_one(struct run *run, size_t index, struct err *err)
{
    const struct letter *letter = &run->letters.items[index];
    if (letter->redriven) {
        run->already++;
        return OUTCOME_OK;
    }
    struct err found;
    const char *fault = fault_of(run, letter, &found);
    if (fault != NULL)
        return refuse(run, index, fault, err);
    if ((int64_t)run->chosen >= run->redrive->limit)
        return OUTCOME_OK;
    run->fates[index] = WAITING;
    run->chosen++;
    run->waiting++;
    return run->redrive->dry_run ? report(run, index, "would be redriven", NULL, err) : OUTCOME_OK;
}

/* Judges every letter before the first goes back. */
static enum outcome choose(struct run *run, struct err *err)
{
    struct arena *arena = run->redrive->arena;
    enum outcome outcome = OUTCOME_OK;
    run->fates = ARENA_ARRAY(arena, enum fate, run->letters.count + 1);
    run->batch = ARENA_ARRAY(arena, size_t, LETTERS_PER_TRANSACTION);
    if (run->fates == NULL || run->batch == NULL)
        return err_no_memory(err, "redrive");
    for (size_t i = 0; outcome == OUTCOME_OK && i < run->letters.count; i++)
        outcome = choose_one(run, i, err);
    return outcome;
}

/* --- sending -----------------------------------------------------------------------------------
 */

/* The transaction is void because the brokers refuse a record in it. */
static enum outcome settle_refused(struct run *run, struct err *err)
{
    run->again = true;
    if (run->batch_count == 1) {
        struct err why = *err;
        return refuse(run, run->batch[0], why.text, err);
    }
    for (size_t i = 0; i < run->batch_count; i++)
        run->fates[run->batch[i]] = ALONE;
    run->waiting += run->batch_count;
    return OUTCOME_OK;
}

/* The brokers were away for too long: the topics will say what became of it. */
static void settle_unsure(struct run *run)
{
    for (size_t i = 0; i < run->batch_count; i++)
        run->fates[run->batch[i]] = UNSURE;
    run->waiting += run->batch_count;
    run->setbacks++;
    run->again = true;
}

static enum outcome settle_redriven(struct run *run, size_t index, struct err *err)
{
    run->fates[index] = REDRIVEN;
    run->done++;
    return report(run, index, "redriven", NULL, err);
}

static enum outcome settle_committed(struct run *run, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    run->setbacks = 0;
    for (size_t i = 0; outcome == OUTCOME_OK && i < run->batch_count; i++)
        outcome = settle_redriven(run, run->batch[i], err);
    return outcome;
}

static enum outcome commit(struct run *run, struct err *err)
{
    if (run->batch_count == 0)
        return OUTCOME_OK;
    enum outcome outcome = kafka_redriver_commit(run->redriver, COMMIT_TIMEOUT_MS, err);
    if (outcome == OUTCOME_OK)
        outcome = settle_committed(run, err);
    else if (outcome == OUTCOME_REJECT && kafka_redriver_record_refused(err))
        outcome = settle_refused(run, err);
    else if (outcome == OUTCOME_RETRY && run->setbacks < SETBACKS_MAX && !interrupted()) {
        settle_unsure(run);
        outcome = OUTCOME_OK;
    }
    fflush(stdout);
    run->batch_count = run->batch_bytes = 0;
    return outcome;
}

/* Until as many may have gone back. */
static void keep_rate(const struct run *run)
{
    int64_t rate = run->redrive->rate;
    int64_t left_us;
    if (rate == 0)
        return;
    int64_t due_us = run->started_us + (int64_t)(run->done * 1000000 / (uint64_t)rate);
    while (!interrupted() && (left_us = due_us - clock_monotonic_us()) > 0)
        clock_sleep_us(left_us < PAUSE_MAX_US ? left_us : PAUSE_MAX_US);
}

static enum outcome send_letter(struct run *run, size_t index, const struct message *message,
                                struct arena *arena, struct err *err)
{
    const struct letter *letter = &run->letters.items[index];
    struct outgoing_record record, mark, audit;
    enum outcome outcome = letter_restore(message, letter, arena, &record, err);
    if (outcome == OUTCOME_OK)
        outcome = letter_mark(letter, arena, &mark, err);
    if (outcome == OUTCOME_OK)
        outcome = make_audit(run, letter, arena, &audit, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_begin(run->redriver, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    run->waiting--;
    outcome = kafka_redriver_send(run->redriver, &record, letter->origin_partition, err);
    if (outcome != OUTCOME_OK && kafka_redriver_record_refused(err)) {
        struct err why = *err;
        return refuse(run, index, why.text, err);
    }
    CRASH_POINT(half_produced);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(run->redriver, &mark, letter->partition, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(run->redriver, &audit, -1, err);
    run->fates[index] = QUEUED;
    run->batch[run->batch_count++] = index;
    run->batch_bytes += message->value.length + message->key.length;
    return outcome;
}

static bool is_full(const struct run *run, bool alone)
{
    return run->batch_count > 0 &&
           (alone || run->batch_count >= run->batch_max ||
            run->batch_bytes >= BYTES_PER_TRANSACTION || kafka_redriver_is_due(run->redriver));
}

static enum outcome take_record(void *context, const struct message *message, struct arena *arena,
                                bool *ret_stop, struct err *err)
{
    struct run *run = context;
    const struct letter *letter =
        letter_list_find(&run->letters, message->topic, message->partition, message->offset);
    size_t index = letter != NULL ? (size_t)(letter - run->letters.items) : 0;
    bool alone = letter != NULL && run->fates[index] == ALONE;
    enum outcome outcome = alone ? commit(run, err) : OUTCOME_OK;
    if (outcome == OUTCOME_OK && !run->again && letter != NULL &&
        (alone || run->fates[index] == WAITING))
        outcome = send_letter(run, index, message, arena, err);
    if (outcome == OUTCOME_OK && is_full(run, alone)) {
        outcome = commit(run, err);
        keep_rate(run);
    }
    *ret_stop = run->again || run->waiting == 0;
    return outcome;
}

/* Takes the transactional id first, and only then looks where the topics end: what an earlier
 * redrive committed is before those ends. */
static enum outcome take_over(struct run *run, struct letter_list *ret_letters, struct err *err)
{
    const struct redrive *redrive = run->redrive;
    if (run->redriver != NULL)
        kafka_redriver_free(run->redriver);
    run->redriver = NULL;
    enum outcome outcome = kafka_redriver_new(redrive->config, TIMEOUT_MS, &run->redriver, err);
    return outcome == OUTCOME_OK
               ? letter_list_read(redrive->config, &redrive->topics, &redrive->filter,
                                  redrive->arena, ret_letters, err)
               : outcome;
}

static enum outcome look_again(struct run *run, size_t index, const struct letter_list *now,
                               struct err *err)
{
    enum fate *fate = &run->fates[index];
    const struct letter *letter = &run->letters.items[index];
    if (*fate != WAITING && *fate != ALONE && *fate != UNSURE)
        return OUTCOME_OK;
    bool unsure = *fate == UNSURE;
    letter = letter_list_find(now, letter->topic, letter->partition, letter->offset);
    if (letter == NULL || !letter->redriven) {
        *fate = unsure ? WAITING : *fate;
        return OUTCOME_OK;
    }
    run->waiting--;
    if (unsure)
        return settle_redriven(run, index, err);
    *fate = LEFT;
    run->already++;
    return OUTCOME_OK;
}

/* Between the failure and now the brokers may have committed after all, and another redrive may
 * have sent back what waits here. */
static enum outcome take_over_again(struct run *run, struct err *err)
{
    struct letter_list now;
    const struct arena_mark mark = arena_mark(run->redrive->arena);
    enum outcome outcome = take_over(run, &now, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < run->letters.count; i++)
        outcome = look_again(run, i, &now, err);
    arena_rewind(run->redrive->arena, mark);
    return outcome;
}

static enum outcome send_all(struct run *run, struct err *err)
{
    const struct redrive *redrive = run->redrive;
    enum outcome outcome = OUTCOME_OK;
    run->batch_max = LETTERS_PER_TRANSACTION;
    if (redrive->rate > 0 && redrive->rate / 10 < LETTERS_PER_TRANSACTION)
        run->batch_max = redrive->rate / 10 > 0 ? (size_t)(redrive->rate / 10) : 1;
    run->started_us = clock_monotonic_us();
    do {
        if (run->again)
            outcome = take_over_again(run, err);
        run->again = false;
        if (outcome == OUTCOME_OK && run->waiting > 0)
            outcome = letter_topics_visit(redrive->config, &redrive->topics, take_record, run, err);
        if (outcome == OUTCOME_OK)
            outcome = commit(run, err);
    } while (outcome == OUTCOME_OK && run->again && run->waiting > 0);
    return outcome;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static enum outcome perform(struct run *run, struct err *err)
{
    struct redrive *redrive = run->redrive;
    enum outcome outcome =
        redrive->dry_run ? letter_list_read(redrive->config, &redrive->topics, &redrive->filter,
                                            redrive->arena, &run->letters, err)
                         : take_over(run, &run->letters, err);
    if (outcome == OUTCOME_OK)
        outcome = choose(run, err);
    return outcome == OUTCOME_OK && !redrive->dry_run ? send_all(run, err) : outcome;
}

static enum exit_code conclude(const struct run *run, enum outcome outcome, const struct err *err)
{
    const struct redrive *redrive = run->redrive;
    fprintf(stderr,
            "catalyst-worker dlq: %" PRIu64 " redriven, %zu chosen, %zu refused, %zu were redriven "
            "before\n",
            run->done, run->chosen, run->refused, run->already);
    if (outcome != OUTCOME_OK && strcmp(err->code, "_FENCED") == 0)
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN,
                        "another redrive took over, or the brokers ended a transaction that was "
                        "open for too long");
    if (outcome != OUTCOME_OK && interrupted())
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN,
                        "interrupted; the same call goes on where it was");
    if (outcome != OUTCOME_OK)
        return cli_kafka_fail(redrive->arguments, err);
    if (redrive->filter.coordinate_count > run->letters.count)
        return cli_fail(redrive->arguments, EXIT_NOT_FOUND, "%zu of the letters are not there",
                        redrive->filter.coordinate_count - run->letters.count);
    if (!redrive->dry_run && run->waiting > 0)
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN,
                        "letters went away while they were read");
    return run->refused > 0 ? EXIT_DATA : EXIT_DONE;
}

enum exit_code redrive_run(struct redrive *redrive)
{
    struct run run = {.redrive = redrive};
    struct policies policies;
    struct err err = {0};

    if (policies_init(&policies, redrive->config))
        run.audit_topic = policies_own_topic(&policies, redrive->config, TEXT(LETTER_AUDIT_SOURCE));
    policies_release(&policies);
    if (run.audit_topic == NULL)
        return cli_fail(redrive->arguments, EXIT_CONFIG,
                        "no command topic takes audit.append of source " LETTER_AUDIT_SOURCE
                        ": see [topic NAME] types and sources");
    enum outcome outcome = perform(&run, &err);
    enum exit_code code = conclude(&run, outcome, &err);
    if (run.redriver != NULL)
        kafka_redriver_free(run.redriver);
    return code;
}
