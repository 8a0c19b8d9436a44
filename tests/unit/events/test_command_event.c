/* The audit events that answer commands, and the messages that carry them. */
#include <stdio.h>

#include "base/timestamp.h"
#include "events/audit_message.h"
#include "events/commands.h"
#include "events/rejections.h"
#include "support.h"

#define IDENTITY "dev.catalyst.identity."

static struct command command_with(void **state, const char *type, const char *json,
                                   const char *const *headers)
{
    struct message *message = arena_alloc(*state, sizeof(*message));
    struct command command;
    struct err err = {.text = ""};

    assert_non_null(message);
    *message = command_of(*state, type, packed(*state, json));
    for (; headers != NULL && headers[0] != NULL; headers += 2)
        set_header(*state, message, headers[0], headers[1]);
    if (command_decode(message, *state, &command, &err) != OUTCOME_OK)
        fail_msg("%s refused: %s", type, err.text);
    return command;
}

static struct command command_plain(void **state, const char *type, const char *json)
{
    return command_with(state, type, json, NULL);
}

static struct audit_event answer(void **state, const struct command *command,
                                 const struct command_result *result)
{
    struct audit_event event;
    struct err err = {.text = ""};

    assert_int_equal(command_event(command, result, *state, &event, &err), OUTCOME_OK);
    return event;
}

static void assert_document(void **state, const struct document *document, const char *json)
{
    if (json == NULL) {
        assert_absent(document->json);
        assert_null(document->packed.data);
        return;
    }
    assert_text(document->json, quoted(*state, json).data);
    assert_slice(document->packed, packed(*state, json));
}

/* --- the table of the contract --- */

static const struct told {
    const char *type;
    const char *body;
    bool created;
    const char *category;
    const char *action;
    const char *subject;
    const char *resource;
    const char *metadata;
} upserts[] = {
    {IDENTITY "user.upsert.v1",
     "{'id':'u1','authentikId':'a','email':'e@x','primaryOrgId':'o1','displayName':'D',"
     "'labels':{'x':1},'metadata':{'y':2}}",
     true, "identity", "user.created", "{'type':'user','id':'u1'}", "{'type':'user','id':'u1'}",
     "{'primaryOrgId':'o1'}"},
    {IDENTITY "user.upsert.v1", "{'id':'u1','authentikId':'a','email':'e@x'}", false, "identity",
     "user.updated", "{'type':'user','id':'u1'}", "{'type':'user','id':'u1'}", NULL},
    {IDENTITY "org.upsert.v1",
     "{'id':'o1','slug':'s','status':'active','ownerUserId':'u1','profile':{'name':'n'}}", true,
     "identity", "org.created", "{'type':'org','id':'o1'}", "{'type':'org','id':'o1'}",
     "{'slug':'s','status':'active','ownerUserId':'u1'}"},
    {IDENTITY "org.upsert.v1",
     "{'id':'o1','slug':'s','status':'archived','ownerUserId':'u1','profile':{'name':'n'}}", false,
     "identity", "org.updated", "{'type':'org','id':'o1'}", "{'type':'org','id':'o1'}",
     "{'slug':'s','status':'archived','ownerUserId':'u1'}"},
    {IDENTITY "group.upsert.v1",
     "{'id':'g1','orgId':'o1','slug':'s','name':'n','parentGroupId':'g0','description':'d'}", true,
     "identity", "group.created", "{'type':'org','id':'o1'}", "{'type':'group','id':'g1'}",
     "{'slug':'s','name':'n','parentGroupId':'g0'}"},
    {IDENTITY "group.upsert.v1", "{'id':'g1','orgId':'o1','slug':'s','name':'n'}", false,
     "identity", "group.updated", "{'type':'org','id':'o1'}", "{'type':'group','id':'g1'}",
     "{'slug':'s','name':'n'}"},
    {IDENTITY "membership.upsert.v1",
     "{'id':'m1','userId':'u1','orgId':'o1','role':'r','groupIds':['b','a']}", true, "identity",
     "membership.added", "{'type':'user','id':'u1'}", "{'type':'membership','id':'m1'}",
     "{'userId':'u1','orgId':'o1','role':'r','groupIds':['b','a']}"},
    {IDENTITY "membership.upsert.v1", "{'id':'m1','userId':'u1','orgId':'o1','role':'r'}", false,
     "identity", "membership.updated", "{'type':'user','id':'u1'}",
     "{'type':'membership','id':'m1'}", "{'userId':'u1','orgId':'o1','role':'r','groupIds':[]}"},
    {IDENTITY "entitlement.upsert.v1",
     "{'id':'e1','subjectKind':'membership','subjectId':'m1','entitlement':'x'}", true, "identity",
     "entitlement.granted", "{'type':'membership','id':'m1'}", "{'type':'entitlement','id':'e1'}",
     "{'entitlement':'x'}"},
    {IDENTITY "entitlement.upsert.v1",
     "{'id':'e1','subjectKind':'org','subjectId':'o1','entitlement':'x'}", false, "identity",
     "entitlement.updated", "{'type':'org','id':'o1'}", "{'type':'entitlement','id':'e1'}",
     "{'entitlement':'x'}"},
    {"dev.catalyst.key.issue.v1",
     "{'id':'k1','hash':'h','owner':{'kind':'user','id':'u1'},'name':'n','scopes':['b','a','b'],"
     "'expiresAt':'2030-01-01T01:00:00+01:00','description':'d','labels':{'x':1}}",
     true, "key", "key.issued", "{'type':'user','id':'u1'}", "{'type':'key','id':'k1'}",
     "{'name':'n','scopes':['b','a'],'expiresAt':'2030-01-01T00:00:00.000000Z'}"},
    {"dev.catalyst.key.issue.v1",
     "{'id':'k1','hash':'h','owner':{'kind':'system','id':'y'},'scopes':[]}", true, "key",
     "key.issued", "{'type':'system','id':'y'}", "{'type':'key','id':'k1'}", "{'scopes':[]}"},
};

static void assert_told(void **state, const struct told *told, const struct audit_event *event)
{
    assert_text(event->category, told->category);
    assert_text(event->action, told->action);
    assert_document(state, &event->subject, told->subject);
    assert_document(state, &event->resource, told->resource);
    assert_document(state, &event->metadata, told->metadata);
}

static void test_command_event__applied_upserts(void **state)
{
    for (size_t i = 0; i < sizeof(upserts) / sizeof(upserts[0]); i++) {
        struct command command = command_plain(state, upserts[i].type, upserts[i].body);
        const struct command_result result = {.created = upserts[i].created};

        struct audit_event event = answer(state, &command, &result);

        assert_told(state, &upserts[i], &event);
        assert_text(event.outcome, "applied");
        assert_document(state, &event.error, NULL);
        assert_document(state, &event.actor, NULL);
        assert_absent(event.correlation_id);
    }
}

static void test_command_event__removals_hold_the_removed_row(void **state)
{
    struct command command = command_plain(state, IDENTITY "group.delete.v1", "{'id':'g1'}");
    const struct group group = {.id = TEXT("g1"),
                                .org_id = TEXT("o9"),
                                .slug = TEXT("old"),
                                .name = TEXT("Old"),
                                .parent_group_id = TEXT("g0")};
    struct audit_event event =
        answer(state, &command, &(const struct command_result){.row = &group});
    assert_told(
        state,
        &(const struct told){.category = "identity",
                             .action = "group.deleted",
                             .subject = "{'type':'org','id':'o9'}",
                             .resource = "{'type':'group','id':'g1'}",
                             .metadata = "{'slug':'old','name':'Old','parentGroupId':'g0'}"},
        &event);

    command = command_plain(state, IDENTITY "membership.remove.v1", "{'id':'m1'}");
    const struct text groups[] = {TEXT("x")};
    const struct membership membership = {.id = TEXT("m1"),
                                          .user_id = TEXT("u9"),
                                          .org_id = TEXT("o9"),
                                          .role = TEXT("r"),
                                          .group_ids = {groups, 1}};
    event = answer(state, &command, &(const struct command_result){.row = &membership});
    assert_told(state,
                &(const struct told){
                    .category = "identity",
                    .action = "membership.removed",
                    .subject = "{'type':'user','id':'u9'}",
                    .resource = "{'type':'membership','id':'m1'}",
                    .metadata = "{'userId':'u9','orgId':'o9','role':'r','groupIds':['x']}"},
                &event);

    command = command_plain(state, IDENTITY "entitlement.remove.v1", "{'id':'e1'}");
    const struct entitlement entitlement = {.id = TEXT("e1"),
                                            .subject_kind = TEXT("org"),
                                            .subject_id = TEXT("o9"),
                                            .entitlement = TEXT("z")};
    event = answer(state, &command, &(const struct command_result){.row = &entitlement});
    assert_told(state,
                &(const struct told){.category = "identity",
                                     .action = "entitlement.revoked",
                                     .subject = "{'type':'org','id':'o9'}",
                                     .resource = "{'type':'entitlement','id':'e1'}",
                                     .metadata = "{'entitlement':'z'}"},
                &event);
}

static void test_command_event__key_usage_and_revocation(void **state)
{
    const struct key row = {.id = TEXT("k1"),
                            .owner = {TEXT("service"), TEXT("s1")},
                            .usage_count = 300,
                            .last_used_at_us = 1};
    struct command command = command_plain(state, "dev.catalyst.key.record_usage.v1",
                                           "{'id':'k1','usedAt':'2026-01-01T00:00:00Z'}");
    struct audit_event event = answer(state, &command, &(const struct command_result){.row = &row});
    assert_told(state,
                &(const struct told){.category = "key",
                                     .action = "key.used",
                                     .subject = "{'type':'service','id':'s1'}",
                                     .resource = "{'type':'key','id':'k1'}",
                                     .metadata = "{'usageCount':300,"
                                                 "'usedAt':'2026-01-01T00:00:00.000000Z'}"},
                &event);

    command = command_plain(state, "dev.catalyst.key.revoke.v1",
                            "{'id':'k1','reason':'lost','revokedBy':{'id':'u1','kind':'user'}}");
    event = answer(state, &command, &(const struct command_result){.row = &row});
    assert_told(state,
                &(const struct told){.category = "key",
                                     .action = "key.revoked",
                                     .subject = "{'type':'service','id':'s1'}",
                                     .resource = "{'type':'key','id':'k1'}",
                                     .metadata = "{'reason':'lost',"
                                                 "'revokedBy':{'kind':'user','id':'u1'}}"},
                &event);

    command = command_plain(state, "dev.catalyst.key.revoke.v1", "{'id':'k1'}");
    event = answer(state, &command, &(const struct command_result){.row = &row});
    assert_document(state, &event.metadata, NULL);
}

/* --- rejections --- */

static void test_command_event__rejections(void **state)
{
    static const struct {
        const char *type;
        const char *body;
        const char *code;
        const char *field;
        const char *category;
        const char *action;
        const char *subject;
        const char *resource;
    } cases[] = {
        {IDENTITY "org.upsert.v1",
         "{'id':'o1','slug':'s','status':'active','ownerUserId':'u1','profile':{'name':'n'}}",
         REJECTION_ORG_DUPLICATE_SLUG, "slug", "identity", "org.created",
         "{'type':'org','id':'o1'}", "{'type':'org','id':'o1'}"},
        {IDENTITY "group.delete.v1", "{'id':'g1'}", REJECTION_GROUP_NOT_FOUND, "id", "identity",
         "group.deleted", NULL, "{'type':'group','id':'g1'}"},
        {IDENTITY "membership.remove.v1", "{'id':'m1'}", REJECTION_MEMBERSHIP_NOT_FOUND, "id",
         "identity", "membership.removed", NULL, "{'type':'membership','id':'m1'}"},
        {IDENTITY "entitlement.remove.v1", "{'id':'e1'}", REJECTION_ENTITLEMENT_NOT_FOUND, "id",
         "identity", "entitlement.revoked", NULL, "{'type':'entitlement','id':'e1'}"},
        {IDENTITY "entitlement.upsert.v1",
         "{'id':'e1','subjectKind':'user','subjectId':'u1','entitlement':'x'}",
         REJECTION_ENTITLEMENT_DUPLICATE, "entitlement", "identity", "entitlement.granted",
         "{'type':'user','id':'u1'}", "{'type':'entitlement','id':'e1'}"},
        {"dev.catalyst.key.issue.v1",
         "{'id':'k1','hash':'h','owner':{'kind':'user','id':'u1'},'scopes':['a']}",
         REJECTION_KEY_DUPLICATE_HASH, "hash", "key", "key.issued", "{'type':'user','id':'u1'}",
         "{'type':'key','id':'k1'}"},
        {"dev.catalyst.key.record_usage.v1", "{'id':'k1'}", REJECTION_KEY_EXPIRED, "usedAt", "key",
         "key.used", NULL, "{'type':'key','id':'k1'}"},
        {"dev.catalyst.key.revoke.v1", "{'id':'k1','reason':'r'}", REJECTION_KEY_ALREADY_REVOKED,
         "id", "key", "key.revoked", NULL, "{'type':'key','id':'k1'}"},
        {"dev.catalyst.audit.append.v1",
         "{'category':' ','action':'a','subject':{'type':'org','id':'o1'},'metadata':{'x':1}}",
         REJECTION_AUDIT_INVALID_CATEGORY, "category", "audit", "audit.appended",
         "{'type':'org','id':'o1'}", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct command command = command_plain(state, cases[i].type, cases[i].body);
        char error[300];

        struct audit_event event =
            answer(state, &command, &(const struct command_result){.rejection = cases[i].code});

        snprintf(error, sizeof(error), "{'code':'%s','message':'%s','details':{'field':'%s'}}",
                 cases[i].code, rejection_find(cases[i].code)->message, cases[i].field);
        assert_text(event.outcome, "rejected");
        assert_text(event.category, cases[i].category);
        assert_text(event.action, cases[i].action);
        assert_document(state, &event.subject, cases[i].subject);
        assert_document(state, &event.resource, cases[i].resource);
        assert_document(state, &event.metadata, NULL);
        assert_document(state, &event.error, error);
    }
}

/* --- envelope --- */

static const char *const all_headers[] = {"ce_time",
                                          "2026-05-06T07:08:09.5Z",
                                          "ce_subject",
                                          "subject-1",
                                          "ce_correlationid",
                                          "corr-1",
                                          "ce_authtype",
                                          "user",
                                          "ce_authid",
                                          "admin",
                                          "traceparent",
                                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                          "tracestate",
                                          "a=b",
                                          NULL};

static void test_command_event__a_long_entity_id_is_replaced(void **state)
{
    char id[258];
    memset(id, 'x', 257);
    id[257] = '\0';
    struct command command = command_with(
        state, "dev.catalyst.audit.append.v1",
        arena_printf(*state, "{'category':'c','action':'a','resource':{'type':'t','id':'%s'}}", id),
        NULL);

    struct audit_event event = answer(state, &command, &(const struct command_result){0});

    /* python3 -c "import uuid; print(uuid.uuid5(uuid.UUID('8d2f6c1a-417b-4e0d-9b53-6ea217c930f4'),
     * 'x' * 257))" */
    assert_text(event.entity, "7437b700-1674-5752-9ffa-5791a65c64ee");
}

static void test_command_event__what_the_envelope_gives(void **state)
{
    struct command command =
        command_with(state, IDENTITY "group.delete.v1", "{'id':'g1'}", all_headers);

    struct audit_event event = answer(
        state, &command, &(const struct command_result){.rejection = REJECTION_GROUP_NOT_FOUND});

    const struct uuid id = audit_id_of(TEXT("/tests"), TEXT("c-1"));
    char time[TIMESTAMP_TEXT_LENGTH + 1];
    timestamp_format(event.occurred_at_us, time);
    assert_true(uuid_equal(&event.id, &id));
    assert_string_equal(time, "2026-05-06T07:08:09.500000Z");
    assert_document(state, &event.actor, "{'type':'user','id':'admin'}");
    assert_text(event.correlation_id, "corr-1");
    assert_text(event.carried_correlation_id, "corr-1");
    assert_text(event.traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_text(event.tracestate, "a=b");
    assert_text(event.command_source, "/tests");
    assert_text(event.command_id, "c-1");
    assert_text(event.command_type, IDENTITY "group.delete.v1");
    assert_true(uuid_equal(&event.command_digest, &command.digest));
    assert_text(event.entity, "g1");
    assert_absent(event.legacy_id);
}

static void test_command_event__half_an_actor_is_none(void **state)
{
    static const char *const type_only[] = {"ce_authtype", "user", NULL};
    static const char *const id_only[] = {"ce_authid", "admin", NULL};
    const struct command_result result = {.rejection = REJECTION_GROUP_NOT_FOUND};

    struct command command =
        command_with(state, IDENTITY "group.delete.v1", "{'id':'g1'}", type_only);
    struct audit_event event = answer(state, &command, &result);
    assert_document(state, &event.actor, NULL);

    command = command_with(state, IDENTITY "group.delete.v1", "{'id':'g1'}", id_only);
    event = answer(state, &command, &result);
    assert_document(state, &event.actor, NULL);
}

/* --- audit.append --- */

static void test_command_event__audit_says_it_itself(void **state)
{
    struct command command =
        command_with(state, "dev.catalyst.audit.append.v1",
                     "{'category':'billing','action':'invoice.paid','occurredAt':"
                     "'2020-01-01T00:00:00Z','actor':{'id':'svc','type':'service','x':[1]},"
                     "'subject':{'type':'org','id':'o1'},'resource':{'type':'invoice','id':'i1'},"
                     "'metadata':{'amount':12.5,'n':300},'correlationId':'own'}",
                     all_headers);

    struct audit_event event = answer(state, &command, &(const struct command_result){0});

    assert_text(event.category, "billing");
    assert_text(event.action, "invoice.paid");
    assert_text(event.outcome, "applied");
    assert_int_equal(event.occurred_at_us, 1577836800000000);
    assert_document(state, &event.actor, "{'id':'svc','type':'service','x':[1]}");
    assert_document(state, &event.subject, "{'type':'org','id':'o1'}");
    assert_document(state, &event.resource, "{'type':'invoice','id':'i1'}");
    assert_document(state, &event.metadata, "{'amount':12.5,'n':300}");
    assert_text(event.correlation_id, "own");
    assert_text(event.carried_correlation_id, "corr-1");
    assert_text(event.entity, "i1");
}

static void test_command_event__audit_falls_back_on_the_envelope(void **state)
{
    struct command command = command_with(state, "dev.catalyst.audit.append.v1",
                                          "{'category':'c','action':'a'}", all_headers);

    struct audit_event event = answer(state, &command, &(const struct command_result){0});

    assert_document(state, &event.actor, "{'type':'user','id':'admin'}");
    assert_text(event.correlation_id, "corr-1");
    assert_int_equal(event.occurred_at_us, command.envelope.time_us);
    assert_document(state, &event.subject, NULL);
    assert_document(state, &event.resource, NULL);
    assert_document(state, &event.metadata, NULL);
}

static void test_command_event__entity_of_an_audit_entry(void **state)
{
    static const char *const subject_header[] = {"ce_subject", "env", NULL};
    const struct command_result result = {0};
    const struct uuid id = audit_id_of(TEXT("/tests"), TEXT("c-1"));
    char text[UUID_TEXT_LENGTH + 1];
    uuid_format(&id, text);
    const struct {
        const char *body;
        const char *const *headers;
        const char *entity;
    } cases[] = {
        {"{'category':'c','action':'a','subject':{'type':'t','id':'s'},"
         "'resource':{'type':'t','id':'r'}}",
         subject_header, "r"},
        {"{'category':'c','action':'a','subject':{'type':'t','id':'s'},'resource':{'type':'t'}}",
         subject_header, "s"},
        {"{'category':'c','action':'a','resource':{'type':'t'}}", subject_header, "env"},
        {"{'category':'c','action':'a'}", NULL, text},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct command command =
            command_with(state, "dev.catalyst.audit.append.v1", cases[i].body, cases[i].headers);
        struct audit_event event = answer(state, &command, &result);

        assert_text(event.entity, cases[i].entity);
    }
}

static void test_command_event__documents_of_an_audit_entry_are_canonical(void **state)
{
    /* {category: "c", action: "a", metadata: {n: 5 in nine bytes, f: 1.5 as float 32}} */
    struct slice body = hex(*state, "83 a863617465676f7279 a163 a6616374696f6e a161"
                                    "a86d65746164617461 df00000002 d9016e cf0000000000000005"
                                    "a166 ca3fc00000");
    struct message message = command_of(*state, "dev.catalyst.audit.append.v1", body);
    struct command command;
    struct err err = {.text = ""};
    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);

    struct audit_event event = answer(state, &command, &(const struct command_result){0});

    assert_document(state, &event.metadata, "{'n':5,'f':1.5}");
}

/* --- conflicts --- */

static void test_command_conflict_event__resource_and_nothing_more(void **state)
{
    struct command command = command_with(state, IDENTITY "user.upsert.v1",
                                          "{'id':'u1','authentikId':'a','email':'e'}", all_headers);
    struct audit_event event;
    struct err err = {.text = ""};

    assert_int_equal(command_conflict_event(&command, *state, &event, &err), OUTCOME_OK);

    const struct uuid id = conflict_id_of(TEXT("/tests"), TEXT("c-1"), &command.digest);
    assert_true(uuid_equal(&event.id, &id));
    assert_text(event.category, "command");
    assert_text(event.action, "command.conflicted");
    assert_text(event.outcome, "rejected");
    assert_document(state, &event.resource, "{'type':'user','id':'u1'}");
    assert_document(state, &event.subject, NULL);
    assert_document(state, &event.metadata, NULL);
    assert_document(state, &event.actor, "{'type':'user','id':'admin'}");
    assert_text(event.entity, "u1");
    assert_int_equal(event.occurred_at_us, command.envelope.time_us);
    assert_document(state, &event.error,
                    "{'code':'command.id_conflict','message':'A command with this source and id"
                    " was taken before, with another type or body.','details':{'field':'ce_id'}}");
}

static void test_command_conflict_event__of_an_audit_entry(void **state)
{
    static const char *const subject_header[] = {"ce_subject", "env", NULL};
    struct audit_event event;
    struct err err = {.text = ""};

    struct command command = command_plain(
        state, "dev.catalyst.audit.append.v1",
        "{'category':'c','action':'a','occurredAt':'2020-01-01T00:00:00Z','subject':{'type':'t',"
        "'id':'s'},'resource':{'type':'t','id':'r'}}");
    assert_int_equal(command_conflict_event(&command, *state, &event, &err), OUTCOME_OK);
    assert_document(state, &event.resource, "{'type':'t','id':'r'}");
    assert_text(event.entity, "r");

    command = command_with(state, "dev.catalyst.audit.append.v1", "{'category':'c','action':'a'}",
                           subject_header);
    assert_int_equal(command_conflict_event(&command, *state, &event, &err), OUTCOME_OK);
    assert_document(state, &event.resource, NULL);
    assert_text(event.entity, "env");
}

static void test_command_event__full_arena_is_fatal_at_every_allocation(void **state)
{
    struct command command = command_with(state, upserts[0].type, upserts[0].body, all_headers);
    struct audit_event event;
    struct err err = {.text = ""};
    size_t ceiling = 16;

    for (;; ceiling += 16) {
        struct arena *small = arena_new(ceiling);
        enum outcome outcome =
            command_event(&command, &(const struct command_result){0}, small, &event, &err);
        arena_free(small);
        if (outcome == OUTCOME_OK)
            break;
        assert_int_equal(outcome, OUTCOME_FULL);
    }
    assert_true(ceiling < 65536);
}

/* --- the message --- */

static struct outgoing_record encode(void **state, const struct audit_event *event)
{
    struct outgoing_record record;
    struct err err = {.text = ""};

    if (audit_message_encode(event, TEXT("audit"), *state, &record, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    return record;
}

static void test_audit_message_encode__golden(void **state)
{
    struct command command = command_with(
        state, IDENTITY "org.upsert.v1",
        "{'id':'o1','slug':'s','status':'active','ownerUserId':'u1','profile':{'name':'n'}}",
        all_headers);
    struct audit_event event = answer(
        state, &command, &(const struct command_result){.rejection = REJECTION_ORG_DUPLICATE_SLUG});

    struct outgoing_record record = encode(state, &event);

    char id[UUID_TEXT_LENGTH + 1];
    char json[1000];
    uuid_format(&event.id, id);
    snprintf(json, sizeof(json),
             "{'id':'%s','occurredAt':'2026-05-06T07:08:09.500000Z','category':'identity',"
             "'action':'org.created','outcome':'rejected','actor':{'type':'user','id':'admin'},"
             "'subject':{'type':'org','id':'o1'},'resource':{'type':'org','id':'o1'},"
             "'correlationId':'corr-1','command':{'source':'/tests','id':'c-1','type':"
             "'dev.catalyst.identity.org.upsert.v1'},'error':{'code':'org.postgres.duplicate_slug',"
             "'message':'Another organisation has this slug.','details':{'field':'slug'}}}",
             id);
    assert_slice(record.value, packed(*state, json));
    assert_text(record.topic, "audit");
    assert_text(text_of_slice(record.key), "o1");
    assert_int_equal(record.timestamp_ms, -1);
    const char *const headers[][2] = {
        {"ce_specversion", "1.0"},
        {"ce_id", id},
        {"ce_source", "catalyst-worker"},
        {"ce_type", "dev.catalyst.audit.org.created.v1"},
        {"ce_subject", "o1"},
        {"ce_time", "2026-05-06T07:08:09.500000Z"},
        {"ce_causationid", "c-1"},
        {"content-type", "application/vnd.msgpack"},
        {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"tracestate", "a=b"},
        {"ce_correlationid", "corr-1"},
    };
    assert_int_equal(record.header_count, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < record.header_count; i++) {
        assert_text(record.headers[i].name, headers[i][0]);
        assert_text(text_of_slice(record.headers[i].value), headers[i][1]);
    }
}

static void test_audit_message_encode__absent_things_are_left_out(void **state)
{
    struct command command =
        command_plain(state, "dev.catalyst.audit.append.v1", "{'category':'c','action':'a b'}");
    struct audit_event event = answer(state, &command, &(const struct command_result){0});

    struct outgoing_record record = encode(state, &event);

    char id[UUID_TEXT_LENGTH + 1];
    char json[400];
    uuid_format(&event.id, id);
    snprintf(json, sizeof(json),
             "{'id':'%s','occurredAt':'2026-01-02T03:04:05.678000Z','category':'c','action':'a b',"
             "'outcome':'applied','command':{'source':'/tests','id':'c-1','type':"
             "'dev.catalyst.audit.append.v1'}}",
             id);
    assert_slice(record.value, packed(*state, json));
    assert_int_equal(record.header_count, 8);
    assert_text(text_of_slice(record.key), id);
    assert_text(header_text(&record, "ce_type"), "dev.catalyst.audit.a b.v1");
}

static void forget_packed(struct audit_event *event)
{
    struct document *const documents[] = {&event->actor, &event->subject, &event->resource,
                                          &event->metadata, &event->error};
    for (size_t i = 0; i < 5; i++)
        documents[i]->packed = (struct slice){NULL, 0};
}

/* Read back from its record, the event has the same row: texts, and documents as JSON. */
static void assert_read_back(void **state, const struct audit_event *event)
{
    struct outgoing_record record = encode(state, event);
    const struct message message = {.topic = TEXT("audit"),
                                    .key = record.key,
                                    .value = record.value,
                                    .headers = record.headers,
                                    .header_count = record.header_count};
    struct audit_event read;
    struct err err = {.text = ""};

    assert_int_equal(audit_message_decode(&message, *state, &read, &err), OUTCOME_OK);

    const struct text expected[] = {
        event->category,      event->action,
        event->outcome,       event->correlation_id,
        event->entity,        event->command_source,
        event->command_id,    event->command_type,
        event->traceparent,   event->tracestate,
        event->actor.json,    event->subject.json,
        event->resource.json, event->metadata.json,
        event->error.json,    event->carried_correlation_id,
    };
    const struct text found[] = {
        read.category,      read.action,         read.outcome,    read.correlation_id,
        read.entity,        read.command_source, read.command_id, read.command_type,
        read.traceparent,   read.tracestate,     read.actor.json, read.subject.json,
        read.resource.json, read.metadata.json,  read.error.json, read.carried_correlation_id,
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(text_present(found[i]), text_present(expected[i]));
        if (text_present(expected[i]))
            assert_slice(slice_of_text(found[i]), slice_of_text(expected[i]));
    }
    assert_true(uuid_equal(&read.id, &event->id));
    assert_int_equal(read.occurred_at_us, event->occurred_at_us);
}

static void test_audit_message_decode__what_the_worker_did_not_write_is_refused(void **state)
{
    static const char *const bodies[] = {
        "{}",
        "{'id':'x'}",
        "[]",
        "{'category':'c'}",
        /* another order than the worker's */
        "{'occurredAt':'2026-01-02T03:04:05.678000Z','id':'00000000-0000-0000-0000-000000000000',"
        "'category':'c','action':'a','outcome':'applied','command':{}}",
        "{'id':'00000000-0000-0000-0000-000000000000','occurredAt':'2026-01-02T03:04:05.678000Z',"
        "'category':'c','action':'a','outcome':'applied','command':{},'more':1}",
    };
    struct audit_event event;
    struct err err;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const struct message message = {.value = packed(*state, bodies[i])};
        assert_int_equal(audit_message_decode(&message, *state, &event, &err), OUTCOME_REJECT);
    }
    const struct message tombstone = {.topic = TEXT("audit")};
    assert_int_equal(audit_message_decode(&tombstone, *state, &event, &err), OUTCOME_REJECT);
}

static void assert_same_from_json(void **state, const struct audit_event *event)
{
    assert_read_back(state, event);
    struct audit_event stored = *event;

    forget_packed(&stored);
    struct outgoing_record first = encode(state, event);
    struct outgoing_record again = encode(state, &stored);

    assert_slice(first.value, again.value);
    assert_slice(first.key, again.key);
    assert_int_equal(first.header_count, again.header_count);
    for (size_t i = 0; i < first.header_count; i++) {
        assert_slice(slice_of_text(first.headers[i].name), slice_of_text(again.headers[i].name));
        assert_slice(first.headers[i].value, again.headers[i].value);
    }
}

static void test_audit_message_encode__stored_json_gives_the_same_bytes(void **state)
{
    static const char *const removals[][2] = {
        {IDENTITY "group.delete.v1", "{'id':'x'}"},
        {IDENTITY "membership.remove.v1", "{'id':'x'}"},
        {IDENTITY "entitlement.remove.v1", "{'id':'x'}"},
        {"dev.catalyst.key.record_usage.v1", "{'id':'x'}"},
        {"dev.catalyst.key.revoke.v1", "{'id':'x','reason':'\xc3\xa9\\n'}"},
    };
    struct audit_event event;
    struct err err = {.text = ""};

    for (size_t i = 0; i < sizeof(upserts) / sizeof(upserts[0]); i++) {
        struct command command = command_with(state, upserts[i].type, upserts[i].body, all_headers);
        event = answer(state, &command, &(const struct command_result){0});
        assert_same_from_json(state, &event);
        event = answer(state, &command,
                       &(const struct command_result){.rejection = REJECTION_ORG_DUPLICATE_SLUG});
        assert_same_from_json(state, &event);
        assert_int_equal(command_conflict_event(&command, *state, &event, &err), OUTCOME_OK);
        assert_same_from_json(state, &event);
    }
    for (size_t i = 0; i < sizeof(removals) / sizeof(removals[0]); i++) {
        struct command command = command_plain(state, removals[i][0], removals[i][1]);
        void *row = arena_calloc(*state, 1, command.type->record->size);
        record_clear(command.type->record, row);
        event = answer(state, &command, &(const struct command_result){.row = row});
        assert_same_from_json(state, &event);
    }
}

static void test_audit_message_encode__any_metadata_survives_storage(void **state)
{
    struct random random = {31};
    int maps = 0;

    for (int round = 0; round < 600; round++) {
        struct slice metadata = random_value(&random, *state, 5);
        struct buffer body;
        struct command command;
        struct err err = {.text = ""};
        if ((metadata.data[0] & 0xf0) != 0x80 && metadata.data[0] != 0xde)
            continue;
        buffer_init(&body, *state);
        buffer_append(&body,
                      "\x83\xa8"
                      "category\xa1"
                      "c\xa6"
                      "action\xa1"
                      "a\xa8"
                      "metadata",
                      30);
        buffer_append(&body, metadata.data, metadata.length);
        struct message message =
            command_of(*state, "dev.catalyst.audit.append.v1", buffer_slice(&body));
        assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);

        struct audit_event event = answer(state, &command, &(const struct command_result){0});

        assert_slice(event.metadata.packed, oracle_canonical(*state, metadata));
        assert_same_from_json(state, &event);
        maps++;
        arena_reset(*state);
    }
    assert_true(maps > 50);
}

static void test_audit_message_encode__broken_stored_json_is_refused(void **state)
{
    struct audit_event event = {.category = TEXT("c"),
                                .action = TEXT("a"),
                                .entity = TEXT("e"),
                                .metadata = {.json = TEXT("{\"a\":")}};
    struct outgoing_record record;
    struct err err = {.text = ""};

    assert_int_equal(audit_message_encode(&event, TEXT("t"), *state, &record, &err),
                     OUTCOME_REJECT);

    assert_string_equal(err.text,
                        "audit event: metadata: not JSON: it ends too early (line 1, column 5)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_event__applied_upserts),
        cmocka_unit_test(test_command_event__removals_hold_the_removed_row),
        cmocka_unit_test(test_command_event__key_usage_and_revocation),
        cmocka_unit_test(test_command_event__rejections),
        cmocka_unit_test(test_command_event__a_long_entity_id_is_replaced),
        cmocka_unit_test(test_command_event__what_the_envelope_gives),
        cmocka_unit_test(test_command_event__half_an_actor_is_none),
        cmocka_unit_test(test_command_event__audit_says_it_itself),
        cmocka_unit_test(test_command_event__audit_falls_back_on_the_envelope),
        cmocka_unit_test(test_command_event__entity_of_an_audit_entry),
        cmocka_unit_test(test_command_event__documents_of_an_audit_entry_are_canonical),
        cmocka_unit_test(test_command_conflict_event__resource_and_nothing_more),
        cmocka_unit_test(test_command_conflict_event__of_an_audit_entry),
        cmocka_unit_test(test_command_event__full_arena_is_fatal_at_every_allocation),
        cmocka_unit_test(test_audit_message_decode__what_the_worker_did_not_write_is_refused),
        cmocka_unit_test(test_audit_message_encode__golden),
        cmocka_unit_test(test_audit_message_encode__absent_things_are_left_out),
        cmocka_unit_test(test_audit_message_encode__stored_json_gives_the_same_bytes),
        cmocka_unit_test(test_audit_message_encode__any_metadata_survives_storage),
        cmocka_unit_test(test_audit_message_encode__broken_stored_json_is_refused),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
