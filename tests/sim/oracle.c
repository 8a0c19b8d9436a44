#include "tests/sim/oracle.h"

#include <assert.h>
#include <stdio.h>

#include "events/audit_message.h"
#include "events/command_message.h"
#include "events/rejections.h"
#include "tests/sim/sim_commands.h"

/* --- writing the topic ---------------------------------------------------------------------- */

static void write_message(struct oracle *oracle, int partition, int type, const char *id,
                          const char *entity, int variant)
{
    int64_t offset = sim.topic_end[partition]++;
    struct sim_message *slot = &sim.topic[partition][offset];

    *slot = (struct sim_message){
        .message = sim_command(oracle->arena, (enum sim_command_type)type, id, entity, variant)};
    slot->message.partition = partition;
    slot->message.offset = offset;
    snprintf(slot->source_id, sizeof(slot->source_id), "%s", id);
}

static void write_copy(int partition, const struct sim_message *of)
{
    int64_t offset = sim.topic_end[partition]++;
    struct sim_message *slot = &sim.topic[partition][offset];

    *slot = *of;
    slot->message.partition = partition;
    slot->message.offset = offset;
}

static void write_poison(int partition)
{
    static uint8_t bytes[SIM_POISON_BYTES];
    int64_t offset = sim.topic_end[partition]++;

    memset(bytes, 0xc1, sizeof(bytes));
    sim.topic[partition][offset] =
        (struct sim_message){.message = {.topic = TEXT("commands"),
                                         .partition = partition,
                                         .offset = offset,
                                         .timestamp_ms = 1 + (int64_t)sim_random(SIM_AGE_MAX_MS),
                                         .value = {bytes, sim_random(4) > 0 ? 1 : sizeof(bytes)}}};
}

static void write_one(struct oracle *oracle, int partition, int nth)
{
    char id[16];
    char entity[16];
    int64_t there = sim.topic_end[partition];
    uint64_t what = sim_random(100);
    const struct sim_message *earlier =
        there > 0 ? &sim.topic[partition][sim_random((uint64_t)there)] : NULL;

    snprintf(id, sizeof(id), "%d-%d", partition, nth);
    if (what < 8) {
        write_poison(partition);
    } else if (what < 12) {
        snprintf(entity, sizeof(entity), "u%d-0", partition);
        write_message(oracle, partition, 0, id, entity,
                      sim_random(4) > 0 ? SIM_REFUSED : SIM_STUBBORN);
        sim.topic[partition][there].refused = true;
    } else if (what < 20 && earlier != NULL && earlier->source_id[0] != '\0') {
        write_copy(partition, earlier);
    } else if (what < 30 && earlier != NULL && !earlier->refused && earlier->source_id[0] != '\0') {
        snprintf(entity, sizeof(entity), "u%d-0", partition);
        write_message(oracle, partition, 0, earlier->source_id, entity, 100 + nth % 2);
    } else {
        int type = (int)sim_random(3);
        snprintf(entity, sizeof(entity), "%c%d-%d", type == 0 ? 'u' : 'k', partition,
                 (int)sim_random(2));
        write_message(oracle, partition, type, id, entity, nth);
    }
}

/* --- expecting ------------------------------------------------------------------------------ */

static struct command_result model_apply(struct model *model, const struct command *command,
                                         struct arena *arena)
{
    bool is_new = false;

    if (command->type->kind == USER_UPSERT) {
        map_put(model->users, 0, ((const struct user *)command->record)->id, &is_new);
        return (struct command_result){.created = is_new};
    }
    const struct key *key = command->record;
    if (command->type->kind == KEY_ISSUE_COMMAND) {
        *map_put(model->keys, 0, key->id, &is_new) += is_new ? 1 : 0;
        return (struct command_result){.created = true,
                                       .rejection = is_new ? NULL : REJECTION_KEY_DUPLICATE_ID};
    }
    if (map_get(model->keys, 0, key->id) == NULL)
        return (struct command_result){.rejection = REJECTION_KEY_NOT_FOUND};
    size_t *count = map_put(model->keys, 0, key->id, &is_new);
    struct key *after = arena_alloc(arena, sizeof(*after));
    assert(after != NULL);
    *after = *key;
    after->owner = (struct ref){TEXT("user"), TEXT("u")};
    after->usage_count = (int64_t)(*count)++;
    return (struct command_result){.row = after};
}

static void expect(struct oracle *oracle, struct model *model, const struct audit_event *event,
                   const struct sim_message *message)
{
    struct outgoing_record record;
    struct err err = {0};
    bool is_new = false;
    char *id = arena_alloc(oracle->arena, UUID_TEXT_LENGTH + 1);

    uuid_format(&event->id, id);
    size_t *slot = map_put(&model->answered, 0, (struct text){id, UUID_TEXT_LENGTH}, &is_new);
    if (!is_new) {
        if (oracle->events[*slot].partition != message->message.partition)
            oracle->events[*slot].anywhere = true;
        return;
    }
    enum outcome outcome = audit_message_encode(event, TEXT("audit"), oracle->arena, &record, &err);
    assert(outcome == OUTCOME_OK);
    assert(oracle->event_count < SIM_STORED_MAX);
    *slot = oracle->event_count;
    struct expected *expected = &oracle->events[oracle->event_count++];
    *expected = (struct expected){.value = record.value.data,
                                  .length = record.value.length,
                                  .partition = message->message.partition};
    snprintf(expected->id, sizeof(expected->id), "%s", id);
}

static void expect_message(struct oracle *oracle, struct model *model, struct sim_message *message)
{
    struct command command;
    struct audit_event event;
    struct err err = {0};
    bool is_new = false;

    message->dead =
        command_decode(&message->message, oracle->arena, &command, &err) != OUTCOME_OK ||
        (sim_refuses(&command) && map_get(&model->contents, 0, command.envelope.id) == NULL);
    if (message->dead)
        return;
    size_t *content = map_put(&model->contents, 0, command.envelope.id, &is_new);
    enum outcome outcome;
    if (!is_new && !uuid_equal(&model->digests[*content - 1], &command.digest)) {
        outcome = command_conflict_event(&command, oracle->arena, &event, &err);
    } else {
        struct command_result result = {0};
        if (is_new) {
            model->digests[model->digest_count++] = command.digest;
            *content = model->digest_count;
            result = model_apply(model, &command, oracle->arena);
        }
        outcome = command_event(&command, &result, oracle->arena, &event, &err);
    }
    assert(outcome == OUTCOME_OK);
    expect(oracle, model, &event, message);
}

/* A record that can't be read, but not one whose copy is in another partition, and an operator who
 * asks to skip it. */
static void make_unreadable(void)
{
    int p = 2;
    int64_t at = (int64_t)sim_random((uint64_t)sim.topic_end[p]);

    sim.skip = (struct skip_request){.topic = TEXT("commands"),
                                     .partition = p,
                                     .to = at + 1,
                                     .reason = TEXT("simulated"),
                                     .requested_us = 1};
    sim.skip_to = at + 1;
    sim.unreadable = true;
}

/* One event says so, by the id of the request. */
static void expect_skip(struct oracle *oracle, struct model *model)
{
    char line[512];
    struct outgoing_record record;
    struct command command;
    struct audit_event event;
    struct command_result result = {0};
    struct err err = {0};
    const struct sim_message message = {.message.partition = sim.skip.partition};

    snprintf(line, sizeof(line),
             "{\"type\":\"dev.catalyst.audit.append.v1\",\"source\":\"catalyst-worker/skip\","
             "\"id\":\"commands:%d:%lld-%lld\",\"time\":\"1970-01-01T00:00:00.000001Z\","
             "\"data\":{\"category\":\"operations\",\"action\":\"partition.skipped\","
             "\"resource\":{\"type\":\"partition\",\"id\":\"commands:%d\"},\"metadata\":"
             "{\"from\":%lld,\"to\":%lld,\"reason\":\"simulated\"}}}",
             sim.skip.partition, (long long)sim.skip.from, (long long)sim.skip.to,
             sim.skip.partition, (long long)sim.skip.from, (long long)sim.skip.to);
    enum outcome outcome = command_message_from_json(text_of(line), TEXT("commands"), 1,
                                                     oracle->arena, &record, &command, &err);
    assert(outcome == OUTCOME_OK);
    outcome = command_event(&command, &result, oracle->arena, &event, &err);
    assert(outcome == OUTCOME_OK);
    expect(oracle, model, &event, &message);
}

void oracle_write_topic(struct oracle *oracle)
{
    struct model *model = &oracle->model;
    struct map *const maps[] = {&oracle->users, &oracle->keys, &model->contents, &model->answered};

    arena_reset(oracle->arena);
    oracle->event_count = 0;
    model->users = &oracle->users;
    model->keys = &oracle->keys;
    model->digest_count = 0;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        bool done = map_init(maps[i], oracle->arena, 32);
        assert(done);
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        int count = 2 + (int)sim_random(SIM_MESSAGES_MAX - 3);
        for (int i = 0; i < count; i++)
            write_one(oracle, p, i);
    }
    /* the same command in two partitions: whichever comes first answers */
    write_message(oracle, 0, 0, "x", "x", 1);
    write_copy(1, &sim.topic[0][sim.topic_end[0] - 1]);

    if (sim_chance(10))
        make_unreadable();
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        for (int64_t i = 0; i < sim.topic_end[p]; i++) {
            if (sim.unreadable && p == sim.skip.partition && i == sim.skip_to - 1)
                expect_skip(oracle, model);
            else
                expect_message(oracle, model, &sim.topic[p][i]);
        }
    }
}

static bool has_dead(int partition)
{
    for (int64_t i = 0; i < sim.topic_end[partition]; i++) {
        if (sim.topic[partition][i].dead)
            return true;
    }
    return false;
}

static void log_goes_back(struct oracle *oracle, int partition)
{
    struct sim_message *log = sim.topic[partition];
    int64_t lost = 2 + (int64_t)sim_random((uint64_t)sim.topic_end[partition] - 1);
    int64_t left = sim.topic_end[partition] - lost;

    memmove(log, log + lost, (size_t)left * sizeof(*log));
    for (int64_t i = 0; i < left; i++)
        log[i].message.offset = i;
    sim.topic_end[partition] = left;
    for (int64_t nth = 0; nth < 1 + (int64_t)sim_random((uint64_t)lost - 1); nth++) {
        char id[16];
        char entity[16];
        snprintf(id, sizeof(id), "%d+%d", partition, (int)nth);
        snprintf(entity, sizeof(entity), "u%d-%d", partition, (int)sim_random(3));
        write_message(oracle, partition, 0, id, entity, (int)nth);
        expect_message(oracle, &oracle->model, &log[left + nth]);
    }
}

void oracle_logs_go_back(struct oracle *oracle)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (sim.topic_end[p] > 2 && !has_dead(p) && !(sim.unreadable && p == sim.skip.partition) &&
            sim_random(3) > 0)
            log_goes_back(oracle, p);
    }
}

/* --- judging -------------------------------------------------------------------------------- */

static struct expected *expected_find(struct oracle *oracle, const char *id)
{
    for (size_t i = 0; i < oracle->event_count; i++) {
        if (strcmp(oracle->events[i].id, id) == 0)
            return &oracle->events[i];
    }
    return NULL;
}

static bool audit_record_holds(struct oracle *oracle, const struct sim_record *record,
                               const struct expected **last_of_partition, char *ret_what)
{
    struct expected *expected = expected_find(oracle, record->id);

    if (expected == NULL) {
        snprintf(ret_what, 256, "audit event %s answers no command", record->id);
        return false;
    }
    if (++expected->seen > 1) {
        snprintf(ret_what, 256, "audit event %s is there twice", record->id);
        return false;
    }
    if (expected->length != record->value_length ||
        memcmp(expected->value, record->value, record->value_length) != 0) {
        snprintf(ret_what, 256, "audit event %s differs from the sequential one", record->id);
        return false;
    }
    if (!expected->anywhere) {
        const struct expected **last = &last_of_partition[expected->partition];
        if (*last != NULL && *last > expected) {
            snprintf(ret_what, 256, "audit event %s is out of order", record->id);
            return false;
        }
        *last = expected;
    }
    return true;
}

/* The lane changes a letter only where its topic refuses the letter as received. The lane finds the
 * limits of timestamps by halves, so timestamps within half of the topic's limit are never changed.
 */
static bool form_holds(const struct sim_record *record, const struct message *origin)
{
    bool has_key = record->key_length > 0;
    bool dated = record->timestamp_ms != origin->timestamp_ms;

    if (dated ? origin->timestamp_ms <= sim.letter_age_max_ms / 2 || record->timestamp_ms != -1
              : origin->timestamp_ms > sim.letter_age_max_ms)
        return false;
    return has_key == (sim.letters_need_keys && origin->key.data == NULL) &&
           record->changed == (has_key || dated);
}

/* Cut only where the topic does not take it whole. */
static bool dead_letter_holds(const struct sim_record *record, char *ret_what)
{
    struct sim_message *origin = NULL;

    if (record->origin_partition >= 0 && record->origin_partition < SIM_PARTITIONS &&
        record->origin_offset >= 0 && record->origin_offset < SIM_MESSAGES_MAX)
        origin = &sim.topic[record->origin_partition][record->origin_offset];
    if (origin == NULL || !origin->dead) {
        snprintf(ret_what, 256, "a dead letter of partition %d, offset %lld, where there is none",
                 record->origin_partition, (long long)record->origin_offset);
        return false;
    }
    origin->letters++;
    struct slice value = origin->message.value;
    bool whole = value.length < sim.topic_bytes_max ? record->value_length == value.length
                                                    : record->value_length <= value.length;
    if (!form_holds(record, &origin->message)) {
        snprintf(ret_what, 256, "the dead letter of partition %d, offset %lld is changed or is not",
                 record->origin_partition, (long long)record->origin_offset);
        return false;
    }
    if (!whole || memcmp(record->value, value.data, record->value_length) != 0) {
        snprintf(ret_what, 256, "the dead letter of partition %d, offset %lld is another message",
                 record->origin_partition, (long long)record->origin_offset);
        return false;
    }
    return true;
}

static bool dead_letters_hold(int passes, char *ret_what)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        for (int64_t i = 0; i < sim.topic_end[p]; i++)
            sim.topic[p][i].letters = 0;
    }
    for (size_t i = 0; i < sim.record_count; i++) {
        const struct sim_record *record = &sim.records[i];
        if (record->state == RECORD_COMMITTED && record->dead &&
            !dead_letter_holds(record, ret_what))
            return false;
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        for (int64_t i = 0; i < sim.topic_end[p]; i++) {
            const struct sim_message *message = &sim.topic[p][i];
            if (message->letters == (message->dead ? passes : 0))
                continue;
            snprintf(ret_what, 256, "%d dead letters of partition %d, offset %lld after %d passes",
                     message->letters, p, (long long)i, passes);
            return false;
        }
    }
    return true;
}

static bool rows_hold(const struct oracle *oracle, char *ret_what)
{
    if (sim_row_count() != oracle->users.used + oracle->keys.used) {
        snprintf(ret_what, 256, "%zu rows instead of %zu", sim_row_count(),
                 oracle->users.used + oracle->keys.used);
        return false;
    }
    for (size_t i = 0; i < oracle->users.capacity; i++) {
        const struct map_slot *user = &oracle->users.slots[i];
        if (user->hash != 0 && !sim_user_exists(user->key)) {
            snprintf(ret_what, 256, "user %.*s is missing", TEXT_ARG(user->key));
            return false;
        }
    }
    for (size_t i = 0; i < oracle->keys.capacity; i++) {
        const struct map_slot *key = &oracle->keys.slots[i];
        if (key->hash != 0 && sim_key_usage(key->key) != (int64_t)key->value - 1) {
            snprintf(ret_what, 256, "key %.*s was used %lld times instead of %lld",
                     TEXT_ARG(key->key), (long long)sim_key_usage(key->key),
                     (long long)key->value - 1);
            return false;
        }
    }
    return true;
}

bool oracle_holds(struct oracle *oracle, int passes, char *ret_what)
{
    const struct expected *last_of_partition[SIM_PARTITIONS] = {NULL};

    for (size_t i = 0; i < oracle->event_count; i++)
        oracle->events[i].seen = 0;
    for (size_t i = 0; i < sim.record_count; i++) {
        const struct sim_record *record = &sim.records[i];
        if (record->state != RECORD_COMMITTED)
            continue;
        if (!record->dead && !audit_record_holds(oracle, record, last_of_partition, ret_what))
            return false;
    }
    for (size_t i = 0; i < oracle->event_count; i++) {
        if (oracle->events[i].seen == 0) {
            snprintf(ret_what, 256, "audit event %s is missing", oracle->events[i].id);
            return false;
        }
    }
    if (sim.stored_count != oracle->event_count) {
        snprintf(ret_what, 256, "%zu rows for %zu answers", sim.stored_count, oracle->event_count);
        return false;
    }
    for (size_t i = 0; i < sim.stored_count; i++) {
        if (sim.stored[i].times != 1) {
            snprintf(ret_what, 256, "a command was recorded %d times", sim.stored[i].times);
            return false;
        }
    }
    if (sim.doubled) {
        snprintf(ret_what, 256, "a lane recorded an id twice at once");
        return false;
    }
    return dead_letters_hold(passes, ret_what) && rows_hold(oracle, ret_what);
}
