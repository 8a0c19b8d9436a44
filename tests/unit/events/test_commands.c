/* Every command of the contract: what it decodes into, and every rule of its fields. Each case runs
 * as MessagePack and as JSON. */
#include <stdio.h>
#include <time.h>

#include "base/timestamp.h"
#include "events/commands.h"
#include "events/rejections.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_writer.h"
#include "support.h"

#define USER "dev.catalyst.identity.user.upsert.v1"
#define ORG "dev.catalyst.identity.org.upsert.v1"
#define GROUP "dev.catalyst.identity.group.upsert.v1"
#define GROUP_REMOVED "dev.catalyst.identity.group.delete.v1"
#define MEMBERSHIP "dev.catalyst.identity.membership.upsert.v1"
#define MEMBERSHIP_REMOVED "dev.catalyst.identity.membership.remove.v1"
#define ENTITLEMENT "dev.catalyst.identity.entitlement.upsert.v1"
#define ENTITLEMENT_REMOVED "dev.catalyst.identity.entitlement.remove.v1"
#define KEY "dev.catalyst.key.issue.v1"
#define KEY_USED "dev.catalyst.key.record_usage.v1"
#define KEY_REVOKED "dev.catalyst.key.revoke.v1"
#define AUDIT "dev.catalyst.audit.append.v1"

static const int64_t COMMAND_TIME_US = 1767323045678000; /* of command_of() */

/* Of each type the least and the most that it may hold. */
static const struct contract {
    const char *type;
    const char *least;
    const char *most;
} contract[] = {
    {USER, "{'id':'u','authentikId':'a','email':'e'}",
     "{'id':'u','authentikId':'a','email':'e','primaryOrgId':'o','displayName':'d','avatarUrl':'',"
     "'labels':{'a':'x','b':1,'c':true,'d':1.5},'metadata':{'x':[{}]}}"},
    {ORG, "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':{'name':'n'}}",
     "{'id':'o','slug':'s','status':'archived','ownerUserId':'u','profile':{'name':'n','logoUrl':"
     "'l','description':'','websiteUrl':'w','brandColors':{},'address':{'a':{}},'links':{'x':[]}},"
     "'labels':{},'settings':{'s':null}}"},
    {GROUP, "{'id':'g','orgId':'o','slug':'s','name':'n'}",
     "{'id':'g','orgId':'o','slug':'s','name':'n','description':'','parentGroupId':'p',"
     "'labels':{'l':false}}"},
    {GROUP_REMOVED, "{'id':'g'}", "{'id':'g'}"},
    {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r'}",
     "{'id':'m','userId':'u','orgId':'o','role':'r','groupIds':['a','b'],'labelsDelta':{'x':'y'},"
     "'createdAt':'2020-01-01T00:00:00Z','updatedAt':'2021-01-01T00:00:00Z'}"},
    {MEMBERSHIP_REMOVED, "{'id':'m'}", "{'id':'m'}"},
    {ENTITLEMENT, "{'id':'e','subjectKind':'user','subjectId':'u','entitlement':'x'}",
     "{'id':'e','subjectKind':'membership','subjectId':'m','entitlement':'x',"
     "'createdAt':'2020-01-01T00:00:00Z','metadata':{'a':1}}"},
    {ENTITLEMENT_REMOVED, "{'id':'e'}", "{'id':'e'}"},
    {KEY, "{'hash':'h','owner':{'kind':'user','id':'u'},'scopes':[]}",
     "{'id':'k','hash':'h','owner':{'kind':'service','id':'s'},'name':'n','description':'d',"
     "'createdBy':{'kind':'system','id':'y'},'scopes':['b','a','b'],'labels':{'l':1},"
     "'expiresAt':'2030-01-01T00:00:00Z','createdAt':'2020-01-01T00:00:00Z','metadata':{}}"},
    {KEY_USED, "{'id':'k'}", "{'id':'k','usedAt':'2020-01-01T00:00:00Z'}"},
    {KEY_REVOKED, "{'id':'k'}",
     "{'id':'k','revokedAt':'2020-01-01T00:00:00Z','revokedBy':{'kind':'org','id':'o'},"
     "'reason':'r'}"},
    {AUDIT, "{'category':'c','action':'a'}",
     "{'category':'c','action':'a','occurredAt':'2020-01-01T00:00:00Z',"
     "'actor':{'type':'user','id':'u','labels':{'x':1}},'subject':{'type':'org','id':'o'},"
     "'resource':{'type':'thing','labels':{}},'metadata':{'m':1},'correlationId':'x'}"},
};

static const struct contract *contract_of(const char *type)
{
    size_t i = 0;

    while (strcmp(contract[i].type, type) != 0)
        i++;
    return &contract[i];
}

static enum outcome decode_as(void **state, const char *type, const char *json, bool as_json,
                              struct command *ret_command, struct err *err)
{
    struct message message = command_of(
        *state, type, as_json ? slice_of_text(quoted(*state, json)) : packed(*state, json));
    struct message *kept = arena_alloc(*state, sizeof(*kept));

    assert_non_null(kept);
    *kept = message;
    if (as_json)
        set_header(*state, kept, "content-type", "application/json");
    return command_decode(kept, *state, ret_command, err);
}

static struct command decode(void **state, const char *type, const char *json)
{
    struct command command;
    struct err err = {.text = ""};

    if (decode_as(state, type, json, false, &command, &err) != OUTCOME_OK)
        fail_msg("%s refused: %s", type, err.text);
    return command;
}

static void assert_refused(void **state, const char *type, const char *json, const char *code,
                           const char *text)
{
    for (int as_json = 0; as_json < 2; as_json++) {
        struct command command;
        struct err err = {.text = "", .code = ""};

        if (decode_as(state, type, json, as_json == 1, &command, &err) != OUTCOME_REJECT)
            fail_msg("%s took %s", type, json);
        assert_string_equal(err.text, text);
        assert_string_equal(err.code, code);
    }
}

/* --- the registry --- */

static void test_command_types__are_the_twelve_of_the_contract(void **state)
{
    (void)state;
    assert_int_equal(sizeof(contract) / sizeof(contract[0]), COMMAND_KIND_COUNT);
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        assert_int_equal(command_types[i].kind, i);
        assert_string_equal(command_types[i].name, contract[i].type);
        assert_ptr_equal(command_type_find(text_of(contract[i].type)), &command_types[i]);
    }
    assert_null(command_type_find(TEXT("dev.catalyst.key.issue.v2")));
    assert_null(command_type_find(TEXT_ABSENT));
}

static void test_command_field_name__declared_fields_only(void **state)
{
    const struct command_type *usage = command_type_find(TEXT(KEY_USED));

    (void)state;
    assert_string_equal(command_field_name(usage, TEXT("usedAt")), "usedAt");
    assert_null(command_field_name(usage, TEXT("lastUsedAt")));
    assert_null(command_field_name(usage, TEXT("hash")));
    assert_null(command_field_name(usage, TEXT_ABSENT));
}

static void test_command_decode__least_and_most_of_every_type(void **state)
{
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        for (int as_json = 0; as_json < 2; as_json++) {
            struct command command;
            struct err err = {.text = ""};

            if (decode_as(state, contract[i].type, contract[i].least, as_json == 1, &command,
                          &err) != OUTCOME_OK)
                fail_msg("%s least: %s", contract[i].type, err.text);
            if (decode_as(state, contract[i].type, contract[i].most, as_json == 1, &command,
                          &err) != OUTCOME_OK)
                fail_msg("%s most: %s", contract[i].type, err.text);
            assert_ptr_equal(command.type, &command_types[i]);
        }
    }
}

/* Takes the fields away one by one: those that the least has are required, the others are not. */
static void test_command_decode__each_required_field_missing_or_nil(void **state)
{
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        const struct command_type *type = &command_types[i];
        for (size_t f = 0; f < type->record->field_count; f++) {
            const struct field_spec *field = &type->record->fields[f];
            char removed[64];
            char text[128];
            if (field->use[type->use] != FIELD_REQUIRED)
                continue;
            struct text least = quoted(*state, contract[i].least);
            char *copy = arena_copy(*state, least.data, least.length);
            snprintf(removed, sizeof(removed), "\"%s\":", field_wire_name(field));
            char *at = strstr(copy, removed);
            assert_non_null(at);
            at[1] = '!'; /* the name becomes one that nobody declares */
            snprintf(text, sizeof(text), "%s: missing", field_wire_name(field));
            assert_refused(state, contract[i].type, copy, "field", text);
        }
    }
    assert_refused(state, USER, "{'id':'u','authentikId':null,'email':'e'}", "field",
                   "authentikId: missing");
}

static void test_command_decode__unknown_type(void **state)
{
    assert_refused(state, "dev.catalyst.identity.user.delete.v1", "{'id':'u'}", "type",
                   "ce_type: not a command of the contract");
}

static void test_command_decode__fields_that_others_of_the_record_take_are_ignored(void **state)
{
    struct command command = decode(state, KEY_USED, "{'id':'k','hash':5,'reason':[],'token':'t'}");

    const struct key *key = command.record;
    assert_absent(key->hash);
    assert_absent(key->revocation_reason);
}

static void test_command_decode__unknown_fields_may_hold_anything(void **state)
{
    struct slice value = hex(*state, "84 a26964 a16b a178 c40100 a179 cb7ff8000000000000"
                                     "a17a d6ff00000001");
    struct message message = command_of(*state, KEY_USED, value);
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);
}

static void test_command_decode__bodies_that_are_no_map(void **state)
{
    static const char *const others[] = {"[]", "1", "'x'", "null", "true", "1.5"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_refused(state, USER, others[i], "body", "body: must be a map");
}

static void test_command_decode__identity_of_the_command(void **state)
{
    struct command one = decode(state, KEY_USED, "{'id':'k'}");
    struct command same = decode(state, KEY_USED, "{'id':'k'}");
    struct command other_body = decode(state, KEY_USED, "{'id':'l'}");
    struct command other_type = decode(state, KEY_REVOKED, "{'id':'k'}");
    const struct uuid expected = audit_id_of(TEXT("/tests"), TEXT("c-1"));

    assert_true(uuid_equal(&one.audit_id, &expected));
    assert_true(uuid_equal(&other_type.audit_id, &expected));
    assert_true(uuid_equal(&one.digest, &same.digest));
    assert_false(uuid_equal(&one.digest, &other_body.digest));
    assert_false(uuid_equal(&one.digest, &other_type.digest));
}

static void test_command_decode__digest_ignores_other_headers(void **state)
{
    struct message message = command_of(*state, KEY_USED, packed(*state, "{'id':'k'}"));
    struct command one;
    struct command two;
    struct err err = {.text = ""};

    assert_int_equal(command_decode(&message, *state, &one, &err), OUTCOME_OK);
    set_header(*state, &message, "ce_time", "2020-01-01T00:00:00Z");
    set_header(*state, &message, "ce_subject", "x");
    assert_int_equal(command_decode(&message, *state, &two, &err), OUTCOME_OK);

    assert_true(uuid_equal(&one.digest, &two.digest));
}

/* --- what the fields become --- */

static void test_user__every_field(void **state)
{
    const struct user *user = decode(state, USER, contract_of(USER)->most).record;

    assert_text(user->id, "u");
    assert_text(user->authentik_id, "a");
    assert_text(user->email, "e");
    assert_text(user->primary_org_id, "o");
    assert_text(user->display_name, "d");
    assert_text(user->avatar_url, "");
    assert_text(user->labels.json, "{\"a\":\"x\",\"b\":1,\"c\":true,\"d\":1.5}");
    assert_text(user->metadata.json, "{\"x\":[{}]}");
    assert_slice(user->metadata.packed, packed(*state, "{'x':[{}]}"));
}

static void test_user__absent_labels_are_empty_absent_metadata_is_absent(void **state)
{
    const struct user *user = decode(state, USER, contract_of(USER)->least).record;

    assert_text(user->labels.json, "{}");
    assert_slice(user->labels.packed, hex(*state, "80"));
    assert_absent(user->metadata.json);
    assert_null(user->metadata.packed.data);
    assert_absent(user->primary_org_id);
    assert_absent(user->display_name);
}

static void test_user__nil_is_absent(void **state)
{
    const struct user *user =
        decode(state, USER,
               "{'id':'u','authentikId':'a','email':'e','primaryOrgId':null,'displayName':null,"
               "'avatarUrl':null,'labels':null,'metadata':null}")
            .record;

    assert_absent(user->primary_org_id);
    assert_absent(user->avatar_url);
    assert_text(user->labels.json, "{}");
    assert_absent(user->metadata.json);
}

static void test_org__profile_as_given(void **state)
{
    const struct org *org =
        decode(state, ORG,
               "{'settings':{},'profile':{'custom':[1],'name':'n','logoUrl':null},'id':'o',"
               "'slug':'s','status':'invited','ownerUserId':'u'}")
            .record;

    assert_text(org->profile.json, "{\"custom\":[1],\"name\":\"n\",\"logoUrl\":null}");
    assert_text(org->settings.json, "{}");
    assert_text(org->labels.json, "{}");
    assert_text(org->status, "invited");
}

static void test_membership__times_given(void **state)
{
    const struct membership *membership =
        decode(state, MEMBERSHIP, contract_of(MEMBERSHIP)->most).record;

    assert_int_equal(membership->created_at_us, 1577836800000000);
    assert_int_equal(membership->updated_at_us, 1609459200000000);
    assert_false(membership->keep_created_at);
    assert_int_equal(membership->group_ids.count, 2);
    assert_text(membership->group_ids.items[0], "a");
    assert_text(membership->group_ids.items[1], "b");
}

static void test_membership__times_absent(void **state)
{
    const struct membership *membership =
        decode(state, MEMBERSHIP, contract_of(MEMBERSHIP)->least).record;

    assert_int_equal(membership->created_at_us, COMMAND_TIME_US);
    assert_int_equal(membership->updated_at_us, COMMAND_TIME_US);
    assert_true(membership->keep_created_at);
    assert_non_null(membership->group_ids.items);
    assert_int_equal(membership->group_ids.count, 0);
    assert_text(membership->labels_delta.json, "{}");
}

static void test_membership__remove_has_an_id_and_nothing_else(void **state)
{
    const struct membership *membership =
        decode(state, MEMBERSHIP_REMOVED, contract_of(MEMBERSHIP_REMOVED)->least).record;

    assert_text(membership->id, "m");
    assert_int_equal(membership->created_at_us, TIMESTAMP_ABSENT);
    assert_int_equal(membership->updated_at_us, TIMESTAMP_ABSENT);
    assert_null(membership->group_ids.items);
    assert_false(membership->keep_created_at);
}

static void test_entitlement__defaults(void **state)
{
    const struct entitlement *entitlement =
        decode(state, ENTITLEMENT, contract_of(ENTITLEMENT)->least).record;

    assert_text(entitlement->subject_kind, "user");
    assert_text(entitlement->metadata.json, "{}");
    assert_int_equal(entitlement->created_at_us, COMMAND_TIME_US);
    assert_true(entitlement->keep_created_at);
}

static void test_key__every_field(void **state)
{
    const struct key *key = decode(state, KEY, contract_of(KEY)->most).record;

    assert_text(key->id, "k");
    assert_text(key->hash, "h");
    assert_text(key->owner.kind, "service");
    assert_text(key->owner.id, "s");
    assert_text(key->name, "n");
    assert_text(key->description, "d");
    assert_text(key->created_by.kind, "system");
    assert_int_equal(key->expires_at_us, 1893456000000000);
    assert_int_equal(key->created_at_us, 1577836800000000);
    assert_int_equal(key->updated_at_us, COMMAND_TIME_US);
    assert_text(key->labels.json, "{\"l\":1}");
    assert_text(key->metadata.json, "{}");
    assert_int_equal(key->usage_count, 0);
    assert_int_equal(key->last_used_at_us, TIMESTAMP_ABSENT);
    assert_int_equal(key->revoked_at_us, TIMESTAMP_ABSENT);
}

static void test_key__scopes_are_deduplicated_in_first_seen_order(void **state)
{
    const struct key *key = decode(state, KEY,
                                   "{'hash':'h','owner':{'kind':'user','id':'u'},"
                                   "'scopes':['b','a','b','c','a']}")
                                .record;

    assert_int_equal(key->scopes.count, 3);
    assert_text(key->scopes.items[0], "b");
    assert_text(key->scopes.items[1], "a");
    assert_text(key->scopes.items[2], "c");
}

static void test_key__many_scopes_are_deduplicated_quickly(void **state)
{
    enum { SCOPES = 100000 };
    struct buffer body;
    struct command command;
    struct err err = {.text = ""};

    buffer_init(&body, *state);
    msgpack_write_map(&body, 3);
    msgpack_write_text(&body, TEXT("hash"));
    msgpack_write_text(&body, TEXT("h"));
    msgpack_write_text(&body, TEXT("owner"));
    struct slice owner = packed(*state, "{'kind':'user','id':'u'}");
    buffer_append(&body, owner.data, owner.length);
    msgpack_write_text(&body, TEXT("scopes"));
    msgpack_write_array(&body, SCOPES + 2);
    for (size_t i = 0; i < SCOPES + 2; i++) {
        char scope[16];
        snprintf(scope, sizeof(scope), "s%05zu", i % SCOPES);
        msgpack_write_text(&body, text_of(scope));
    }
    struct message message = command_of(*state, KEY, buffer_slice(&body));
    clock_t begun = clock();
    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);

    const struct key *key = command.record;
    assert_int_equal(key->scopes.count, SCOPES);
    assert_text(key->scopes.items[0], "s00000");
    assert_text(key->scopes.items[SCOPES - 1], "s99999");
    assert_true((double)(clock() - begun) / CLOCKS_PER_SEC < 5.0);
}

static void test_key__without_id_gets_one_from_the_command(void **state)
{
    const struct key *key = decode(state, KEY, contract_of(KEY)->least).record;
    const struct key *again = decode(state, KEY, contract_of(KEY)->least).record;
    const struct uuid expected = key_id_of(TEXT("/tests"), TEXT("c-1"));
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(&expected, text);
    assert_text(key->id, text);
    assert_text(again->id, text);
    assert_int_equal(key->created_at_us, COMMAND_TIME_US);
    assert_absent(key->created_by.kind);
    assert_int_equal(key->expires_at_us, TIMESTAMP_ABSENT);
    assert_absent(key->metadata.json);
}

static void test_key__usage_and_revocation(void **state)
{
    const struct key *used = decode(state, KEY_USED, contract_of(KEY_USED)->most).record;
    assert_int_equal(used->last_used_at_us, 1577836800000000);

    used = decode(state, KEY_USED, contract_of(KEY_USED)->least).record;
    assert_int_equal(used->last_used_at_us, COMMAND_TIME_US);
    assert_int_equal(used->revoked_at_us, TIMESTAMP_ABSENT);
    assert_int_equal(used->created_at_us, TIMESTAMP_ABSENT);

    const struct key *revoked = decode(state, KEY_REVOKED, contract_of(KEY_REVOKED)->most).record;
    assert_int_equal(revoked->revoked_at_us, 1577836800000000);
    assert_text(revoked->revoked_by.kind, "org");
    assert_text(revoked->revocation_reason, "r");

    revoked = decode(state, KEY_REVOKED, contract_of(KEY_REVOKED)->least).record;
    assert_int_equal(revoked->revoked_at_us, COMMAND_TIME_US);
    assert_int_equal(revoked->last_used_at_us, TIMESTAMP_ABSENT);
}

static void test_audit__parties_with_all_that_they_hold(void **state)
{
    const struct audit_entry *entry =
        decode(state, AUDIT,
               "{'category':'c','action':'a','actor':{'more':[1],'type':'user','id':'u',"
               "'labels':{'x':'y'}},'resource':{'type':'thing'}}")
            .record;

    assert_text(entry->actor.type, "user");
    assert_text(entry->actor.id, "u");
    assert_text(entry->actor.whole.json,
                "{\"more\":[1],\"type\":\"user\",\"id\":\"u\",\"labels\":{\"x\":\"y\"}}");
    assert_text(entry->resource.type, "thing");
    assert_absent(entry->resource.id);
    assert_absent(entry->subject.whole.json);
    assert_int_equal(entry->occurred_at_us, COMMAND_TIME_US);
}

static void test_times__text_and_timestamp_extension(void **state)
{
    struct slice value = hex(*state, "82 a26964 a16b a6757365644174 d7ff ee6b27fc00000001");
    struct message message = command_of(*state, KEY_USED, value);
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);
    assert_int_equal(((const struct key *)command.record)->last_used_at_us, 1999999);

    const struct key *key =
        decode(state, KEY_USED, "{'id':'k','usedAt':'1970-01-01T01:00:01.9999999+01:00'}").record;
    assert_int_equal(key->last_used_at_us, 1999999);
}

/* --- what fields refuse --- */

static void test_command_decode__field_rules(void **state)
{
    static const struct {
        const char *type;
        const char *json;
        const char *text;
    } cases[] = {
        {USER, "{'id':1,'authentikId':'a','email':'e'}", "id: must be text"},
        {USER, "{'id':'','authentikId':'a','email':'e'}", "id: must be 1 to 256 bytes"},
        {USER, "{'id':'a\\tb','authentikId':'a','email':'e'}",
         "id: must not contain control characters"},
        {USER, "{'id':'a\\u007f','authentikId':'a','email':'e'}",
         "id: must not contain control characters"},
        {USER, "{'id':'a\\u0085','authentikId':'a','email':'e'}",
         "id: must not contain control characters"},
        {USER, "{'id':'u','authentikId':'a','email':''}", "email: must be 1 to 320 bytes"},
        {USER, "{'id':'u','authentikId':'a','email':'e','displayName':''}",
         "displayName: must be 1 to 1024 bytes"},
        {USER, "{'id':'u','authentikId':'a','email':'e','avatarUrl':7}", "avatarUrl: must be text"},
        {USER, "{'id':'u','authentikId':'a','email':'e','labels':[]}", "labels: must be a map"},
        {USER, "{'id':'u','authentikId':'a','email':'e','labels':{'k':{}}}",
         "labels: values must be text, numbers or booleans"},
        {USER, "{'id':'u','authentikId':'a','email':'e','labels':{'k':null}}",
         "labels: values must be text, numbers or booleans"},
        {USER, "{'id':'u','authentikId':'a','email':'e','metadata':'x'}",
         "metadata: must be a map"},
        {USER, "{'id':'u','authentikId':'a','email':'e','metadata':[]}", "metadata: must be a map"},
        {ORG, "{'id':'o','slug':'s','status':'gone','ownerUserId':'u','profile':{'name':'n'}}",
         "status: must be one of active, suspended, invited, archived"},
        {ORG, "{'id':'o','slug':'s','status':1,'ownerUserId':'u','profile':{'name':'n'}}",
         "status: must be text"},
        {ORG, "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':'n'}",
         "profile: must be a map"},
        {ORG, "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':{}}",
         "profile.name: missing"},
        {ORG, "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':{'name':null}}",
         "profile.name: missing"},
        {ORG,
         "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':{'name':'n',"
         "'logoUrl':1}}",
         "profile.logoUrl: must be text"},
        {ORG,
         "{'id':'o','slug':'s','status':'active','ownerUserId':'u','profile':{'name':'n',"
         "'links':[]}}",
         "profile.links: must be a map"},
        {GROUP, "{'id':'g','orgId':'o','slug':'s','name':'n','parentGroupId':''}",
         "parentGroupId: must be 1 to 256 bytes"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','groupIds':'a'}",
         "groupIds: must be an array of texts"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','groupIds':['a','b','c',4]}",
         "groupIds[3]: must be text"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','groupIds':['']}",
         "groupIds[0]: must be 1 to 256 bytes"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','groupIds':[null]}",
         "groupIds[0]: must be text"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','createdAt':'soon'}",
         "createdAt: must be an RFC 3339 time or a MessagePack timestamp"},
        {MEMBERSHIP, "{'id':'m','userId':'u','orgId':'o','role':'r','createdAt':1577836800}",
         "createdAt: must be an RFC 3339 time or a MessagePack timestamp"},
        {ENTITLEMENT, "{'id':'e','subjectKind':'group','subjectId':'u','entitlement':'x'}",
         "subjectKind: must be one of user, org, membership"},
        {KEY, "{'hash':'h','owner':'u','scopes':[]}", "owner: must be a map"},
        {KEY, "{'hash':'h','owner':{'kind':'user'},'scopes':[]}", "owner.id: missing"},
        {KEY, "{'hash':'h','owner':{'id':'u'},'scopes':[]}", "owner.kind: missing"},
        {KEY, "{'hash':'h','owner':{'kind':'robot','id':'u'},'scopes':[]}",
         "owner.kind: must be one of user, org, service, system"},
        {KEY, "{'hash':'h','owner':{'kind':'user','id':''},'scopes':[]}",
         "owner.id: must be 1 to 256 bytes"},
        {KEY, "{'hash':'h','owner':{'kind':'user','id':'u'},'scopes':['\\n']}",
         "scopes[0]: must not contain control characters"},
        {KEY_REVOKED, "{'id':'k','revokedBy':{'kind':'user'}}", "revokedBy.id: missing"},
        {KEY_REVOKED, "{'id':'k','reason':5}", "reason: must be text"},
        {KEY_USED, "{'id':'k','usedAt':''}",
         "usedAt: must be an RFC 3339 time or a MessagePack timestamp"},
        {AUDIT, "{'category':5,'action':'a'}", "category: must be text"},
        {AUDIT, "{'category':'c','action':'a','actor':{'type':'user'}}", "actor.id: missing"},
        {AUDIT, "{'category':'c','action':'a','subject':{'id':'user'}}", "subject.type: missing"},
        {AUDIT, "{'category':'c','action':'a','resource':{}}", "resource.type: missing"},
        {AUDIT, "{'category':'c','action':'a','resource':{'type':'t','id':7}}",
         "resource.id: must be text"},
        {AUDIT, "{'category':'c','action':'a','actor':{'type':'t','id':'i','labels':[]}}",
         "actor.labels: must be a map"},
        {AUDIT, "{'category':'c','action':'a','actor':[]}", "actor: must be a map"},
        {AUDIT, "{'category':'c','action':'a','correlationId':''}",
         "correlationId: must be 1 to 256 bytes"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(state, cases[i].type, cases[i].json, "field", cases[i].text);
}

static void test_command_decode__length_limits(void **state)
{
    static const struct {
        const char *field;
        size_t max;
        const char *text;
    } limits[] = {
        {"id", 256, "id: must be 1 to 256 bytes"},
        {"authentikId", 256, "authentikId: must be 1 to 256 bytes"},
        {"primaryOrgId", 256, "primaryOrgId: must be 1 to 256 bytes"},
        {"email", 320, "email: must be 1 to 320 bytes"},
        {"displayName", 1024, "displayName: must be 1 to 1024 bytes"},
        {"avatarUrl", 4096, "avatarUrl: must be 0 to 4096 bytes"},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (size_t excess = 0; excess < 2; excess++) {
            struct buffer json;
            bool is_given[3] = {strcmp(limits[i].field, "id") == 0,
                                strcmp(limits[i].field, "authentikId") == 0,
                                strcmp(limits[i].field, "email") == 0};

            buffer_init(&json, *state);
            buffer_append_literal(&json, "{'");
            buffer_append_literal(&json, limits[i].field);
            buffer_append_literal(&json, "':'");
            for (size_t n = 0; n < limits[i].max + excess; n++)
                buffer_append_byte(&json, 'x');
            buffer_append_literal(&json, "'");
            buffer_append_literal(&json, is_given[0] ? "" : ",'id':'u'");
            buffer_append_literal(&json, is_given[1] ? "" : ",'authentikId':'a'");
            buffer_append_literal(&json, is_given[2] ? "" : ",'email':'e'");
            buffer_append(&json, "}", 2);

            if (excess == 0)
                decode(state, USER, (const char *)json.bytes);
            else
                assert_refused(state, USER, (const char *)json.bytes, "field", limits[i].text);
        }
    }
}

static void test_command_decode__free_maps_hold_what_json_holds(void **state)
{
    static const struct {
        const char *metadata;
        const char *text;
    } cases[] = {
        {"81 a161 c40100", "metadata: must not hold binary values"},
        {"81 a161 d6ff00000001", "metadata: must not hold extension types"},
        {"81 a161 91 81 a162 cb7ff8000000000000", "metadata: must not hold NaN or infinity"},
        {"81 a161 cfffffffffffffffff", "metadata: must not hold integers past 9223372036854775807"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer body;
        struct slice metadata = hex(*state, cases[i].metadata);
        struct command command;
        struct err err = {.text = ""};

        buffer_init(&body, *state);
        msgpack_write_map(&body, 4);
        const char *const fields[] = {"id", "authentikId", "email"};
        for (size_t f = 0; f < 3; f++) {
            msgpack_write_text(&body, text_of(fields[f]));
            msgpack_write_text(&body, TEXT("x"));
        }
        msgpack_write_text(&body, TEXT("metadata"));
        buffer_append(&body, metadata.data, metadata.length);
        struct message message = command_of(*state, USER, buffer_slice(&body));

        assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_REJECT);

        assert_string_equal(err.text, cases[i].text);
        assert_string_equal(err.code, "field");
    }
}

static void test_command_decode__secrets_are_refused_before_all_else(void **state)
{
    assert_refused(state, KEY, "{'secret':'s3cr3t'}", "secret",
                   "secret: a key's secret must not be sent, only its hash");
    assert_refused(state, KEY,
                   "{'hash':'h','owner':{'kind':'user','id':'u'},'scopes':[],'token':{'a':1}}",
                   "secret", "token: a key's secret must not be sent, only its hash");
    assert_refused(state, KEY, "{'hash':5,'plaintext':''}", "secret",
                   "plaintext: a key's secret must not be sent, only its hash");
}

static void test_command_decode__a_nil_secret_and_one_below_the_top_are_none(void **state)
{
    decode(state, KEY,
           "{'hash':'h','owner':{'kind':'user','id':'u','token':'x'},'scopes':[],'secret':null,"
           "'metadata':{'secret':'fine'}}");
}

static void test_command_decode__structured_mode(void **state)
{
    struct message message = {
        .timestamp_ms = 0,
        .value = slice_of_text(
            quoted(*state, "{'specversion':'1.0','id':'c-1','source':'/tests','type':'" KEY_USED
                           "','data':{'id':'k'}}")),
    };
    struct command command;
    struct err err = {.text = ""};

    set_header(*state, &message, "content-type", "application/cloudevents+json");
    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);

    const struct text content[] = {TEXT(KEY_USED), text_of_slice(message.value)};
    const struct uuid digest = digest_of(content, 2);
    assert_text(((const struct key *)command.record)->id, "k");
    assert_true(uuid_equal(&command.digest, &digest));
}

static void test_command_decode__audit_with_wide_floats_must_fit_its_event(void **state)
{
    enum { FLOATS = 150000 }; /* 750 kB here, 1.35 MB in the event */
    struct buffer body;
    struct command command;
    struct err err = {.text = ""};

    buffer_init(&body, *state);
    msgpack_write_map(&body, 3);
    msgpack_write_text(&body, TEXT("category"));
    msgpack_write_text(&body, TEXT("c"));
    msgpack_write_text(&body, TEXT("action"));
    msgpack_write_text(&body, TEXT("a"));
    msgpack_write_text(&body, TEXT("metadata"));
    msgpack_write_map(&body, 1);
    msgpack_write_text(&body, TEXT("f"));
    msgpack_write_array(&body, FLOATS);
    for (size_t i = 0; i < FLOATS; i++)
        buffer_append(&body, "\xca\x3f\xc0\x00\x00", 5);
    struct message message = command_of(*state, AUDIT, buffer_slice(&body));

    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_REJECT);

    assert_string_equal(err.text, "metadata: with its floats in 64 bits it is too long for an"
                                  " audit event");
}

/* --- what a field that is ignored may hold --- */

static struct message json_command(void **state, const char *type, const char *body, size_t length)
{
    struct message message =
        command_of(*state, type, (struct slice){(const uint8_t *)body, length});

    set_header(*state, &message, "content-type", "application/json");
    return message;
}

static void test_command_decode__numbers_that_no_type_holds_are_ignored_with_their_field(
    void **state)
{
    static const char *const bodies[] = {
        "{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"x\":18446744073709551615}",
        "{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"x\":[-9223372036854775809]}",
        "{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"x\":{\"y\":1e400}}",
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct message message = json_command(state, USER, bodies[i], strlen(bodies[i]));
        struct command command;
        struct err err = {.text = ""};

        if (command_decode(&message, *state, &command, &err) != OUTCOME_OK)
            fail_msg("%s: %s", bodies[i], err.text);
    }
}

static void test_command_decode__numbers_that_no_type_holds_are_refused_where_they_are_kept(
    void **state)
{
    static const struct {
        const char *body;
        const char *text;
    } cases[] = {
        {"{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"metadata\":{\"x\":"
         "18446744073709551615}}",
         "metadata: must not hold numbers out of range (integers: 64 bits, signed)"},
        {"{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"labels\":{\"x\":1e400}}",
         "labels: values must be text, numbers or booleans"},
        {"{\"id\":18446744073709551615,\"authentikId\":\"a\",\"email\":\"e\"}", "id: must be text"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = json_command(state, USER, cases[i].body, strlen(cases[i].body));
        struct command command;
        struct err err = {.text = ""};

        assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_REJECT);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void test_command_decode__a_nul_behind_a_number_is_no_json(void **state)
{
    static const char body[] =
        "{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"metadata\":{\"v\":123\0}}";
    struct message message = json_command(state, USER, body, sizeof(body) - 1);
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_REJECT);

    assert_string_equal(err.text, "body: JSON text must not contain a NUL byte");
}

static void test_command_decode__parties_have_long_ids_and_any_labels(void **state)
{
    char id[4097];
    memset(id, 'x', 4096);
    id[4096] = '\0';
    const char *body = arena_printf(*state,
                                    "{'category':'c','action':'a','resource':{'type':'t','id':'%s',"
                                    "'labels':{'a':{'b':[1,null]}}}}",
                                    id);

    struct command command = decode(state, AUDIT, body);

    assert_int_equal(((const struct audit_entry *)command.record)->resource.id.length, 4096);
}

static void test_command_decode__full_arena_is_fatal_at_every_allocation(void **state)
{
    struct message message = command_of(*state, KEY, packed(*state, contract_of(KEY)->most));
    struct command command;
    struct err err = {.text = ""};
    size_t ceiling = 16;

    for (;; ceiling += 16) {
        struct arena *small = arena_new(ceiling);
        enum outcome outcome = command_decode(&message, small, &command, &err);
        arena_free(small);
        if (outcome == OUTCOME_OK)
            break;
        assert_int_equal(outcome, OUTCOME_FULL);
    }
    assert_true(ceiling < 65536);
}

static void test_audit_entry_rejection__blank_category_first(void **state)
{
    struct audit_entry entry = {.category = TEXT("c"), .action = TEXT("a")};

    (void)state;
    assert_null(audit_entry_rejection(&entry));

    entry.action = TEXT(" \t");
    assert_string_equal(audit_entry_rejection(&entry), REJECTION_AUDIT_INVALID_ACTION);

    entry.category = TEXT("");
    assert_string_equal(audit_entry_rejection(&entry), REJECTION_AUDIT_INVALID_CATEGORY);

    entry.category = TEXT("\xe3\x80\x80\xc2\xa0"); /* ideographic and no-break space */
    assert_string_equal(audit_entry_rejection(&entry), REJECTION_AUDIT_INVALID_CATEGORY);
}

static void test_audit_entry_rejection__an_action_that_the_worker_gives(void **state)
{
    static const char *const reserved[] = {
        "user.created",
        "user.updated",
        "org.created",
        "org.updated",
        "group.created",
        "group.updated",
        "group.deleted",
        "membership.added",
        "membership.updated",
        "membership.removed",
        "entitlement.granted",
        "entitlement.updated",
        "entitlement.revoked",
        "key.issued",
        "key.used",
        "key.revoked",
        "command.conflicted",
        "audit.appended",
        " Key.ISSUED\xef\xbb\xbf",
    };
    static const char *const free[] = {"key.issue",    "key.issued2",       "key issued",
                                       "dlq.redriven", "partition.skipped", "login.succeeded"};
    struct audit_entry entry = {.category = TEXT("c")};

    (void)state;
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        entry.action = text_of(reserved[i]);
        const char *code = audit_entry_rejection(&entry);
        if (code == NULL || strcmp(code, REJECTION_AUDIT_INVALID_ACTION) != 0)
            fail_msg("%s", reserved[i]);
    }
    for (size_t i = 0; i < sizeof(free) / sizeof(free[0]); i++) {
        entry.action = text_of(free[i]);
        assert_null(audit_entry_rejection(&entry));
    }
}

static void test_command_decode__control_characters_in_category_and_action(void **state)
{
    static const struct {
        const char *body;
        const char *text;
    } cases[] = {
        {"{'category':'c','action':'a\\nb'}", "action: must not contain control characters"},
        {"{'category':'\\u0085','action':'x'}", "category: must not contain control characters"},
        {"{'category':'\\t','action':''}", "category: must not contain control characters"},
        {"{'category':'','action':'key.issued\\u007f'}",
         "action: must not contain control characters"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = command_of(*state, "dev.catalyst.audit.append.v1",
                                            slice_of_text(quoted(*state, cases[i].body)));
        struct command command;
        struct err err = {.text = ""};

        set_header(*state, &message, "content-type", "application/json");

        assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_REJECT);
        assert_string_equal(err.code, "field");
        assert_string_equal(err.text, cases[i].text);
    }
}

static void test_rejections__every_code_has_words_and_a_field(void **state)
{
    static const char *const codes[] = {
        REJECTION_KEY_DUPLICATE_ID,
        REJECTION_KEY_DUPLICATE_HASH,
        REJECTION_KEY_DUPLICATE,
        REJECTION_KEY_NOT_FOUND,
        REJECTION_KEY_REVOKED,
        REJECTION_KEY_EXPIRED,
        REJECTION_KEY_ALREADY_REVOKED,
        REJECTION_ORG_DUPLICATE_SLUG,
        REJECTION_AUDIT_INVALID_CATEGORY,
        REJECTION_AUDIT_INVALID_ACTION,
        REJECTION_GROUP_NOT_FOUND,
        REJECTION_MEMBERSHIP_NOT_FOUND,
        REJECTION_ENTITLEMENT_NOT_FOUND,
        REJECTION_ENTITLEMENT_DUPLICATE,
        REJECTION_ID_CONFLICT,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const struct rejection *rejection = rejection_find(codes[i]);
        assert_non_null(rejection);
        assert_string_equal(rejection->code, codes[i]);
        assert_true(strlen(rejection->message) > 10);
        assert_true(strlen(rejection->field) > 0);
    }
    assert_null(rejection_find("key.postgres.nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_types__are_the_twelve_of_the_contract),
        cmocka_unit_test(test_command_field_name__declared_fields_only),
        cmocka_unit_test(test_command_decode__least_and_most_of_every_type),
        cmocka_unit_test(test_command_decode__each_required_field_missing_or_nil),
        cmocka_unit_test(test_command_decode__unknown_type),
        cmocka_unit_test(test_command_decode__fields_that_others_of_the_record_take_are_ignored),
        cmocka_unit_test(test_command_decode__unknown_fields_may_hold_anything),
        cmocka_unit_test(test_command_decode__bodies_that_are_no_map),
        cmocka_unit_test(test_command_decode__identity_of_the_command),
        cmocka_unit_test(test_command_decode__digest_ignores_other_headers),
        cmocka_unit_test(test_user__every_field),
        cmocka_unit_test(test_user__absent_labels_are_empty_absent_metadata_is_absent),
        cmocka_unit_test(test_user__nil_is_absent),
        cmocka_unit_test(test_org__profile_as_given),
        cmocka_unit_test(test_membership__times_given),
        cmocka_unit_test(test_membership__times_absent),
        cmocka_unit_test(test_membership__remove_has_an_id_and_nothing_else),
        cmocka_unit_test(test_entitlement__defaults),
        cmocka_unit_test(test_key__every_field),
        cmocka_unit_test(test_key__scopes_are_deduplicated_in_first_seen_order),
        cmocka_unit_test(test_key__many_scopes_are_deduplicated_quickly),
        cmocka_unit_test(test_key__without_id_gets_one_from_the_command),
        cmocka_unit_test(test_key__usage_and_revocation),
        cmocka_unit_test(test_audit__parties_with_all_that_they_hold),
        cmocka_unit_test(test_times__text_and_timestamp_extension),
        cmocka_unit_test(test_command_decode__field_rules),
        cmocka_unit_test(test_command_decode__length_limits),
        cmocka_unit_test(test_command_decode__free_maps_hold_what_json_holds),
        cmocka_unit_test(test_command_decode__secrets_are_refused_before_all_else),
        cmocka_unit_test(test_command_decode__a_nil_secret_and_one_below_the_top_are_none),
        cmocka_unit_test(test_command_decode__structured_mode),
        cmocka_unit_test(test_command_decode__audit_with_wide_floats_must_fit_its_event),
        cmocka_unit_test(
            test_command_decode__numbers_that_no_type_holds_are_ignored_with_their_field),
        cmocka_unit_test(
            test_command_decode__numbers_that_no_type_holds_are_refused_where_they_are_kept),
        cmocka_unit_test(test_command_decode__a_nul_behind_a_number_is_no_json),
        cmocka_unit_test(test_command_decode__parties_have_long_ids_and_any_labels),
        cmocka_unit_test(test_command_decode__full_arena_is_fatal_at_every_allocation),
        cmocka_unit_test(test_audit_entry_rejection__blank_category_first),
        cmocka_unit_test(test_audit_entry_rejection__an_action_that_the_worker_gives),
        cmocka_unit_test(test_command_decode__control_characters_in_category_and_action),
        cmocka_unit_test(test_rejections__every_code_has_words_and_a_field),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
