#include "worker/lane/skip.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "events/command_message.h"
#include "worker/lane/bisect.h"
#include "worker/lane/context.h"
#include "worker/lane/publish.h"
#include "worker/lane/report.h"

enum { LOOK_EVERY_US = 5 * 1000 * 1000, ID_MAX_BYTES = 256 };

#define SOURCE "catalyst-worker/skip"

/* One attempt: a store that is away is the matter of the next batch. */
static void connect_again(struct lane *lane)
{
    struct err err;

    lane->recovered = true;
    (void)store_recover(lane->store, &err);
}

static void report(enum log_level level, const char *message, const struct lane *lane,
                   const struct skip_request *skip, const char *why)
{
    log_line(level, message, LOG_INT("lane", lane->options.index), LOG_TEXT("topic", skip->topic),
             LOG_INT("partition", skip->partition), LOG_INT("from", skip->from),
             LOG_INT("to", skip->to), LOG_TEXT("reason", skip->reason), LOG_STR("why", why));
}

/* topic:partition:from-to; of a topic with a long name its audit id as text, which is as unique. */
static struct text id_of(const struct skip_request *skip, struct arena *arena)
{
    char *id = arena_printf(arena, "%.*s:%" PRId32 ":%" PRId64 "-%" PRId64, TEXT_ARG(skip->topic),
                            skip->partition, skip->from, skip->to);
    char *text = arena_alloc(arena, UUID_TEXT_LENGTH + 1);

    if (id == NULL || text == NULL)
        return TEXT_ABSENT;
    if (strlen(id) <= ID_MAX_BYTES)
        return text_of(id);
    struct uuid uuid = audit_id_of(TEXT(SOURCE), text_of(id));
    uuid_format(&uuid, text);
    return (struct text){text, UUID_TEXT_LENGTH};
}

/* The audit.append command that says so. */
static enum outcome command_of(const struct skip_request *skip, struct arena *arena,
                               struct outgoing_record *ret_record, struct command *ret_command,
                               struct err *err)
{
    struct text id = id_of(skip, arena);
    char *resource = arena_printf(arena, "%.*s:%" PRId32, TEXT_ARG(skip->topic), skip->partition);
    struct buffer line;

    if (!text_present(id) || resource == NULL)
        return err_no_memory(err, "skip");
    buffer_init(&line, arena);
    struct json_writer json = json_writer_of(&line);
    json_begin_object(&json, NULL);
    json_text(&json, "type", TEXT("dev.catalyst.audit.append.v1"));
    json_text(&json, "source", TEXT(SOURCE));
    json_text(&json, "id", id);
    json_time(&json, "time", skip->requested_us);
    json_begin_object(&json, "data");
    json_text(&json, "category", TEXT("operations"));
    json_text(&json, "action", TEXT("partition.skipped"));
    json_begin_object(&json, "resource");
    json_text(&json, "type", TEXT("partition"));
    json_text(&json, "id", text_of(resource));
    json_end_object(&json);
    json_begin_object(&json, "metadata");
    json_int(&json, "from", skip->from);
    json_int(&json, "to", skip->to);
    json_text(&json, "reason", skip->reason);
    json_end_object(&json);
    json_end_object(&json);
    json_end_object(&json);
    if (line.full)
        return err_no_memory(err, "skip");
    return command_message_from_json(buffer_text(&line), skip->topic, skip->requested_us, arena,
                                     ret_record, ret_command, err);
}

/* The command stands at the last offset that is skipped: behind it the partition goes on. */
static enum outcome process(struct lane *lane, const struct skip_request *skip, uint64_t generation,
                            struct err *err)
{
    struct outgoing_record record;
    struct command command;

    arena_reset(lane->arena);
    lane->limits.max_record_bytes = sink_record_bytes_max(lane->sink);
    enum outcome outcome = command_of(skip, lane->arena, &record, &command, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct message message = {.topic = skip->topic,
                              .partition = skip->partition,
                              .offset = skip->to - 1,
                              .timestamp_ms = skip->requested_us / 1000,
                              .value = record.value};
    struct entry entry = {
        .message = &message, .topic_id = topic_id_of(lane, skip->topic), .command = command};
    struct position position = {skip->topic, skip->partition, skip->to};
    struct position committed;
    struct batch batch = {.lane = lane,
                          .arena = lane->arena,
                          .entries = &entry,
                          .count = 1,
                          .positions = &position,
                          .position_count = 1,
                          .committed = &committed,
                          .generation = generation,
                          .overlap = {.run = publish_overlapping, .context = &batch}};

    outcome = bisect_settle(lane, &batch, err);
    if (outcome == OUTCOME_OK && entry.state == ENTRY_DEAD)
        outcome = err_set(err, OUTCOME_REJECT, "", "%s", entry.reason.message);
    else if (outcome == OUTCOME_OK)
        outcome = publish_batch(lane, &batch, err);
    lane->hand = NULL;
    if (outcome == OUTCOME_OK) {
        progress_published(&lane->progress, &batch);
        batch_report(lane, &batch);
    }
    return outcome;
}

/* What may become of a request. */
enum verdict { CARRY_OUT, WAIT, DROP };

/* Commands that can be read come first, so that none is lost: the partition must be stuck where the
 * group stands. `unread` is the operator's word that reading ends the process. */
static enum verdict judge(struct lane *lane, const struct skip_request *skip,
                          const struct position *committed)
{
    struct stuck stuck;

    if (committed->offset >= skip->to || (committed->offset >= 0 && committed->offset < skip->from))
        return DROP;
    if (skip->unread)
        return committed->offset < 0 || committed->offset == skip->from ? CARRY_OUT : DROP;
    if (!source_stuck(lane->source, committed, &stuck) || stuck.at.offset >= skip->to)
        return WAIT;
    return committed->offset < 0 || committed->offset == stuck.at.offset ? CARRY_OUT : WAIT;
}

/* true: the partition's offset may have moved. */
static bool carry_out(struct lane *lane, const struct skip_request *skip, uint64_t generation)
{
    struct position position = {skip->topic, skip->partition, -1};
    struct err err;

    if (source_committed(lane->source, &position, 1, &err) != OUTCOME_OK)
        return false;
    enum verdict verdict = judge(lane, skip, &position);
    if (verdict == WAIT)
        return false;
    if (verdict == CARRY_OUT) {
        enum outcome outcome = process(lane, skip, generation, &err);
        if (outcome != OUTCOME_OK) {
            report(LOG_ERROR, "partition not skipped", lane, skip, err.text);
            return true; /* looked at again: the committed offset tells */
        }
        report(LOG_WARN, "partition skipped", lane, skip, "");
    } else {
        report(LOG_WARN, "a request to skip is dropped", lane, skip,
               "the partition is past it, or stands at another offset than when it was written");
    }
    if (store_delete_skip(lane->store, skip, lane->scratch, &err) != OUTCOME_OK)
        connect_again(lane); /* deleted the next time */
    return verdict == CARRY_OUT;
}

/* Commands of the partition that are not processed yet. */
static bool is_in_hand(const struct skip_request *skip, const struct message *messages,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (messages[i].partition == skip->partition && text_equal(messages[i].topic, skip->topic))
            return true;
    }
    return false;
}

bool skip_follow(struct lane *lane, const struct message *messages, size_t count,
                 uint64_t generation)
{
    const struct skip_request *skips;
    int64_t now_us = clock_monotonic_us();
    struct err err;
    size_t skip_count;

    if (lane->progress.count == 0 || now_us - lane->looked_for_skips_us < LOOK_EVERY_US)
        return false;
    lane->looked_for_skips_us = now_us;
    arena_reset(lane->scratch);
    if (store_load_skips(lane->store, lane->scratch, &skips, &skip_count, &err) != OUTCOME_OK) {
        connect_again(lane);
        return false;
    }
    for (size_t i = 0; i < skip_count; i++) {
        int32_t topic_id = topic_id_of(lane, skips[i].topic);
        bool waits = !skips[i].unread && is_in_hand(&skips[i], messages, count);
        if (!waits && progress_has(&lane->progress, topic_id, skips[i].partition) &&
            carry_out(lane, &skips[i], generation))
            return true;
    }
    return false;
}
