/* log.h and clock.h. Lines go to standard error, which each test turns into a file. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmocka_all.h"

static char captured[20000];
static FILE *file;
static int kept_stderr;

static void capture_begin(void)
{
    fflush(stderr);
    file = tmpfile();
    assert_non_null(file);
    kept_stderr = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
}

/* What was logged, without the time stamp's digits. */
static const char *capture_end(void)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    rewind(file);
    size_t length = fread(captured, 1, sizeof(captured) - 1, file);
    captured[length] = '\0';
    fclose(file);
    for (char *at = captured; (at = strstr(at, "20")) != NULL; at++) {
        if (strlen(at) > 27 && at[4] == '-' && at[10] == 'T' && at[26] == 'Z')
            memcpy(at, "YYYY-MM-DDThh:mm:ss.uuuuuuZ", 27);
    }
    return captured;
}

static void test_log_write__logfmt(void **state)
{
    (void)state;
    log_configure(LOG_INFO, LOG_LOGFMT);
    capture_begin();
    log_line(LOG_INFO, "batch applied", LOG_STR("topic", "a b"), LOG_INT("offset", -5),
             LOG_STR("plain", "x-1"), LOG_STR("empty", ""), LOG_STR("odd", "a=\"b\"\\\n"),
             LOG_TEXT("absent", TEXT_ABSENT));
    log_plain(LOG_WARN, "bare");

    assert_string_equal(
        capture_end(),
        "ts=YYYY-MM-DDThh:mm:ss.uuuuuuZ level=info msg=\"batch applied\" topic=\"a b\" offset=-5"
        " plain=x-1 empty=\"\" odd=\"a=\\\"b\\\"\\\\\\u000a\" absent=\"\"\n"
        "ts=YYYY-MM-DDThh:mm:ss.uuuuuuZ level=warn msg=bare\n");
}

static void test_log_write__json(void **state)
{
    (void)state;
    log_configure(LOG_DEBUG, LOG_JSON);
    capture_begin();
    log_line(LOG_ERROR, "it's \"bad\"", LOG_INT("n", INT64_MAX), LOG_STR("t", "\x01\t\xc3\xa9"));
    log_plain(LOG_DEBUG, "bare");

    assert_string_equal(
        capture_end(),
        "{\"ts\":\"YYYY-MM-DDThh:mm:ss.uuuuuuZ\",\"level\":\"error\",\"msg\":\"it's \\\"bad\\\"\","
        "\"n\":9223372036854775807,\"t\":\"\\u0001\\u0009\xc3\xa9\"}\n"
        "{\"ts\":\"YYYY-MM-DDThh:mm:ss.uuuuuuZ\",\"level\":\"debug\",\"msg\":\"bare\"}\n");
}

static void test_log_write__below_the_level_is_silent(void **state)
{
    (void)state;
    log_configure(LOG_WARN, LOG_LOGFMT);
    capture_begin();
    log_plain(LOG_INFO, "no");
    log_plain(LOG_DEBUG, "no");

    assert_string_equal(capture_end(), "");
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_WARN));
    assert_true(log_enabled(LOG_ERROR));
}

static void test_log_write__a_pair_that_does_not_fit_is_left_out(void **state)
{
    static char text[8000];

    (void)state;
    for (size_t length = 3900; length < 4110; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        for (int format = 0; format < 2; format++) {
            log_configure(LOG_INFO, format == 0 ? LOG_LOGFMT : LOG_JSON);
            capture_begin();
            log_line(LOG_INFO, "m", LOG_STR("long", text), LOG_STR("more", "a b"));

            const char *line = capture_end();
            size_t written = strlen(line);
            assert_true(written <= 4096);
            assert_ptr_equal(strchr(line, '\n'), line + written - 1);
            if (strstr(line, "long") == NULL)
                assert_non_null(
                    strstr(line, format == 0 ? " more=\"a b\"\n" : ",\"more\":\"a b\"}\n"));
            else
                assert_true(written > length);
            if (format == 1)
                assert_memory_equal(line + written - 3, "\"}\n", 3);
        }
    }
}

static void test_log_parse__names(void **state)
{
    enum log_level level = LOG_INFO;
    enum log_format format = LOG_LOGFMT;

    (void)state;
    assert_true(log_level_parse(TEXT("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse(TEXT("error"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse(TEXT("INFO"), &level));
    assert_false(log_level_parse(TEXT(""), &level));
    assert_true(log_format_parse(TEXT("json"), &format));
    assert_int_equal(format, LOG_JSON);
    assert_false(log_format_parse(TEXT("xml"), &format));
}

static void test_clock__moves_forward(void **state)
{
    (void)state;
    int64_t begun = clock_monotonic_us();
    clock_sleep_us(2000);

    int64_t elapsed = clock_monotonic_us() - begun;
    assert_true(elapsed >= 2000 && elapsed < 5000000);
    assert_true(clock_wall_us() > 1700000000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_write__logfmt),
        cmocka_unit_test(test_log_write__json),
        cmocka_unit_test(test_log_write__below_the_level_is_silent),
        cmocka_unit_test(test_log_write__a_pair_that_does_not_fit_is_left_out),
        cmocka_unit_test(test_log_parse__names),
        cmocka_unit_test(test_clock__moves_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
