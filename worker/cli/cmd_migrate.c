#include "base/json_writer.h"
#include "base/timestamp.h"
#include "repo/schema/migrate.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"
#include "worker/kafka/kafka_admin.h"

/* A broker that answers slowly is waited for; topics are made one by one. */
enum { TOPIC_TIMEOUT_MS = 30000 };

struct migrate_call {
    const struct arguments *arguments;
    struct session session;
    struct buffer out;
};

static enum exit_code print(struct migrate_call *call)
{
    if (call->out.full)
        return cli_fail(call->arguments, EXIT_BUG, "no memory");
    return output_json(call->arguments, buffer_text(&call->out));
}

/* --- status ------------------------------------------------------------------------------------
 */

static void write_status(struct json_writer *json, const struct migration_status *migration)
{
    json_begin_object(json, NULL);
    json_int(json, "number", migration->number);
    json_text(json, "name", text_of(migration->name));
    json_text(json, "state", text_of(migration_state_name(migration->state)));
    json_time(json, "appliedAt", migration->applied_at_us);
    json_text(json, "checksum", text_of(migration->checksum));
    json_end_object(json);
}

static enum exit_code status(struct migrate_call *call)
{
    const struct migration_status *migrations;
    size_t count;
    struct err err;

    if (migrate_status(session_db(&call->session), call->session.arena, &migrations, &count,
                       &err) != OUTCOME_OK)
        return cli_fail_err(call->arguments, &err);
    struct json_writer json = json_writer_of(&call->out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < count; i++)
        write_status(&json, &migrations[i]);
    json_end_array(&json);
    return print(call);
}

/* --- up ----------------------------------------------------------------------------------------
 */

struct topic_wish {
    int64_t partitions;  /* of command topics and the audit topic */
    int64_t replication; /* -1: the brokers' default */
};

static enum outcome topics_create(struct kafka_admin *admin, const struct kafka_topic_names *names,
                                  const struct topic_wish *wish, struct json_writer *json,
                                  struct err *err)
{
    json_begin_object(json, "topics");
    for (size_t i = 0; i < names->count; i++) {
        bool dead_letters = names->items[i].use == KAFKA_DEAD_LETTER_TOPIC;
        const struct kafka_new_topic topic = {
            .name = names->items[i].name,
            .partitions = dead_letters ? KAFKA_DEAD_LETTER_PARTITIONS : (int)wish->partitions,
            .replicas = (int)wish->replication,
            .uncompressed = names->items[i].use == KAFKA_COMMAND_TOPIC,
        };
        bool created;
        enum outcome outcome = kafka_admin_create(admin, &topic, TOPIC_TIMEOUT_MS, &created, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        json_text(json, topic.name, text_of(created ? "created" : "there"));
    }
    json_end_object(json);
    return OUTCOME_OK;
}

static enum outcome topics_up(struct migrate_call *call, const struct topic_wish *wish,
                              struct json_writer *json, struct err *err)
{
    const struct config *config = &call->session.config;
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    struct kafka_topic_names names = {0};

    enum outcome outcome = kafka_admin_new(config, &admin, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_topic_names(config, &names, err);
    if (outcome == OUTCOME_OK)
        outcome = topics_create(admin, &names, wish, json, err);
    kafka_topic_names_release(&names);
    return outcome;
}

/* Brokers refuse a wish because of how they, or we, are configured. */
static enum exit_code topics_failed(const struct migrate_call *call, const struct err *err)
{
    if (err->outcome == OUTCOME_REJECT)
        return cli_fail(call->arguments, EXIT_CONFIG, "%s [%s]", err->text, err->code);
    return cli_fail_err(call->arguments, err);
}

static enum exit_code up(struct migrate_call *call, const struct topic_wish *wish)
{
    struct session *session = &call->session;
    struct migrate_report report;
    struct err err;

    if (migrate_up(session_db(session), session->config.database_schema, session->arena, &report,
                   &err) != OUTCOME_OK)
        return cli_fail_err(call->arguments, &err);
    struct json_writer json = json_writer_of(&call->out);
    json_begin_object(&json, NULL);
    json_int(&json, "applied", (int64_t)report.applied);
    json_int(&json, "auditIdsConverted", (int64_t)report.audit_ids_converted);
    json_int(&json, "entitlementsSetAside", (int64_t)report.entitlements_set_aside);
    if (argument(call->arguments, "topics") != NULL &&
        topics_up(call, wish, &json, &err) != OUTCOME_OK)
        return topics_failed(call, &err);
    json_end_object(&json);
    return print(call);
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static const char *action_of(const struct arguments *arguments)
{
    return arguments->operand_count == 0 ? "up" : arguments->operands[0];
}

static enum exit_code migrate_run(const struct arguments *arguments)
{
    struct topic_wish wish = {KAFKA_PARTITIONS_DEFAULT, -1};
    struct migrate_call call = {.arguments = arguments};
    bool is_up = strcmp(action_of(arguments), "up") == 0;

    if (arguments->operand_count > 1 || (!is_up && strcmp(action_of(arguments), "status") != 0))
        return cli_usage_error(arguments, "takes up or status");
    if (!argument_number(arguments, "partitions", 1, 10000, &wish.partitions) ||
        !argument_number(arguments, "replication-factor", 1, 100, &wish.replication))
        return EXIT_USAGE;
    bool shaped = argument(arguments, "partitions") != NULL ||
                  argument(arguments, "replication-factor") != NULL;
    if ((shaped && argument(arguments, "topics") == NULL) ||
        (!is_up && argument(arguments, "topics") != NULL))
        return cli_usage_error(arguments,
                               "--partitions and --replication-factor go with up --topics");

    /* No statement timeout: adopting large tables takes minutes. */
    enum exit_code code = session_open(arguments, 0, &call.session);
    if (code == EXIT_DONE) {
        buffer_init(&call.out, call.session.arena);
        code = is_up ? up(&call, &wish) : status(&call);
    }
    session_close(&call.session);
    return code;
}

static const struct flag flags[] = {
    {"topics", NULL, "up: also make the topics that are missing"},
    {"partitions", "N", "of new command and audit topics; default 8"},
    {"replication-factor", "N", "of new topics; default: as the brokers are set"},
};

const struct verb verb_migrate = {
    .name = "migrate",
    .operands = "[up | status]",
    .summary = "bring schema and topics to what this version needs",
    .description =
        "up (the default) creates the schema if it is not there, applies the migrations that are\n"
        "pending, each in one transaction, and adopts tables made by data-postgres. Several may\n"
        "run at once. With --topics it then makes the topics that are missing; topics that are\n"
        "there stay as they are. status lists the migrations and changes nothing.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = migrate_run,
};
