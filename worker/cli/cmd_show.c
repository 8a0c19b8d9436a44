#include "base/clock.h"
#include "base/json_writer.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "events/commands.h"
#include "repo/data_source.h"
#include "repo/record_json.h"
#include "worker/cli/cursor.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"

enum { STATEMENT_TIMEOUT_MS = 60000, AUDIT_LIMIT_DEFAULT = 100, AUDIT_LIMIT_MAX = 10000 };

struct show_call {
    char entity[UUID_TEXT_LENGTH + 1]; /* audit: in place of a long id */
    const struct arguments *arguments;
    struct text id; /* the second operand, or absent */
    struct session session;
    struct buffer out;
    struct audit_filter filter; /* audit: parsed before anything is asked */
};

/* What can be shown. */
struct subject {
    const char *name;
    bool takes_id;
    const char *flags;  /* those it understands, with blanks around each */
    const char *needed; /* how it is asked for, for the usage error */
    enum outcome (*show)(struct show_call *call, bool *ret_found, struct err *err);
    /* Judges flags before the database is asked. false: the usage error is printed. NULL: nothing
     * to judge. */
    bool (*parse)(struct show_call *call);
};

static struct text flag_text(const struct show_call *call, const char *flag)
{
    return text_of(argument(call->arguments, flag));
}

static struct executor *db_of(const struct show_call *call)
{
    return session_db(&call->session);
}

/* --- records -----------------------------------------------------------------------------------
 */

static const char *status_of(const struct record_spec *spec, const void *record)
{
    return spec == &key_spec ? key_status(record, clock_wall_us()) : NULL;
}

/* Appends the record, or tells that there is none. */
static void show_one(struct show_call *call, const struct record_spec *spec, const void *record,
                     bool *ret_found)
{
    *ret_found = record != NULL;
    if (record != NULL)
        record_json_append(&call->out, spec, record, status_of(spec, record));
}

/* `records`: an array of the spec's structs. */
static void show_many(struct show_call *call, const struct record_spec *spec, const void *records,
                      size_t count, bool *ret_found)
{
    *ret_found = true;
    struct json_writer json = json_writer_of(&call->out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < count; i++) {
        const void *record = (const char *)records + i * spec->size;
        record_json_append(json_value(&json, NULL), spec, record, status_of(spec, record));
    }
    json_end_array(&json);
}

static enum outcome show_user(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct user *user = NULL;
    enum outcome outcome = users_get(db_of(call), &call->id, 1, call->session.arena, &user, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &user_spec, user, ret_found);
    return outcome;
}

static enum outcome show_org(struct show_call *call, bool *ret_found, struct err *err)
{
    struct text slug = flag_text(call, "slug");
    const struct org *org = NULL;
    enum outcome outcome =
        text_present(slug) ? orgs_get_by_slug(db_of(call), slug, call->session.arena, &org, err)
                           : orgs_get(db_of(call), &call->id, 1, call->session.arena, &org, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &org_spec, org, ret_found);
    return outcome;
}

static enum outcome show_group(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct group *group = NULL;
    enum outcome outcome = groups_get(db_of(call), &call->id, 1, call->session.arena, &group, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &group_spec, group, ret_found);
    return outcome;
}

static enum outcome show_membership(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct membership *membership = NULL;
    enum outcome outcome =
        memberships_get(db_of(call), &call->id, 1, call->session.arena, &membership, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &membership_spec, membership, ret_found);
    return outcome;
}

static enum outcome show_entitlement(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct entitlement *entitlement = NULL;
    enum outcome outcome =
        entitlements_get(db_of(call), &call->id, 1, call->session.arena, &entitlement, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &entitlement_spec, entitlement, ret_found);
    return outcome;
}

static enum outcome show_key(struct show_call *call, bool *ret_found, struct err *err)
{
    struct text hash = flag_text(call, "hash");
    const struct key *key = NULL;
    enum outcome outcome =
        text_present(hash) ? keys_get_by_hash(db_of(call), hash, call->session.arena, &key, err)
                           : keys_get(db_of(call), &call->id, 1, call->session.arena, &key, err);
    if (outcome == OUTCOME_OK)
        show_one(call, &key_spec, key, ret_found);
    return outcome;
}

/* --- lists -------------------------------------------------------------------------------------
 */

/* KIND:ID; the id may hold colons itself. false: not that. */
static bool split_ref(struct text text, struct ref *ret_ref)
{
    const char *colon = text_present(text) ? memchr(text.data, ':', text.length) : NULL;
    if (colon == NULL)
        return false;

    size_t kind_length = (size_t)(colon - text.data);
    *ret_ref = (struct ref){
        .kind = {text.data, kind_length},
        .id = {colon + 1, text.length - kind_length - 1},
    };
    return kind_length > 0 && ret_ref->id.length > 0;
}

static bool parse_ref_flag(struct show_call *call, const char *flag)
{
    struct ref ref;

    if (split_ref(flag_text(call, flag), &ref))
        return true;
    cli_usage_error(call->arguments, "--%s: must be KIND:ID, as in user:u-1", flag);
    return false;
}

static bool parse_owner(struct show_call *call)
{
    return parse_ref_flag(call, "owner");
}

static bool parse_subject(struct show_call *call)
{
    return parse_ref_flag(call, "subject");
}

static enum outcome show_keys(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct key_list_options options = {
        .include_revoked = argument(call->arguments, "include-revoked") != NULL,
        .include_expired = argument(call->arguments, "include-expired") != NULL,
        .now_us = clock_wall_us(),
    };
    const struct key *keys = NULL;
    struct ref owner = {0};
    size_t count = 0;

    split_ref(flag_text(call, "owner"), &owner);
    enum outcome outcome =
        keys_list_by_owner(db_of(call), owner, &options, call->session.arena, &keys, &count, err);
    if (outcome == OUTCOME_OK)
        show_many(call, &key_spec, keys, count, ret_found);
    return outcome;
}

static enum outcome show_groups(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct group *groups = NULL;
    size_t count = 0;
    enum outcome outcome = groups_list_by_org(db_of(call), flag_text(call, "org"),
                                              call->session.arena, &groups, &count, err);
    if (outcome == OUTCOME_OK)
        show_many(call, &group_spec, groups, count, ret_found);
    return outcome;
}

static bool parse_memberships(struct show_call *call)
{
    bool by_user = argument(call->arguments, "user") != NULL;
    bool by_org = argument(call->arguments, "org") != NULL;

    if (by_user != by_org)
        return true;
    cli_usage_error(call->arguments, "memberships: either --user ID or --org ID");
    return false;
}

static enum outcome show_memberships(struct show_call *call, bool *ret_found, struct err *err)
{
    struct text user = flag_text(call, "user");
    struct arena *arena = call->session.arena;
    const struct membership *memberships = NULL;
    size_t count = 0;
    enum outcome outcome =
        text_present(user)
            ? memberships_list_by_user(db_of(call), user, arena, &memberships, &count, err)
            : memberships_list_by_org(db_of(call), flag_text(call, "org"), arena, &memberships,
                                      &count, err);
    if (outcome == OUTCOME_OK)
        show_many(call, &membership_spec, memberships, count, ret_found);
    return outcome;
}

static enum outcome show_entitlements(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct entitlement *entitlements = NULL;
    struct ref subject = {0};
    size_t count = 0;

    split_ref(flag_text(call, "subject"), &subject);
    enum outcome outcome = entitlements_list(db_of(call), subject.kind, subject.id,
                                             call->session.arena, &entitlements, &count, err);
    if (outcome == OUTCOME_OK)
        show_many(call, &entitlement_spec, entitlements, count, ret_found);
    return outcome;
}

static enum outcome show_identity(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct identity_request request = {
        .user_id = flag_text(call, "user"),
        .org_id = flag_text(call, "org"),
        .membership_id = flag_text(call, "membership"),
        .exclude_groups = argument(call->arguments, "no-groups") != NULL,
    };
    const struct effective_identity *identity = NULL;
    enum outcome outcome =
        effective_identity_get(db_of(call), &request, call->session.arena, &identity, err);

    if (outcome == OUTCOME_REJECT && strcmp(err->code, "not_found") == 0)
        return OUTCOME_OK; /* ret_found stays false */
    if (outcome == OUTCOME_OK) {
        effective_identity_json(identity, &call->out);
        *ret_found = true;
    }
    return outcome;
}

/* --- the audit log -----------------------------------------------------------------------------
 */

/* As the audit events of an entity with a long id have it. */
static struct text entity_of(struct text id, char buffer[UUID_TEXT_LENGTH + 1])
{
    if (id.length <= COMMAND_ENTITY_MAX_BYTES)
        return id;
    const struct uuid short_id = entity_id_of(id);
    uuid_format(&short_id, buffer);
    return (struct text){buffer, UUID_TEXT_LENGTH};
}

static bool parse_audit(struct show_call *call)
{
    struct text after = flag_text(call, "after");
    struct audit_filter *filter = &call->filter;
    int64_t limit = AUDIT_LIMIT_DEFAULT;

    *filter = (struct audit_filter){
        .entity = entity_of(flag_text(call, "entity"), call->entity),
        .actor_id = flag_text(call, "actor"),
        .category = flag_text(call, "category"),
        .action = flag_text(call, "action"),
        .command_id = flag_text(call, "command-id"),
        .since_us = TIMESTAMP_ABSENT,
        .until_us = TIMESTAMP_ABSENT,
        .after_occurred_at_us = TIMESTAMP_ABSENT,
    };
    if (!argument_time(call->arguments, "since", &filter->since_us) ||
        !argument_time(call->arguments, "until", &filter->until_us) ||
        !argument_number(call->arguments, "limit", 1, AUDIT_LIMIT_MAX, &limit))
        return false;
    filter->limit = (size_t)limit;
    if (!text_present(after) ||
        cursor_parse(after, &filter->after_occurred_at_us, &filter->after_id))
        return true;
    cli_usage_error(call->arguments, "--after: must be a cursor that an earlier page printed");
    return false;
}

/* On standard error, so that standard output stays one array. */
static void print_next(const struct audit_event *last)
{
    char cursor[CURSOR_LENGTH + 1];

    cursor_format(last->occurred_at_us, &last->id, cursor);
    fprintf(stderr, "next: --after %s\n", cursor);
}

static enum outcome show_audit(struct show_call *call, bool *ret_found, struct err *err)
{
    const struct audit_event *events = NULL;
    size_t count = 0;
    enum outcome outcome =
        audit_list(db_of(call), &call->filter, call->session.arena, &events, &count, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    *ret_found = true;
    struct json_writer json = json_writer_of(&call->out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < count; i++)
        audit_event_json_append(json_value(&json, NULL), &events[i]);
    json_end_array(&json);
    if (count > 0 && count == call->filter.limit)
        print_next(&events[count - 1]);
    return OUTCOME_OK;
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static const struct subject subjects[] = {
    {"user", true, " ", "user ID", show_user, NULL},
    {"org", true, " slug ", "org ID, or org --slug SLUG", show_org, NULL},
    {"group", true, " ", "group ID", show_group, NULL},
    {"membership", true, " ", "membership ID", show_membership, NULL},
    {"entitlement", true, " ", "entitlement ID", show_entitlement, NULL},
    {"key", true, " hash ", "key ID, or key --hash HASH", show_key, NULL},
    {"keys", false, " owner include-revoked include-expired ", "keys --owner KIND:ID", show_keys,
     parse_owner},
    {"groups", false, " org ", "groups --org ID", show_groups, NULL},
    {"memberships", false, " user org ", "memberships --user ID, or memberships --org ID",
     show_memberships, parse_memberships},
    {"entitlements", false, " subject ", "entitlements --subject KIND:ID", show_entitlements,
     parse_subject},
    {"identity", false, " user org membership no-groups ", "identity --user ID", show_identity,
     NULL},
    {"audit", false, " entity actor category action command-id since until limit after ", "audit",
     show_audit, parse_audit},
};
enum { SUBJECT_COUNT = sizeof(subjects) / sizeof(subjects[0]) };

static const struct flag flags[] = {
    {"slug", "SLUG", "org: by its slug"},
    {"hash", "HASH", "key: by its hash"},
    {"owner", "KIND:ID", "keys: of this owner, newest first"},
    {"include-revoked", NULL, "keys: revoked ones too"},
    {"include-expired", NULL, "keys: expired ones too"},
    {"org", "ID", "groups, memberships: of this org; identity: in this org"},
    {"user", "ID", "memberships: of this user; identity: of this user"},
    {"subject", "KIND:ID", "entitlements: of this user, org or membership"},
    {"membership", "ID", "identity: through this membership"},
    {"no-groups", NULL, "identity: leave groups and their labels out"},
    {"entity", "ID", "audit: of this entity"},
    {"actor", "ID", "audit: by this actor"},
    {"category", "NAME", "audit: of this category"},
    {"action", "NAME", "audit: with this action"},
    {"command-id", "ID", "audit: of commands with this ce_id"},
    {"since", "TIME", "audit: from this RFC 3339 time on"},
    {"until", "TIME", "audit: before this RFC 3339 time"},
    {"limit", "N", "audit: events in a page, default 100"},
    {"after", "CURSOR", "audit: the page behind the one that printed this"},
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static const struct subject *subject_find(const struct arguments *arguments)
{
    const char *names[SUBJECT_COUNT];

    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        names[i] = subjects[i].name;
        if (strcmp(subjects[i].name, arguments->operands[0]) == 0)
            return &subjects[i];
    }
    const char *nearest = nearest_name(arguments->operands[0], names, SUBJECT_COUNT);
    cli_usage_error(arguments, "no such subject: %s%s%s%s", arguments->operands[0],
                    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "?" : "");
    return NULL;
}

/* Whether the flag that was given belongs to the subject. */
static bool understands(const struct subject *subject, const char *flag)
{
    char padded[32];

    snprintf(padded, sizeof(padded), " %s ", flag);
    return strstr(subject->flags, padded) != NULL;
}

static bool flags_fit(const struct arguments *arguments, const struct subject *subject)
{
    bool by_flag = false;

    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (arguments->values[i] == NULL)
            continue;
        if (!understands(subject, flags[i].name)) {
            cli_usage_error(arguments, "%s: --%s does not go with it", subject->name,
                            flags[i].name);
            return false;
        }
        if (!utf8_valid(text_of(arguments->values[i]))) {
            cli_usage_error(arguments, "--%s: must be UTF-8", flags[i].name);
            return false;
        }
        by_flag = true;
    }
    bool by_id = arguments->operand_count == 2;
    bool fits = subject->takes_id ? by_id != by_flag
                                  : !by_id && (by_flag || strcmp(subject->name, "audit") == 0);
    if (strcmp(subject->name, "identity") == 0 || strcmp(subject->name, "groups") == 0)
        fits = fits && argument(arguments, subject->name[0] == 'i' ? "user" : "org") != NULL;
    if (by_id && !utf8_valid(text_of(arguments->operands[1])))
        fits = false;
    if (!fits)
        cli_usage_error(arguments, "asked as: %s", subject->needed);
    return fits;
}

static enum exit_code show(struct show_call *call, const struct subject *subject)
{
    bool found = false;
    struct err err;

    buffer_init(&call->out, call->session.arena);
    if (subject->show(call, &found, &err) != OUTCOME_OK)
        return cli_fail_err(call->arguments, &err);
    if (!found)
        return cli_fail(call->arguments, EXIT_NOT_FOUND, "%s: not found", subject->name);
    if (call->out.full)
        return cli_fail(call->arguments, EXIT_BUG, "no memory");
    return output_json(call->arguments, buffer_text(&call->out));
}

static enum exit_code show_run(const struct arguments *arguments)
{
    struct show_call call = {.arguments = arguments};

    if (arguments->operand_count == 0 || arguments->operand_count > 2)
        return cli_usage_error(arguments, "say what to show");
    const struct subject *subject = subject_find(arguments);
    if (subject == NULL || !flags_fit(arguments, subject) ||
        (subject->parse != NULL && !subject->parse(&call)))
        return EXIT_USAGE;
    if (arguments->operand_count == 2)
        call.id = text_of(arguments->operands[1]);

    enum exit_code code = session_open(arguments, STATEMENT_TIMEOUT_MS, &call.session);
    if (code == EXIT_DONE)
        code = show(&call, subject);
    session_close(&call.session);
    return code;
}

const struct verb verb_show = {
    .name = "show",
    .operands = "WHAT [ID]",
    .summary = "print records, effective identities, audit events",
    .description =
        "Prints what is in the tables, as JSON with the contracts' names: one record is an\n"
        "object, a list an array; fields without a value are left out. WHAT is one of\n\n"
        "  user ID, org ID, group ID, membership ID, entitlement ID, key ID\n"
        "  org --slug SLUG, key --hash HASH\n"
        "  keys --owner KIND:ID [--include-revoked] [--include-expired]\n"
        "  groups --org ID, memberships --user ID, memberships --org ID\n"
        "  entitlements --subject KIND:ID\n"
        "  identity --user ID [--org ID] [--membership ID] [--no-groups]\n"
        "  audit [filters] [--limit N] [--after CURSOR]\n\n"
        "A page of the audit log that is full is followed by a line on standard error that\n"
        "tells how to ask for the next one: next: --after CURSOR.\n"
        "Exit 66: not found; 65: a membership that belongs to another user or org.",
    .flags = flags,
    .flag_count = FLAG_COUNT,
    .run = show_run,
};
