#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "repo/pg/pq_conninfo.h"

static void test_pq_conninfo_rule__what_libpq_takes(void **state)
{
    static const char *const fine[] = {
        "",
        "catalyst",
        "postgresql://",
        "postgresql:///db",
        "postgresql://u:p%40S3CRET%2F@127.0.0.1:1/db?sslmode=verify-full",
        "postgres://u@h1,h2:5433/db?target_session_attrs=read-write&connect_timeout=3",
        "postgresql://u:p?S3CRET#x@h/db",
        "postgresql://[::1]:5432/db",
        "postgresql://h/db?user=me@server&password=x",
        "postgresql://%2Fvar%2Frun/db",
        "host=h port=5432,5433 sslmode=VERIFY-CA password='a b@c'",
        "host=/run/postgresql dbname=x port=",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        const char *rule = pq_conninfo_rule(fine[i]);
        if (rule != NULL)
            fail_msg("%s: %s", fine[i], rule);
    }
}

static void test_pq_conninfo_rule__names_the_parameter_and_no_value(void **state)
{
    static const struct {
        const char *conninfo;
        const char *rule;
    } cases[] = {
        {"postgresql://u:p@S3CRET@127.0.0.1:1/db", "percent-encoded"},
        {"postgresql://u:1234/S3CRET@127.0.0.1:1/db", "percent-encoded"},
        {"postgresql://u:p@S3CRET@127.0.0.1/db?user=x", "percent-encoded"},
        {"postgresql://u:S3CRET", "port"},
        {"postgresql://h:99999/db", "port"},
        {"host=h port=5432,S3CRET", "port"},
        {"host=h sslmode=verify-fullpassword=S3CRET", "sslmode"},
        {"host=h sslmode=verify-ful", "sslmode"},
        {"host=h channel_binding=S3CRET", "channel_binding"},
        {"host=h target_session_attrs=S3CRET", "target_session_attrs"},
        {"host=h connect_timeout=S3CRET", "connect_timeout"},
        {"host=h password=x S3CRET", "neither a URI"},
        {"host=h passwort=S3CRET", "neither a URI"},
        {"host=h@S3CRET", "host"},
        {"host='h", "neither a URI"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *rule = pq_conninfo_rule(cases[i].conninfo);
        if (rule == NULL || strstr(rule, cases[i].rule) == NULL || strstr(rule, "S3CRET") != NULL)
            fail_msg("%s: %s", cases[i].conninfo, rule != NULL ? rule : "fine");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pq_conninfo_rule__what_libpq_takes),
        cmocka_unit_test(test_pq_conninfo_rule__names_the_parameter_and_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
