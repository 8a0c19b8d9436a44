#include "worker/lane/batch.h"

#include <assert.h>

#include "worker/lane/context.h"

bool entry_bury(struct lane *lane, struct entry *entry, enum dead_letter_stage stage,
                const char *class_name, const char *message)
{
    const char *class_copy = arena_copy(lane->scratch, class_name, strlen(class_name));
    const char *message_copy = arena_copy(lane->scratch, message, strlen(message));

    assert(!entry->settled);
    if (class_copy == NULL || message_copy == NULL)
        return false;
    entry->state = ENTRY_DEAD;
    entry->event = NULL;
    entry->reason = (struct dead_letter_reason){stage, class_copy, message_copy};
    return true;
}

static struct position *position_of(struct batch *batch, const struct message *message)
{
    /* from the end: neighbours mostly come from the same partition */
    for (size_t i = batch->position_count; i-- > 0;) {
        struct position *position = &batch->positions[i];
        if (position->partition == message->partition &&
            text_equal(position->topic, message->topic))
            return position;
    }
    struct position *position = &batch->positions[batch->position_count++];
    *position = (struct position){.topic = message->topic, .partition = message->partition};
    return position;
}

int32_t topic_id_of(const struct lane *lane, struct text topic)
{
    for (size_t i = 0; i < lane->options.command_topic_count; i++) {
        if (text_equal(topic, lane->options.command_topics[i]))
            return lane->topic_ids[i];
    }
    return 0;
}

struct text topic_of(const struct lane *lane, int32_t topic_id)
{
    for (size_t i = 0; i < lane->options.command_topic_count; i++) {
        if (lane->topic_ids[i] == topic_id)
            return lane->options.command_topics[i];
    }
    return TEXT("");
}

const struct topic_policy *policy_of(const struct lane *lane, struct text topic)
{
    return topic_policy_find(lane->options.policies, lane->options.policy_count, topic);
}

/* What the topic does not take is refused for that, whatever else is wrong with it. */
static enum outcome check_policy(const struct lane *lane, const struct entry *entry,
                                 enum outcome decoded, struct err *err)
{
    const struct envelope *envelope = &entry->command.envelope;
    bool known = text_present(envelope->type) && text_present(envelope->source);

    if (lane->options.policy_count == 0 || !known ||
        (decoded != OUTCOME_OK && decoded != OUTCOME_REJECT))
        return decoded;
    enum outcome outcome =
        topic_policy_check(policy_of(lane, entry->message->topic), envelope, err);
    return outcome == OUTCOME_OK ? decoded : outcome;
}

static enum outcome entry_decode(struct lane *lane, struct entry *entry, struct arena *arena,
                                 struct err *err)
{
    enum outcome outcome = command_decode(entry->message, arena, &entry->command, err);

    outcome = check_policy(lane, entry, outcome, err);
    if (outcome != OUTCOME_REJECT)
        return outcome;
    if (!entry_bury(lane, entry, DEAD_LETTER_DECODE, err->code, err->text))
        return err_no_memory(err, "decode");
    return OUTCOME_OK;
}

enum outcome batch_decode(struct batch *batch, struct lane *lane, struct arena *arena,
                          const struct message *messages, size_t count, struct err *err)
{
    *batch = (struct batch){.lane = lane, .arena = arena, .count = count};
    batch->entries = ARENA_ARRAY(arena, struct entry, count);
    batch->positions = ARENA_ARRAY(arena, struct position, count);
    if (batch->entries == NULL || batch->positions == NULL)
        return err_no_memory(err, "decode");

    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &batch->entries[i];
        entry->message = &messages[i];
        entry->topic_id = topic_id_of(lane, messages[i].topic);
        position_of(batch, &messages[i])->offset = messages[i].offset + 1;
        enum outcome outcome = entry_decode(lane, entry, arena, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    batch->committed = arena_alloc(arena, batch->position_count * sizeof(struct position));
    return batch->committed != NULL ? OUTCOME_OK : err_no_memory(err, "decode");
}
