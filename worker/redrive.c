#include "worker/redrive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "worker/cli_kafka.h"
#include "worker/interrupt.h"
#include "worker/kafka_redriver.h"

enum {
    TIMEOUT_MS = 60000,
    LETTERS_PER_TRANSACTION = 100,
    BYTES_PER_TRANSACTION = 16 * 1024 * 1024,
};

struct run {
    struct redrive *redrive;
    struct kafka_redriver *redriver; /* NULL: a dry run */
    struct letter_list letters;
    const char **faults; /* one for each; NULL: it goes back */
    size_t chosen, refused, already;

    int64_t started_us;
    const struct letter **batch; /* of the open transaction */
    size_t batch_count, batch_bytes, batch_max;
    uint64_t done;
};

/* --- what goes back ----------------------------------------------------------------------------
 */

/* The command topic of a dead-letter topic. */
static struct text origin_of(const struct config *config, struct text topic)
{
    size_t suffix = strlen(config->dlq_suffix);
    return topic.length > suffix ? (struct text){topic.data, topic.length - suffix} : TEXT_ABSENT;
}

static enum outcome report(const struct letter *letter, const char *outcome, const char *why,
                           struct arena *arena, struct err *err)
{
    struct buffer line;
    buffer_init(&line, arena);
    char *name = arena_printf(arena, "%.*s:%" PRId32 ":%" PRId64, TEXT_ARG(letter->topic),
                              letter->partition, letter->offset);
    if (name == NULL)
        return err_no_memory(err, "redrive");
    buffer_append_literal(&line, "{\"letter\":");
    json_append_string(&line, text_of(name));
    buffer_append_literal(&line, ",\"outcome\":");
    json_append_string(&line, text_of(outcome));
    if (why != NULL) {
        buffer_append_literal(&line, ",\"why\":");
        json_append_string(&line, text_of(why));
    }
    buffer_append_byte(&line, '}');
    if (line.full)
        return err_no_memory(err, "redrive");
    printf("%.*s\n", TEXT_ARG(buffer_text(&line)));
    return OUTCOME_OK;
}

/* Judges every letter before the first goes back. */
static enum outcome choose(struct run *run, struct err *err)
{
    struct redrive *redrive = run->redrive;
    run->faults = ARENA_ARRAY(redrive->arena, const char *, run->letters.count + 1);
    run->batch = ARENA_ARRAY(redrive->arena, const struct letter *, LETTERS_PER_TRANSACTION);
    if (run->faults == NULL || run->batch == NULL)
        return err_no_memory(err, "redrive");
    for (size_t i = 0; i < run->letters.count; i++) {
        const struct letter *letter = &run->letters.items[i];
        const char *fault =
            letter_fault(letter, origin_of(redrive->config, letter->topic), redrive->max_redrives);
        enum outcome outcome = OUTCOME_OK;
        bool beyond = fault == NULL && (int64_t)run->chosen >= redrive->limit;
        run->faults[i] = beyond ? "--limit" : fault;
        if (letter->redriven) {
            run->already++;
        } else if (fault != NULL) {
            run->refused++;
            outcome = report(letter, "refused", fault, redrive->arena, err);
        } else if (!beyond) {
            run->chosen++;
            if (redrive->dry_run)
                outcome = report(letter, "would be redriven", NULL, redrive->arena, err);
        }
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* --- sending -----------------------------------------------------------------------------------
 */

static enum outcome commit(struct run *run, struct err *err)
{
    if (run->batch_count == 0)
        return OUTCOME_OK;
    enum outcome outcome = kafka_redriver_commit(run->redriver, TIMEOUT_MS, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < run->batch_count; i++) {
        outcome = report(run->batch[i], "redriven", NULL, run->redrive->arena, err);
        run->done++;
    }
    fflush(stdout);
    run->batch_count = run->batch_bytes = 0;
    return outcome;
}

/* Until as many may have gone back. */
static void keep_rate(const struct run *run)
{
    int64_t rate = run->redrive->rate;
    if (rate == 0)
        return;
    int64_t due_us = run->started_us + (int64_t)(run->done * 1000000 / (uint64_t)rate);
    while (!interrupted() && clock_monotonic_us() < due_us) {
        int64_t left_us = due_us - clock_monotonic_us();
        struct timespec pause = {.tv_nsec = left_us < 100000 ? (left_us > 0 ? left_us : 1) * 1000
                                                             : 100000000};
        nanosleep(&pause, NULL);
    }
}

static enum outcome send_letter(struct run *run, const struct letter *letter,
                                const struct message *message, struct arena *arena, struct err *err)
{
    struct outgoing record, mark, audit;
    enum outcome outcome = letter_restore(message, letter, arena, &record, err);
    if (outcome == OUTCOME_OK)
        outcome = letter_mark(letter, arena, &mark, err);
    if (outcome == OUTCOME_OK)
        outcome = letter_audit(letter, text_of(run->redrive->config->command_topics[0]),
                               clock_wall_us(), arena, &audit, err);
    if (outcome == OUTCOME_OK && run->batch_count == 0)
        outcome = kafka_redriver_begin(run->redriver, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(run->redriver, &record, letter->origin_partition, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(run->redriver, &mark, letter->partition, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(run->redriver, &audit, -1, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    run->batch[run->batch_count++] = letter;
    run->batch_bytes += message->value.length + message->key.length;
    return OUTCOME_OK;
}

static enum outcome take_record(void *context, const struct message *message, struct arena *arena,
                                bool *ret_stop, struct err *err)
{
    struct run *run = context;
    const struct letter *letter =
        letter_list_find(&run->letters, message->topic, message->partition, message->offset);
    if (letter == NULL || run->faults[letter - run->letters.items] != NULL)
        return OUTCOME_OK;
    enum outcome outcome = send_letter(run, letter, message, arena, err);
    if (outcome == OUTCOME_OK &&
        (run->batch_count >= run->batch_max || run->batch_bytes >= BYTES_PER_TRANSACTION)) {
        outcome = commit(run, err);
        keep_rate(run);
    }
    *ret_stop = run->done + run->batch_count >= run->chosen;
    return outcome;
}

static enum outcome send_all(struct run *run, struct err *err)
{
    int64_t rate = run->redrive->rate;
    run->batch_max = rate > 0 && rate < LETTERS_PER_TRANSACTION * 10
                         ? (size_t)(rate / 10 > 0 ? rate / 10 : 1)
                         : LETTERS_PER_TRANSACTION;
    run->started_us = clock_monotonic_us();
    if (run->chosen == 0 || run->redrive->dry_run)
        return OUTCOME_OK;
    enum outcome outcome =
        letter_topics_visit(run->redrive->config, &run->redrive->topics, take_record, run, err);
    return outcome == OUTCOME_OK ? commit(run, err) : outcome;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

/* Takes the transactional id first, and only then looks where the topics end: what an earlier
 * redrive committed is before those ends. */
static enum outcome take_over(struct run *run, struct err *err)
{
    struct redrive *redrive = run->redrive;
    size_t count = 0, next = 0;
    enum outcome outcome = kafka_redriver_new(redrive->config, TIMEOUT_MS, &run->redriver, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < redrive->topics.count; i++)
        count += (size_t)redrive->topics.items[i].partitions;
    int64_t *ends = ARENA_ARRAY(redrive->arena, int64_t, count + 1);
    if (ends == NULL)
        return err_no_memory(err, "redrive");
    for (size_t i = 0; i < redrive->topics.count; i++) {
        for (int32_t p = 0; outcome == OUTCOME_OK && p < redrive->topics.items[i].partitions; p++)
            outcome = kafka_redriver_end(run->redriver, redrive->topics.items[i].name, p,
                                         &ends[next++], err);
    }
    redrive->topics.ends = ends;
    return outcome;
}

static enum outcome perform(struct run *run, struct err *err)
{
    struct redrive *redrive = run->redrive;
    enum outcome outcome = redrive->dry_run ? OUTCOME_OK : take_over(run, err);
    if (outcome == OUTCOME_OK)
        outcome = letter_list_read(redrive->config, &redrive->topics, &redrive->filter,
                                   redrive->arena, &run->letters, err);
    if (outcome == OUTCOME_OK)
        outcome = choose(run, err);
    return outcome == OUTCOME_OK ? send_all(run, err) : outcome;
}

static enum exit_code conclude(const struct run *run, enum outcome outcome, const struct err *err)
{
    const struct redrive *redrive = run->redrive;
    fprintf(stderr,
            "catalyst-worker dlq: %" PRIu64 " redriven, %zu chosen, %zu refused, %zu were redriven "
            "before\n",
            run->done, run->chosen, run->refused, run->already);
    if (outcome != OUTCOME_OK && strcmp(err->code, "_FENCED") == 0)
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN, "another redrive took over");
    if (outcome != OUTCOME_OK && interrupted())
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN,
                        "interrupted; the same call goes on where it was");
    if (outcome != OUTCOME_OK)
        return cli_kafka_fail(redrive->arguments, err);
    if (redrive->filter.coordinate_count > run->letters.count)
        return cli_fail(redrive->arguments, EXIT_NOT_FOUND, "%zu of the letters are not there",
                        redrive->filter.coordinate_count - run->letters.count);
    if (!redrive->dry_run && run->done < run->chosen)
        return cli_fail(redrive->arguments, EXIT_TRY_AGAIN,
                        "letters went away while they were read");
    return run->refused > 0 ? EXIT_DATA : EXIT_DONE;
}

enum exit_code redrive_run(struct redrive *redrive)
{
    struct run run = {.redrive = redrive};
    struct err err = {0};
    enum outcome outcome = perform(&run, &err);
    enum exit_code code = conclude(&run, outcome, &err);
    if (run.redriver != NULL)
        kafka_redriver_free(run.redriver);
    return code;
}
