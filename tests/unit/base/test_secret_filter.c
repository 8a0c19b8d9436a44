#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret_filter.h"
#include "cmocka_all.h"

static int forget(void **state)
{
    (void)state;
    secret_filter_forget();
    return 0;
}

static void assert_hidden(const char *text, const char *expected)
{
    char copy[512];

    snprintf(copy, sizeof(copy), "%s", text);
    secret_filter_hide(copy);
    assert_string_equal(copy, expected);
}

static void test_secret_filter_hide__every_occurrence(void **state)
{
    (void)state;
    secret_filter_add(text_of("s3cr3t"));
    secret_filter_add(text_of("s3cr3t-long"));
    secret_filter_add(text_of("abc")); /* too short */

    assert_hidden("s3cr3t", "***");
    assert_hidden("xs3cr3ts3cr3ty abc", "x******y abc");
    assert_hidden("a s3cr3t-long b", "a *** b");
    assert_hidden("S3CR3T", "S3CR3T");
    assert_hidden("", "");
}

static void test_secret_filter_hide__a_beginning_at_the_end_of_a_cut_text(void **state)
{
    (void)state;
    secret_filter_add(text_of("s3cr3t"));

    char text[300];
    snprintf(text, sizeof(text), "%0251ds3cr", 0);
    secret_filter_hide(text);
    assert_string_equal(text + 251, "***");

    snprintf(text, sizeof(text), "%0252ds3c", 0);
    secret_filter_hide(text);
    assert_string_equal(text + 252, "s3c");

    assert_hidden("group s3cr", "group s3cr"); /* too short to be cut */
}

static void test_secret_filter_add_conninfo__what_libpq_may_take_it_for(void **state)
{
    static const struct {
        const char *conninfo;
        const char *said;
        const char *hidden;
    } cases[] = {
        {"postgresql://u:p@S3CRET@127.0.0.1:1/db", "host \"S3CRET@127.0.0.1\"",
         "host \"***@127.0.0.1\""},
        {"postgresql://u:a%40bcd@h/db", "a%40bcd a@bcd", "*** ***"},
        {"postgresql://u:1234/S3CRET@h/db", "database S3CRET@h", "database ***@h"},
        {"postgresql://u:x?S3CRET@h/db", "parameter S3CRET", "parameter ***"},
        {"postgresql://h/db?sslpassword=S3CRET&x=1", "S3CRET x", "*** x"},
        {"host=h password=S3CRET user=u", "S3CRET u", "*** u"},
        {"host=h sslmode=verify-fullpassword=S3CRET", "sslmode \"verify-fullpassword=S3CRET\"",
         "sslmode \"verify-fullpassword=***\""},
        {"host=h PASSWORD = 'S3 CRET'", "S3 CRET", "***"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        secret_filter_forget();
        secret_filter_add_conninfo(cases[i].conninfo);
        assert_hidden(cases[i].said, cases[i].hidden);
    }

    secret_filter_forget();
    secret_filter_add_conninfo("postgresql://user@host/db");
    assert_false(secret_filter_knows_any());
}

static void test_secret_filter_add_property__values_of_pairs(void **state)
{
    (void)state;
    secret_filter_add_property("principal=admin secret=S3CRET-of-oauth, x=y");

    assert_hidden("unrecognized beginning at: S3CRET-of-oauth, x=y",
                  "unrecognized beginning at: ***, x=y");
    assert_hidden("admin", "admin");
}

/* --- property: no secret is left in any text that holds it -------------------------------------
 */

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

static char *random_text(unsigned *seed, size_t length, char *ret_text)
{
    static const char letters[] = "ab*1 "; /* few, so that secrets overlap themselves and others */

    for (size_t i = 0; i < length; i++)
        ret_text[i] = letters[next_random(seed) % (sizeof(letters) - 1)];
    ret_text[length] = '\0';
    return ret_text;
}

static void test_secret_filter_hide__leaves_no_secret_anywhere(void **state)
{
    enum { ROUNDS = 20000, SECRETS = 4, TEXT_BYTES = 120 };
    unsigned seed = 20262;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char secrets[SECRETS][16];
        char text[TEXT_BYTES + 1];

        secret_filter_forget();
        for (size_t i = 0; i < SECRETS; i++) {
            size_t length = SECRET_MIN_BYTES + next_random(&seed) % 8;
            secret_filter_add(text_of(random_text(&seed, length, secrets[i])));
        }
        random_text(&seed, TEXT_BYTES, text);
        for (size_t i = 0; i < SECRETS; i++)
            memcpy(text + next_random(&seed) % (TEXT_BYTES - 16), secrets[i], strlen(secrets[i]));
        secret_filter_hide(text);

        for (size_t i = 0; i < SECRETS; i++)
            assert_null(strchr(secrets[i], '*') == NULL ? strstr(text, secrets[i]) : NULL);
    }
}

static void test_log_write__hides_secrets(void **state)
{
    FILE *file = tmpfile();
    char line[512] = "";
    int kept = dup(STDERR_FILENO);

    (void)state;
    secret_filter_add(text_of("s3cr3t"));
    dup2(fileno(file), STDERR_FILENO);
    log_line(LOG_ERROR, "librdkafka", LOG_STR("text", "bad password s3cr3t"));
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);

    assert_non_null(strstr(line, "text=\"bad password ***\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_secret_filter_hide__every_occurrence, forget),
        cmocka_unit_test_teardown(test_secret_filter_hide__a_beginning_at_the_end_of_a_cut_text,
                                  forget),
        cmocka_unit_test_teardown(test_secret_filter_add_conninfo__what_libpq_may_take_it_for,
                                  forget),
        cmocka_unit_test_teardown(test_secret_filter_add_property__values_of_pairs, forget),
        cmocka_unit_test_teardown(test_secret_filter_hide__leaves_no_secret_anywhere, forget),
        cmocka_unit_test_teardown(test_log_write__hides_secrets, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
