#include "events/topic_policy.h"

#include "support.h"

static const struct text types[] = {TEXT_INIT("dev.catalyst.key.revoke.v1"),
                                    TEXT_INIT("dev.catalyst.audit.append.v1")};
static const struct text sources[] = {TEXT_INIT("billing")};
static const struct topic_policy policies[] = {
    {TEXT_INIT("keys"), {types, 2}, {sources, 1}},
    {TEXT_INIT("identity"), {NULL, 0}, {sources, 1}},
};

static const struct topic_policy *find(const char *topic)
{
    return topic_policy_find(policies, 2, text_of(topic));
}

static enum outcome check(const char *topic, const char *type, const char *source, struct err *err)
{
    const struct envelope envelope = {.type = text_of(type), .source = text_of(source)};

    return topic_policy_check(find(topic), &envelope, err);
}

static void test_topic_policy_check__what_the_lists_hold(void **state)
{
    struct err err;
    (void)state;

    assert_int_equal(check("keys", "dev.catalyst.key.revoke.v1", "billing", &err), OUTCOME_OK);
    assert_int_equal(check("identity", "any", "billing", &err), OUTCOME_OK);
    assert_int_equal(check("other", "any", "anybody", &err), OUTCOME_OK);
}

static void test_topic_policy_check__names_the_attribute_and_no_value(void **state)
{
    struct err err;
    (void)state;

    assert_int_equal(check("keys", "dev.catalyst.key.issue.v1", "billing", &err), OUTCOME_REJECT);
    assert_string_equal(err.code, "policy");
    assert_string_equal(err.text, "ce_type: this topic's allow-list does not hold it");

    assert_int_equal(check("keys", "dev.catalyst.key.revoke.v1", "Billing", &err), OUTCOME_REJECT);
    assert_string_equal(err.code, "policy");
    assert_string_equal(err.text, "ce_source: this topic's allow-list does not hold it");
}

static void test_topic_policy_excludes_secrets__only_where_no_key_may_be_issued(void **state)
{
    (void)state;

    assert_true(topic_policy_excludes_secrets(find("keys")));
    assert_false(topic_policy_excludes_secrets(find("identity")));
    assert_false(topic_policy_excludes_secrets(find("other")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_policy_check__what_the_lists_hold),
        cmocka_unit_test(test_topic_policy_check__names_the_attribute_and_no_value),
        cmocka_unit_test(test_topic_policy_excludes_secrets__only_where_no_key_may_be_issued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
