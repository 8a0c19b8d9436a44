#include "events/commands.h"

#include "base/utf8.h"
#include "events/rejections.h"
#include "events/reserved_actions.h"

const char *audit_entry_rejection(const struct audit_entry *entry)
{
    if (utf8_blank(entry->category))
        return REJECTION_AUDIT_INVALID_CATEGORY;
    if (utf8_blank(entry->action) || action_reserved(entry->action))
        return REJECTION_AUDIT_INVALID_ACTION;
    return NULL;
}

/* They are names in every report of the audit log. */
static enum outcome check_audit_entry(const struct audit_entry *entry, struct err *err)
{
    static const char rule[] = "must not contain control characters";

    if (utf8_has_control(entry->category))
        return err_set(err, OUTCOME_REJECT, "field", "category: %s", rule);
    if (utf8_has_control(entry->action))
        return err_set(err, OUTCOME_REJECT, "field", "action: %s", rule);
    return OUTCOME_OK;
}

enum outcome command_decode(const struct message *message, struct arena *arena,
                            struct command *ret_command, struct err *err)
{
    struct slice data;

    memset(ret_command, 0, sizeof(*ret_command));
    enum outcome outcome = envelope_decode(message, arena, &ret_command->envelope, &data, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct envelope *envelope = &ret_command->envelope;
    ret_command->type = command_type_find(envelope->type);
    if (ret_command->type == NULL)
        return err_set(err, OUTCOME_REJECT, "type", "ce_type: not a command of the contract");
    outcome =
        command_decode_data(ret_command->type, envelope, data, arena, &ret_command->record, err);
    if (outcome == OUTCOME_OK && ret_command->type->as_given)
        outcome = check_audit_entry(ret_command->record, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    const struct text content[] = {envelope->type, text_of_slice(message->value)};
    ret_command->audit_id = audit_id_of(envelope->source, envelope->id);
    ret_command->digest = digest_of(content, 2);
    return OUTCOME_OK;
}
