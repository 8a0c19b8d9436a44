#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

/* The page and the sample say what the table of settings says, no more and no less. */

static char *read_all(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), SOURCE_DIR "/%s", name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("%s is missing", name);
    enum { CONTENT_MAX = 128 * 1024 };
    char *content = calloc(1, CONTENT_MAX);
    assert_non_null(content);
    assert_true(fread(content, 1, CONTENT_MAX - 1, file) > 0);
    fclose(file);
    return content;
}

/* How often a line of the text begins so. */
static size_t lines_beginning(const char *text, const char *beginning)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, beginning)) != NULL; at++)
        count += at == text || at[-1] == '\n';
    return count;
}

static void assert_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("this line is missing: %s", line);
}

static void test_configuration_page__lists_exactly_the_settings(void **state)
{
    char *page = read_all("docs/configuration.md");
    struct setting_info setting;
    size_t count = 0;
    (void)state;

    for (; config_setting_info(count, &setting); count++) {
        char row[1024];
        snprintf(row, sizeof(row), "| `[%s] %s` | `%s` | %s | %s | %s |", setting.section,
                 setting.key, setting.variable,
                 setting.fallback[0] != '\0' ? setting.fallback : "empty", setting.values,
                 setting.description);
        assert_line(page, row);
    }

    assert_int_equal(lines_beginning(page, "| `["), count);
    free(page);
}

static void test_configuration_page__lists_exactly_the_refused_properties(void **state)
{
    char *page = read_all("docs/configuration.md");
    struct kafka_rule_info rule;
    size_t count = 0;
    (void)state;

    for (; config_kafka_rule_info(count, &rule); count++) {
        char row[512];
        snprintf(row, sizeof(row), "| `%s` | %s | %s |", rule.name,
                 rule.allowed != NULL ? rule.allowed : "never", rule.reason);
        assert_line(page, row);
    }

    assert_int_equal(lines_beginning(page, "| `") - lines_beginning(page, "| `["), count);
    free(page);
}

/* The line of the sample that shows the setting, within its section. */
static const char *sample_line(const char *sample, const struct setting_info *setting)
{
    char section[64], key[64];
    const char *name = setting->section; /* of a topic: the sample shows one that there is */
    if (strcmp(name, "topic NAME") == 0)
        name = "topic catalyst.key.commands";
    snprintf(section, sizeof(section), "\n[%s]\n", name);
    snprintf(key, sizeof(key), "\n; %s =", setting->key);
    const char *begin = strstr(sample, section);
    if (begin == NULL) {
        fail_msg("the sample has no section [%s]", setting->section);
        return NULL;
    }
    const char *line = strstr(begin + 1, key);
    const char *end = strstr(begin + 1, "\n[");
    if (line == NULL || (end != NULL && line > end))
        fail_msg("the sample lacks [%s] %s", setting->section, setting->key);
    return line != NULL ? line + 1 : NULL;
}

static void test_sample__shows_exactly_the_settings(void **state)
{
    char *sample = read_all("deploy/catalyst-worker.ini");
    struct setting_info setting;
    size_t count = 0, shown = 0;
    (void)state;

    for (; config_setting_info(count, &setting); count++)
        sample_line(sample, &setting);

    for (const char *at = sample; (at = strstr(at, "\n; ")) != NULL; at++) {
        size_t word = strspn(at + 3, "abcdefghijklmnopqrstuvwxyz_");
        bool of_file = word > 5 && strncmp(at + 3 + word - 5, "_file", 5) == 0;
        shown += word > 0 && strncmp(at + 3 + word, " =", 2) == 0 && !of_file;
    }
    assert_int_equal(shown, count);
    free(sample);
}

static void test_sample__loads_with_every_line_uncommented(void **state)
{
    char *sample = read_all("deploy/catalyst-worker.ini");
    struct setting_info setting;
    char path[] = "/tmp/config-sample-XXXXXX", nothing[] = "PATH=";
    char *environment[] = {nothing, NULL};
    struct config config, defaults;
    struct config_problems problems;
    struct err err;
    (void)state;

    for (size_t i = 0; config_setting_info(i, &setting); i++) {
        char *line = sample + (sample_line(sample, &setting) - sample);
        memmove(line, line + 2, strlen(line + 2) + 1);
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, sample, strlen(sample)), (ssize_t)strlen(sample));
    close(fd);

    enum outcome outcome = config_load(path, environment, NULL, 0, &config, &problems, &err);
    unlink(path);
    for (size_t i = 0; i < problems.count; i++)
        print_error("%s: %s\n", problems.items[i].where, problems.items[i].what);
    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(config_load(NULL, environment, NULL, 0, &defaults, &problems, &err),
                     OUTCOME_OK);

    /* The two whose default depends on the machine are shown as examples. */
    assert_string_equal(config.instance_id, "worker-1");
    assert_int_equal(config.lanes, 2);
    assert_string_equal(config.database_url, defaults.database_url);
    assert_string_equal(config.database_schema, defaults.database_schema);
    assert_int_equal(config.audit_retention_ms, defaults.audit_retention_ms);
    assert_int_equal(config.audit_partition_interval, defaults.audit_partition_interval);
    assert_string_equal(config.audit_topic, defaults.audit_topic);
    assert_string_equal(config.dlq_suffix, defaults.dlq_suffix);
    assert_string_equal(config.group_id, defaults.group_id);
    assert_string_equal(config.http_listen, defaults.http_listen);
    assert_int_equal(config.command_topic_count, defaults.command_topic_count);
    assert_int_equal(config.batch_max_messages, defaults.batch_max_messages);
    assert_int_equal(config.batch_max_bytes, defaults.batch_max_bytes);
    assert_int_equal(config.startup_deadline_ms, defaults.startup_deadline_ms);
    assert_int_equal(config.log_level, defaults.log_level);
    assert_int_equal(config.log_format, defaults.log_format);
    config_release(&config);
    config_release(&defaults);
    free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_page__lists_exactly_the_settings),
        cmocka_unit_test(test_configuration_page__lists_exactly_the_refused_properties),
        cmocka_unit_test(test_sample__shows_exactly_the_settings),
        cmocka_unit_test(test_sample__loads_with_every_line_uncommented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
