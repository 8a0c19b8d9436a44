#include "worker/cli/cli_kafka.h"

#include "base/log.h"

enum { DESCRIBE_TIMEOUT_MS = 10000, REACH_MAX_MS = 3600 * 1000 };

enum exit_code cli_kafka_fail(const struct arguments *arguments, const struct err *err)
{
    enum exit_code code = err->outcome == OUTCOME_REJECT ? EXIT_CONFIG : exit_code_of(err);
    return cli_fail(arguments, code, "%s%s%s%s", err->text, err->code[0] != '\0' ? " [" : "",
                    err->code, err->code[0] != '\0' ? "]" : "");
}

static enum exit_code judge(const struct arguments *arguments, const char *name, bool configured,
                            const struct kafka_topic *topic)
{
    switch (topic->state) {
    case KAFKA_TOPIC_THERE:
    case KAFKA_TOPIC_LEADERLESS:
        break;
    case KAFKA_TOPIC_MISSING:
        return configured ? cli_fail(arguments, EXIT_CONFIG,
                                     "topic %s is missing; make it with catalyst-worker migrate up "
                                     "--topics",
                                     name)
                          : cli_fail(arguments, EXIT_NOT_FOUND, "topic %s: there is none", name);
    case KAFKA_TOPIC_FORBIDDEN:
        return cli_fail(arguments, EXIT_CONFIG, "topic %s: the brokers do not let us describe it",
                        name);
    }
    return EXIT_DONE;
}

enum exit_code cli_topics(const struct arguments *arguments, const struct config *config,
                          const char *const *names, size_t count, bool configured,
                          struct kafka_topic *ret_topics)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    struct err err;
    if (kafka_admin_new(config, &admin, &err) != OUTCOME_OK)
        return cli_kafka_fail(arguments, &err);

    int64_t deadline_ms = config->startup_deadline_ms;
    if (deadline_ms > REACH_MAX_MS)
        deadline_ms = REACH_MAX_MS;
    int brokers;
    if (kafka_admin_reach(admin, (int)deadline_ms, &brokers, &err) != OUTCOME_OK ||
        kafka_admin_describe(admin, names, count, DESCRIBE_TIMEOUT_MS, ret_topics, &err) !=
            OUTCOME_OK)
        return cli_kafka_fail(arguments, &err);

    for (size_t i = 0; i < count; i++) {
        enum exit_code code = judge(arguments, names[i], configured, &ret_topics[i]);
        if (code != EXIT_DONE)
            return code;
    }
    return EXIT_DONE;
}
