#include <string.h>
#include <unistd.h>

#include "worker/cli/check_database.h"
#include "worker/cli/check_kafka.h"
#include "worker/cli/check_set_back.h"
#include "worker/cli/verbs.h"
#include "worker/kafka/kafka_version.h"

enum { ARENA_BYTES = 4 * 1024 * 1024 };

/* The library takes either name of the property; the broker judges the login only much later. */
static bool uses_scram(const struct config *config)
{
    static const char *const names[] = {"sasl.mechanism", "sasl.mechanisms"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = config_kafka_value(config, names[i]);
        if (value != NULL && strncmp(value, "SCRAM-", strlen("SCRAM-")) == 0)
            return true;
    }
    return false;
}

static void check_library(const struct config *config, struct findings *findings)
{
    if (kafka_library_number() < KAFKA_LIBRARY_CALM)
        finding_add(findings, FINDING_INFO, "librdkafka",
                    "%s is older than 2.4 and spends CPU time on timers at low load",
                    kafka_library_version());
    if (kafka_library_number() < KAFKA_LIBRARY_SCRAM && uses_scram(config))
        finding_add(findings, FINDING_WARNING, "librdkafka",
                    "%s is older than 2.6.1: brokers from Kafka 4 on refuse its SCRAM login; use "
                    "librdkafka 2.6.1 or newer, or another sasl.mechanism",
                    kafka_library_version());
}

/* librdkafka reads them when it connects, and then names the file with the reason of OpenSSL. */
static void check_kafka_files(const struct config *config, struct findings *findings)
{
    static const char *const names[] = {"ssl.ca.location", "ssl.certificate.location",
                                        "ssl.key.location", "ssl.crl.location",
                                        "ssl.keystore.location"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = config_kafka_value(config, names[i]);
        if (path != NULL && strcmp(path, "probe") != 0 && access(path, R_OK) != 0)
            finding_add(findings, FINDING_ERROR, "configuration",
                        "kafka.%s: the file can't be read", names[i]);
    }
}

/* Everything that the configuration alone tells. false: it cannot be used any further. */
static bool check_configuration(const struct arguments *arguments, struct config *config,
                                struct findings *findings)
{
    struct config_problems problems;
    struct err err;
    enum outcome outcome = cli_config_load(arguments, config, &problems, &err);

    for (size_t i = 0; i < problems.count; i++)
        finding_add(findings, FINDING_ERROR, problems.items[i].where, "%s", problems.items[i].what);
    config_problems_release(&problems);
    if (outcome == OUTCOME_FULL) {
        findings->full = true;
        return false;
    }
    check_conninfo(config, findings);
    check_library(config, findings);
    check_kafka_files(config, findings);
    return outcome == OUTCOME_OK;
}

static enum exit_code report(const struct arguments *arguments, const struct findings *findings)
{
    struct buffer out;

    buffer_init(&out, findings->arena);
    findings_json(findings, &out);
    if (out.full || findings->full)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    enum exit_code code = output_json(arguments, buffer_text(&out));
    if (code != EXIT_DONE)
        return code;

    size_t errors = findings_of(findings, FINDING_ERROR);
    size_t away = findings_of(findings, FINDING_AWAY);
    fprintf(stderr, "%zu errors, %zu warnings%s\n", errors, findings_of(findings, FINDING_WARNING),
            away > 0 ? ", and not everything could be reached" : "");
    return errors > 0 ? EXIT_CONFIG : away > 0 ? EXIT_UNAVAILABLE : EXIT_DONE;
}

static enum exit_code check_run(const struct arguments *arguments)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    struct findings findings = {.arena = arena};
    struct config config;

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (arena == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    /* What the libraries have to say is in the findings. */
    log_configure(LOG_ERROR, LOG_LOGFMT);
    bool usable = check_configuration(arguments, &config, &findings);
    if (usable && argument(arguments, "online") != NULL) {
        check_database(&config, &findings);
        check_kafka(&config, &findings);
        if (findings_of(&findings, FINDING_ERROR) + findings_of(&findings, FINDING_AWAY) == 0)
            check_set_back(&config, &findings);
    }
    config_release(&config);
    return report(arguments, &findings);
}

static const struct flag flags[] = {
    {"online", NULL, "also connect to database and brokers, and look; changes nothing"},
};

const struct verb verb_check = {
    .name = "check",
    .operands = "",
    .summary = "report every mistake in settings, database and topics",
    .description =
        "Reports everything that is wrong with the configuration, each with its file and line or\n"
        "variable. With --online it also connects: database reachable, encoding, clock, schema\n"
        "version, privileges; topics, dead-letter topics and partitions, permissions of group,\n"
        "transactions and topics, retention of the commands against that of the audit log. Where "
        "all\n"
        "of that is in order: whether the database was set back behind the group.\n"
        "Each finding has a level: error, away (did not answer), warning or info.\n"
        "Exit 0: no errors; 78: errors; 69: none, but broker or database did not answer.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = check_run,
};
