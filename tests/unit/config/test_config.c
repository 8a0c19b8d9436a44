#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "config/nearest.h"

/* What one test loads. */
struct loaded {
    struct config config;
    struct config_problems problems;
    struct err err;
    char path[32]; /* of the file written for it; "": none */
};

static enum outcome load(struct loaded *loaded, const char *file, char *const *environment,
                         const struct config_override *overrides, size_t override_count)
{
    return config_load(file, environment, overrides, override_count, &loaded->config,
                       &loaded->problems, &loaded->err);
}

static enum outcome load_environment(struct loaded *loaded, const char *const *pairs)
{
    char *environment[16];
    size_t count = 0;

    for (; pairs[count] != NULL; count++)
        environment[count] = strdup(pairs[count]);
    environment[count] = NULL;
    enum outcome outcome = load(loaded, NULL, environment, NULL, 0);
    for (size_t i = 0; i < count; i++)
        free(environment[i]);
    return outcome;
}

static void write_file(struct loaded *loaded, const char *content)
{
    snprintf(loaded->path, sizeof(loaded->path), "/tmp/config-test-XXXXXX");
    int fd = mkstemp(loaded->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static enum outcome load_text(struct loaded *loaded, const char *content)
{
    char *environment[] = {NULL};

    write_file(loaded, content);
    return load(loaded, loaded->path, environment, NULL, 0);
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct loaded));
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct loaded *loaded = *state;

    if (loaded->path[0] != '\0')
        unlink(loaded->path);
    config_release(&loaded->config);
    config_problems_release(&loaded->problems);
    free(loaded);
    return 0;
}

/* Some problem has that place and holds that text. */
static void assert_problem(const struct loaded *loaded, const char *where, const char *what)
{
    for (size_t i = 0; i < loaded->problems.count; i++) {
        if (strstr(loaded->problems.items[i].where, where) != NULL &&
            strstr(loaded->problems.items[i].what, what) != NULL)
            return;
    }
    for (size_t i = 0; i < loaded->problems.count; i++)
        print_error("%s: %s\n", loaded->problems.items[i].where, loaded->problems.items[i].what);
    fail_msg("no problem at %s about %s", where, what);
}

/* The place in the file that was written. */
static const char *line(const struct loaded *loaded, int number)
{
    static char place[64];
    snprintf(place, sizeof(place), "%s:%d", loaded->path, number);
    return place;
}

/* --- precedence --------------------------------------------------------------------------------
 */

static void test_config_load__nothing_given_is_the_defaults(void **state)
{
    struct loaded *loaded = *state;
    char *environment[] = {NULL};

    assert_int_equal(load(loaded, NULL, environment, NULL, 0), OUTCOME_OK);

    const struct config *config = &loaded->config;
    assert_string_equal(config->database_url, "");
    assert_string_equal(config->database_schema, "public");
    assert_int_equal(config->audit_retention_ms, CONFIG_FOREVER);
    assert_int_equal(config->audit_partition_interval, INTERVAL_MONTH);
    assert_int_equal(config->command_topic_count, 2);
    assert_string_equal(config->command_topics[0], "catalyst.identity.commands");
    assert_string_equal(config->command_topics[1], "catalyst.key.commands");
    assert_string_equal(config->audit_topic, "catalyst.audit.events");
    assert_string_equal(config->dlq_suffix, ".dlq");
    assert_string_equal(config->group_id, "catalyst-worker");
    assert_true(config->instance_id[0] != '\0');
    assert_in_range(config->lanes, 1, 4);
    assert_int_equal(config->batch_max_messages, 2000);
    assert_int_equal(config->batch_max_bytes, 4 * 1024 * 1024);
    assert_int_equal(config->startup_deadline_ms, 60000);
    assert_string_equal(config->http_listen, "127.0.0.1:9000");
    assert_int_equal(config->log_level, LOG_INFO);
    assert_int_equal(config->log_format, LOG_LOGFMT);
    assert_string_equal(config_kafka_value(config, "bootstrap.servers"), "localhost:9092");
}

static void test_config_load__environment_overrides_file_and_flags_override_both(void **state)
{
    struct loaded *loaded = *state;
    char lanes[] = "CATALYST_LANES=2", group[] = "CATALYST_GROUP_ID=from-environment";
    char *environment[] = {lanes, group, NULL};
    const struct config_override overrides[] = {
        {"worker.lanes", "3", "--set worker.lanes"},
        {"kafka.client.rack", "a", "--set kafka.client.rack"}};
    write_file(loaded, "[worker]\nlanes = 1\ngroup_id = from-file\naudit_topic = audit\n"
                       "[kafka]\nclient.rack = b\n");

    assert_int_equal(load(loaded, loaded->path, environment, overrides, 2), OUTCOME_OK);

    assert_int_equal(loaded->config.lanes, 3);
    assert_string_equal(loaded->config.group_id, "from-environment");
    assert_string_equal(loaded->config.audit_topic, "audit");
    assert_string_equal(config_kafka_value(&loaded->config, "client.rack"), "a");
}

static void test_config_load__a_later_flag_overrides_an_earlier_one(void **state)
{
    struct loaded *loaded = *state;
    char *environment[] = {NULL};
    const struct config_override overrides[] = {{"worker.lanes", "3", "--set worker.lanes"},
                                                {"worker.lanes", "4", "--set worker.lanes"}};

    assert_int_equal(load(loaded, NULL, environment, overrides, 2), OUTCOME_OK);

    assert_int_equal(loaded->config.lanes, 4);
}

/* --- files -------------------------------------------------------------------------------------
 */

static void test_config_load__reports_every_problem_of_a_file_with_its_line(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "stray = 1\n"              /* 1 */
                                       "[worker]\n"               /* 2 */
                                       "lanes = 0\n"              /* 3 */
                                       "lane = 1\n"               /* 4 */
                                       "what is this\n"           /* 5 */
                                       "group_id = a\n"           /* 6 */
                                       "group_id = b\n"           /* 7 */
                                       "[nonsense]\n"             /* 8 */
                                       "key = 1\n"                /* 9 */
                                       "[log]\n"                  /* 10 */
                                       "level = loud\n"           /* 11 */
                                       "[kafka]\n"                /* 12 */
                                       "enable.auto.commit = x\n" /* 13 */
                                       "[open\n"),                /* 14 */
                     OUTCOME_REJECT);

    assert_problem(loaded, line(loaded, 1), "stands before the first [section]");
    assert_problem(loaded, line(loaded, 3), "worker.lanes: must be 1 to 64");
    assert_problem(loaded, line(loaded, 4), "no such setting: lane; did you mean lanes?");
    assert_problem(loaded, line(loaded, 5), "neither [section] nor key = value");
    assert_problem(loaded, line(loaded, 7), "worker.group_id: given twice, also at");
    assert_problem(loaded, line(loaded, 9), "no such section: [nonsense]");
    assert_problem(loaded, line(loaded, 11), "log.level: must be debug, info, warn or error");
    assert_problem(loaded, line(loaded, 13), "kafka.enable.auto.commit: may not be set: offsets");
    assert_problem(loaded, line(loaded, 14), "neither [section] nor key = value");
    assert_int_equal(loaded->problems.count, 9);
}

static void test_config_load__an_indented_line_continues_the_value(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "[kafka]\nbootstrap.servers = a:1,\n    b:2,\n\tc:3\n"
                                       "client.rack = r\n[worker]\nlanes = 1\n"),
                     OUTCOME_OK);

    assert_string_equal(config_kafka_value(&loaded->config, "bootstrap.servers"), "a:1, b:2, c:3");
    assert_string_equal(config_kafka_value(&loaded->config, "client.rack"), "r");
}

static void test_config_load__a_line_too_long_to_read_is_a_problem(void **state)
{
    struct loaded *loaded = *state;
    static char content[66000];

    memset(content, 'x', sizeof(content));
    memcpy(content, "[worker]\ngroup_id = ", 20);
    memcpy(content + sizeof(content) - 12, "\nlanes = 99\n", 12);
    content[sizeof(content) - 1] = '\0';

    assert_int_equal(load_text(loaded, content), OUTCOME_REJECT);

    assert_problem(loaded, line(loaded, 2), "the line is too long");
    assert_problem(loaded, line(loaded, 3), "worker.lanes");
}

static void test_config_load__lines_of_a_value_are_joined_by_a_blank(void **state)
{
    struct loaded *loaded = *state;
    char content[2000];

    /* longer than the 198 bytes at which lines were cut once */
    snprintf(content, sizeof(content),
             "[database]\nurl = host=h sslmode=verify-full\n  ; a comment\n  password=%0900d\n", 7);
    assert_int_equal(load_text(loaded, content), OUTCOME_OK);

    assert_memory_equal(loaded->config.database_url, "host=h sslmode=verify-full password=000", 39);
    assert_int_equal(strlen(loaded->config.database_url), 36 + 900);
}

static void test_config_load__a_line_that_went_astray_is_not_quoted(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "[database]\nurl = host=h\np@S3CRET@h/db?sslmode=require\n"
                                       "[p@S3CRET]\nx = 1\n"),
                     OUTCOME_REJECT);

    assert_problem(loaded, line(loaded, 3), "a name of a setting or section holds only letters");
    assert_problem(loaded, line(loaded, 4), "a name of a setting or section holds only letters");
    for (size_t i = 0; i < loaded->problems.count; i++)
        assert_null(strstr(loaded->problems.items[i].what, "S3CRET"));
}

static void test_config_load__brokers_without_names_and_passwords(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "[kafka]\nbootstrap.servers = u:S3CRET@h:9092\n"),
                     OUTCOME_REJECT);

    assert_problem(loaded, line(loaded, 2), "kafka.bootstrap.servers: must not hold @");
    for (size_t i = 0; i < loaded->problems.count; i++)
        assert_null(strstr(loaded->problems.items[i].what, "S3CRET"));
}

static void test_config_load__allow_lists_of_topics(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "[worker]\ncommand_topics = a,b\n[topic b]\n"
                                       "types = t1 ,t2,\n  t3\nsources = all\n[topic a]\n"),
                     OUTCOME_OK);

    assert_int_equal(loaded->config.topic_count, 1);
    const struct config_topic *topic = &loaded->config.topics[0];
    assert_string_equal(topic->name, "b");
    assert_int_equal(topic->types.count, 3);
    assert_string_equal(topic->types.items[0], "t1");
    assert_string_equal(topic->types.items[2], "t3");
    assert_int_equal(topic->sources.count, 0);
}

static void test_config_load__mistakes_in_allow_lists(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(load_text(loaded, "[worker]\ncommand_topics = a\n[topic a]\ntypes =\n"
                                       "sources = x\nsources = y\nkind = z\n[topic b]\n"
                                       "types = all\n"),
                     OUTCOME_REJECT);

    assert_problem(loaded, line(loaded, 4), "topic a.types: must be all, or ce_types");
    assert_problem(loaded, line(loaded, 6), "topic a.sources: given twice");
    assert_problem(loaded, line(loaded, 7), "no such setting: kind");
    assert_problem(loaded, line(loaded, 9), "[topic b]: is not one of worker.command_topics");
    assert_int_equal(loaded->problems.count, 4);
}

static void test_config_load__comments_and_empty_values_are_fine(void **state)
{
    struct loaded *loaded = *state;

    assert_int_equal(
        load_text(loaded, "# a\n; b\n[http]\nlisten =\n  ; c\n[log]\nformat = json ; d\n"),
        OUTCOME_OK);

    assert_string_equal(loaded->config.http_listen, "");
    assert_int_equal(loaded->config.log_format, LOG_JSON);
}

static void test_config_load__a_file_that_is_not_there_is_a_problem(void **state)
{
    struct loaded *loaded = *state;
    char *environment[] = {NULL};

    assert_int_equal(load(loaded, "/nonexistent/worker.ini", environment, NULL, 0), OUTCOME_REJECT);

    assert_problem(loaded, "/nonexistent/worker.ini", "cannot be read: No such file or directory");
}

/* --- environment -------------------------------------------------------------------------------
 */

static void test_config_load__an_unknown_variable_is_a_problem_with_a_suggestion(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_LANE=1", "CATALYST_ZEBRA=1", "OTHER_LANE=1", NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_REJECT);

    assert_problem(loaded, "environment CATALYST_LANE",
                   "no such setting: CATALYST_LANE; did you mean CATALYST_LANES?");
    assert_problem(loaded, "environment CATALYST_ZEBRA", "no such setting: CATALYST_ZEBRA");
    assert_int_equal(loaded->problems.count, 2);
}

static void test_config_load__variables_of_kubernetes_services_are_left_alone(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_WORKER_SERVICE_HOST=10.0.0.1",
                           "CATALYST_WORKER_SERVICE_PORT_HTTP=9000",
                           "CATALYST_KAFKA_PORT=tcp://10.0.0.2:9092",
                           "CATALYST_KAFKA_PORT_9092_TCP_ADDR=10.0.0.2",
                           "CATALYST_CACHE=/tmp",
                           NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_OK);

    assert_int_equal(loaded->config.kafka_count, 1);
}

static void test_config_load__kafka_variables_become_properties(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_KAFKA_BOOTSTRAP_SERVERS=b:1",
                           "CATALYST_KAFKA_SSL_CA_LOCATION=/ca.pem", NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_OK);

    assert_int_equal(loaded->config.kafka_count, 2);
    assert_string_equal(config_kafka_value(&loaded->config, "bootstrap.servers"), "b:1");
    assert_string_equal(config_kafka_value(&loaded->config, "ssl.ca.location"), "/ca.pem");
    assert_string_equal(loaded->config.kafka[0].where,
                        "environment CATALYST_KAFKA_BOOTSTRAP_SERVERS");
}

/* --- secrets -----------------------------------------------------------------------------------
 */

static void test_config_load__a_secret_may_be_in_a_file_of_its_own(void **state)
{
    struct loaded *loaded = *state;
    char url[64], password[80];
    const char *pairs[] = {url, password, NULL};

    write_file(loaded, "host=db password=a b\n");
    snprintf(url, sizeof(url), "CATALYST_DATABASE_URL_FILE=%s", loaded->path);
    snprintf(password, sizeof(password), "CATALYST_KAFKA_SASL_PASSWORD_FILE=%s", loaded->path);

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_OK);

    assert_string_equal(loaded->config.database_url, "host=db password=a b");
    assert_string_equal(config_kafka_value(&loaded->config, "sasl.password"),
                        "host=db password=a b");
}

static void test_config_load__a_secret_file_may_be_named_in_the_file(void **state)
{
    struct loaded *loaded = *state;
    struct loaded secret = {0};
    char content[128];

    write_file(&secret, "s3cret\r\n");
    snprintf(content, sizeof(content),
             "[database]\nurl_file = %s\n[kafka]\nsasl.password_file = %s\n", secret.path,
             secret.path);
    enum outcome outcome = load_text(loaded, content);
    unlink(secret.path);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_string_equal(loaded->config.database_url, "s3cret");
    assert_string_equal(config_kafka_value(&loaded->config, "sasl.password"), "s3cret");
}

static void test_config_load__a_missing_secret_file_is_a_problem(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_DATABASE_URL_FILE=/nonexistent/secret", NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_REJECT);

    assert_problem(loaded, "environment CATALYST_DATABASE_URL_FILE",
                   "the file cannot be read: No such file or directory");
}

static void test_config_load__a_secret_given_both_ways_is_a_problem(void **state)
{
    struct loaded *loaded = *state;
    char url[64];
    const char *pairs[] = {"CATALYST_DATABASE_URL=host=db", url, NULL};

    write_file(loaded, "host=other\n");
    snprintf(url, sizeof(url), "CATALYST_DATABASE_URL_FILE=%s", loaded->path);

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_REJECT);

    assert_problem(loaded, "environment CATALYST_DATABASE_URL_FILE", "database.url: given twice");
}

static void test_config_load__only_secrets_may_be_in_files_of_their_own(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_GROUP_ID_FILE=/etc/hostname", NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_REJECT);

    assert_problem(loaded, "environment CATALYST_GROUP_ID_FILE",
                   "no such setting: CATALYST_GROUP_ID_FILE; did you mean CATALYST_GROUP_ID?");
}

static void test_config_load__problems_never_show_a_value(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_DATABASE_URL=host=db\x01 password=hunter2",
                           "CATALYST_KAFKA_GROUP_ID=hunter2", "CATALYST_KAFKA_ACKS=hunter2",
                           "CATALYST_LANES=hunter2", NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_REJECT);

    assert_int_equal(loaded->problems.count, 4);
    for (size_t i = 0; i < loaded->problems.count; i++) {
        assert_null(strstr(loaded->problems.items[i].what, "hunter2"));
        assert_null(strstr(loaded->problems.items[i].where, "hunter2"));
    }
}

/* --- values ------------------------------------------------------------------------------------
 */

static void test_config_load__judges_each_value_by_its_rule(void **state)
{
    static const struct {
        const char *pair;
        bool fine;
    } rows[] = {
        {"CATALYST_LANES=1", true},
        {"CATALYST_LANES=64", true},
        {"CATALYST_LANES=65", false},
        {"CATALYST_LANES=-1", false},
        {"CATALYST_LANES= 1", false},
        {"CATALYST_LANES=1x", false},
        {"CATALYST_LANES=", false},
        {"CATALYST_LANES=99999999999999999999", false},
        {"CATALYST_BATCH_MAX_BYTES=65536", true},
        {"CATALYST_BATCH_MAX_BYTES=1 MiB", true},
        {"CATALYST_BATCH_MAX_BYTES=512KiB", true},
        {"CATALYST_BATCH_MAX_BYTES=1GB", false},
        {"CATALYST_BATCH_MAX_BYTES=9223372036854775807KiB", false},
        {"CATALYST_STARTUP_DEADLINE=90", true},
        {"CATALYST_STARTUP_DEADLINE=2m", true},
        {"CATALYST_STARTUP_DEADLINE=1500ms", true},
        {"CATALYST_STARTUP_DEADLINE=1ms", false},
        {"CATALYST_STARTUP_DEADLINE=1h", false},
        {"CATALYST_HTTP_LISTEN=", true},
        {"CATALYST_HTTP_LISTEN=0.0.0.0:80", true},
        {"CATALYST_HTTP_LISTEN=[::1]:0", true},
        {"CATALYST_HTTP_LISTEN=::1:80", false},
        {"CATALYST_HTTP_LISTEN=:80", false},
        {"CATALYST_HTTP_LISTEN=host", false},
        {"CATALYST_HTTP_LISTEN=host:65536", false},
        {"CATALYST_HTTP_LISTEN=host:x", false},
        {"CATALYST_AUDIT_TOPIC=a_B-9.c", true},
        {"CATALYST_AUDIT_TOPIC=a b", false},
        {"CATALYST_AUDIT_TOPIC=", false},
        {"CATALYST_AUDIT_TOPIC=..", false},
        {"CATALYST_COMMAND_TOPICS=one", true},
        {"CATALYST_COMMAND_TOPICS=one, two ,three", true},
        {"CATALYST_COMMAND_TOPICS=one,,two", false},
        {"CATALYST_COMMAND_TOPICS=one,one", false},
        {"CATALYST_COMMAND_TOPICS=", false},
        {"CATALYST_INSTANCE_ID=a/b", false},
        {"CATALYST_GROUP_ID=with blank", true},
        {"CATALYST_GROUP_ID=\xff", false},
        {"CATALYST_LOG_LEVEL=warn", true},
        {"CATALYST_LOG_LEVEL=WARNING", false},
        {"CATALYST_LOG_FORMAT=json", true},
        {"CATALYST_LOG_FORMAT=xml", false},
        {"CATALYST_DATABASE_SCHEMA=", false},
        {"CATALYST_AUDIT_RETENTION=forever", true},
        {"CATALYST_AUDIT_RETENTION=90d", true},
        {"CATALYST_AUDIT_RETENTION=36h", true},
        {"CATALYST_AUDIT_RETENTION=90", false},
        {"CATALYST_AUDIT_RETENTION=0d", false},
        {"CATALYST_AUDIT_RETENTION=40000d", false},
        {"CATALYST_AUDIT_RETENTION=", false},
        {"CATALYST_AUDIT_PARTITION_INTERVAL=week", true},
        {"CATALYST_AUDIT_PARTITION_INTERVAL=7d", false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded loaded = {0};
        const char *pairs[] = {rows[i].pair, NULL};

        enum outcome outcome = load_environment(&loaded, pairs);

        if ((outcome == OUTCOME_OK) != rows[i].fine)
            fail_msg("%s: %s", rows[i].pair, outcome_name(outcome));
        config_release(&loaded.config);
        config_problems_release(&loaded.problems);
    }
}

static void test_config_load__units_are_understood(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_BATCH_MAX_BYTES=2MiB",
                           "CATALYST_STARTUP_DEADLINE=2m",
                           "CATALYST_AUDIT_RETENTION=90d",
                           "CATALYST_AUDIT_PARTITION_INTERVAL=day",
                           "CATALYST_COMMAND_TOPICS=one, two ,three",
                           NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_OK);

    assert_int_equal(loaded->config.batch_max_bytes, 2 * 1024 * 1024);
    assert_int_equal(loaded->config.startup_deadline_ms, 120000);
    assert_int_equal(loaded->config.audit_retention_ms, INT64_C(90) * 24 * 3600 * 1000);
    assert_int_equal(loaded->config.audit_partition_interval, INTERVAL_DAY);
    assert_int_equal(loaded->config.command_topic_count, 3);
    assert_string_equal(loaded->config.command_topics[1], "two");
}

static void test_config_load__topics_must_not_overlap(void **state)
{
    static const char *const rows[][3] = {
        {"CATALYST_COMMAND_TOPICS=a,b", "CATALYST_AUDIT_TOPIC=b", NULL},
        {"CATALYST_COMMAND_TOPICS=a,a.dlq", NULL, NULL},
        {"CATALYST_COMMAND_TOPICS=a", "CATALYST_AUDIT_TOPIC=a.dlq", NULL},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded loaded = {0};

        assert_int_equal(load_environment(&loaded, rows[i]), OUTCOME_REJECT);

        assert_problem(&loaded, "configuration", "worker.");
        config_release(&loaded.config);
        config_problems_release(&loaded.problems);
    }
}

/* --- what the guarantees rest on ---------------------------------------------------------------
 */

static void test_config_load__refuses_every_property_a_guarantee_rests_on(void **state)
{
    struct kafka_rule_info rule;
    char *environment[] = {NULL};
    (void)state;

    for (size_t i = 0; config_kafka_rule_info(i, &rule); i++) {
        struct loaded loaded = {0};
        char setting[128];
        snprintf(setting, sizeof(setting), "kafka.%s", rule.name);
        const struct config_override override = {setting, "nonsense", "--set"};

        assert_int_equal(load(&loaded, NULL, environment, &override, 1), OUTCOME_REJECT);

        assert_problem(&loaded, "--set", rule.reason);
        assert_null(config_kafka_value(&loaded.config, rule.name));
        config_release(&loaded.config);
        config_problems_release(&loaded.problems);
    }
}

static void test_config_load__takes_the_values_that_keep_the_guarantees(void **state)
{
    struct loaded *loaded = *state;
    const char *pairs[] = {"CATALYST_KAFKA_ACKS=all",
                           "CATALYST_KAFKA_AUTO_OFFSET_RESET=earliest",
                           "CATALYST_KAFKA_PARTITION_ASSIGNMENT_STRATEGY=roundrobin",
                           "CATALYST_KAFKA_ISOLATION_LEVEL=read_committed",
                           "CATALYST_KAFKA_PARTITIONER=murmur2_random",
                           NULL};

    assert_int_equal(load_environment(loaded, pairs), OUTCOME_OK);

    assert_string_equal(config_kafka_value(&loaded->config, "partitioner"), "murmur2_random");
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static void test_config_problem_add__keeps_what_was_there(void **state)
{
    struct loaded *loaded = *state;

    assert_true(config_problem_add(&loaded->problems, "here", "%s", "one"));
    assert_true(config_problem_add(&loaded->problems, "there", "%s", "two"));

    assert_int_equal(loaded->problems.count, 2);
    assert_problem(loaded, "here", "one");
    assert_problem(loaded, "there", "two");
}

static void test_nearest_offer__prefers_the_fewest_edits(void **state)
{
    struct nearest nearest = {.typed = "migrat", .distance_max = 2};
    (void)state;

    nearest_offer(&nearest, "publish");
    nearest_offer(&nearest, "migrates");
    nearest_offer(&nearest, "migrate");
    nearest_offer(&nearest, "migrated");

    assert_string_equal(nearest.name, "migrate");
}

static void test_nearest_offer__far_names_are_not_offered(void **state)
{
    struct nearest nearest = {.typed = "zebra", .distance_max = 2};
    (void)state;

    nearest_offer(&nearest, "run");

    assert_null(nearest.name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config_load__nothing_given_is_the_defaults),
        TEST(test_config_load__environment_overrides_file_and_flags_override_both),
        TEST(test_config_load__a_later_flag_overrides_an_earlier_one),
        TEST(test_config_load__reports_every_problem_of_a_file_with_its_line),
        TEST(test_config_load__an_indented_line_continues_the_value),
        TEST(test_config_load__lines_of_a_value_are_joined_by_a_blank),
        TEST(test_config_load__a_line_that_went_astray_is_not_quoted),
        TEST(test_config_load__brokers_without_names_and_passwords),
        TEST(test_config_load__allow_lists_of_topics),
        TEST(test_config_load__mistakes_in_allow_lists),
        TEST(test_config_load__a_line_too_long_to_read_is_a_problem),
        TEST(test_config_load__comments_and_empty_values_are_fine),
        TEST(test_config_load__a_file_that_is_not_there_is_a_problem),
        TEST(test_config_load__an_unknown_variable_is_a_problem_with_a_suggestion),
        TEST(test_config_load__variables_of_kubernetes_services_are_left_alone),
        TEST(test_config_load__kafka_variables_become_properties),
        TEST(test_config_load__a_secret_may_be_in_a_file_of_its_own),
        TEST(test_config_load__a_secret_file_may_be_named_in_the_file),
        TEST(test_config_load__a_missing_secret_file_is_a_problem),
        TEST(test_config_load__a_secret_given_both_ways_is_a_problem),
        TEST(test_config_load__only_secrets_may_be_in_files_of_their_own),
        TEST(test_config_load__problems_never_show_a_value),
        TEST(test_config_load__judges_each_value_by_its_rule),
        TEST(test_config_load__units_are_understood),
        TEST(test_config_load__topics_must_not_overlap),
        TEST(test_config_load__refuses_every_property_a_guarantee_rests_on),
        TEST(test_config_load__takes_the_values_that_keep_the_guarantees),
        TEST(test_config_problem_add__keeps_what_was_there),
        TEST(test_nearest_offer__prefers_the_fewest_edits),
        TEST(test_nearest_offer__far_names_are_not_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
