#include "base/json.h"
#include "base/timestamp.h"
#include "repo/schema/migrate.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"
#include "worker/kafka/kafka_admin.h"

/* A broker that answers slowly is waited for; topics are made one by one. */
enum { TOPIC_TIMEOUT_MS = 30000 };

struct migrating {
    const struct arguments *arguments;
    struct session session;
    struct buffer out;
};

static enum exit_code print(struct migrating *migrating)
{
    if (migrating->out.full)
        return cli_fail(migrating->arguments, EXIT_BUG, "no memory");
    return output_json(migrating->arguments, buffer_text(&migrating->out));
}

static void member_int(struct buffer *out, const char *name, int64_t value)
{
    buffer_append_byte(out, '"');
    buffer_append_literal(out, name);
    buffer_append_literal(out, "\":");
    json_append_int(out, value);
}

/* --- status ------------------------------------------------------------------------------------
 */

static void status_append(struct buffer *out, const struct migration_status *migration)
{
    buffer_append_literal(out, "{");
    member_int(out, "number", migration->number);
    buffer_append_literal(out, ",\"name\":");
    json_append_string(out, text_of(migration->name));
    buffer_append_literal(out, ",\"state\":");
    json_append_string(out, text_of(migration_state_name(migration->state)));
    if (migration->applied_at_us != TIMESTAMP_ABSENT) {
        buffer_append_literal(out, ",\"appliedAt\":");
        json_append_time(out, migration->applied_at_us);
    }
    buffer_append_literal(out, ",\"checksum\":");
    json_append_string(out, text_of(migration->checksum));
    buffer_append_literal(out, "}");
}

static enum exit_code status(struct migrating *migrating)
{
    const struct migration_status *migrations;
    size_t count;
    struct err err;

    if (migrate_status(session_db(&migrating->session), migrating->session.arena, &migrations,
                       &count, &err) != OUTCOME_OK)
        return cli_fail_err(migrating->arguments, &err);
    buffer_append_byte(&migrating->out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(&migrating->out, ',');
        status_append(&migrating->out, &migrations[i]);
    }
    buffer_append_byte(&migrating->out, ']');
    return print(migrating);
}

/* --- up ----------------------------------------------------------------------------------------
 */

struct topic_wish {
    int64_t partitions;  /* of command topics and the audit topic */
    int64_t replication; /* -1: the brokers' default */
};

static enum outcome topics_create(struct kafka_admin *admin, const struct kafka_topic_names *names,
                                  const struct topic_wish *wish, struct buffer *out,
                                  struct err *err)
{
    buffer_append_literal(out, ",\"topics\":{");
    for (size_t i = 0; i < names->count; i++) {
        bool dead_letters = names->items[i].use == KAFKA_DEAD_LETTER_TOPIC;
        const struct kafka_new_topic topic = {
            .name = names->items[i].name,
            .partitions = dead_letters ? KAFKA_DEAD_LETTER_PARTITIONS : (int)wish->partitions,
            .replicas = (int)wish->replication,
        };
        bool created;
        enum outcome outcome = kafka_admin_create(admin, &topic, TOPIC_TIMEOUT_MS, &created, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (i > 0)
            buffer_append_byte(out, ',');
        json_append_string(out, text_of(topic.name));
        buffer_append_literal(out, created ? ":\"created\"" : ":\"there\"");
    }
    buffer_append_byte(out, '}');
    return OUTCOME_OK;
}

static enum outcome topics_up(struct migrating *migrating, const struct topic_wish *wish,
                              struct err *err)
{
    const struct config *config = &migrating->session.config;
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    struct kafka_topic_names names = {0};

    enum outcome outcome = kafka_admin_new(config, &admin, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_topic_names(config, &names, err);
    if (outcome == OUTCOME_OK)
        outcome = topics_create(admin, &names, wish, &migrating->out, err);
    kafka_topic_names_release(&names);
    return outcome;
}

/* Brokers refuse a wish because of how they, or we, are configured. */
static enum exit_code topics_failed(const struct migrating *migrating, const struct err *err)
{
    if (err->outcome == OUTCOME_REJECT)
        return cli_fail(migrating->arguments, EXIT_CONFIG, "%s [%s]", err->text, err->code);
    return cli_fail_err(migrating->arguments, err);
}

static enum exit_code up(struct migrating *migrating, const struct topic_wish *wish)
{
    struct session *session = &migrating->session;
    struct migrate_report report;
    struct err err;

    if (migrate_up(session_db(session), session->config.database_schema, session->arena, &report,
                   &err) != OUTCOME_OK)
        return cli_fail_err(migrating->arguments, &err);
    buffer_append_literal(&migrating->out, "{");
    member_int(&migrating->out, "applied", (int64_t)report.applied);
    buffer_append_byte(&migrating->out, ',');
    member_int(&migrating->out, "auditIdsConverted", (int64_t)report.audit_ids_converted);
    buffer_append_byte(&migrating->out, ',');
    member_int(&migrating->out, "entitlementsSetAside", (int64_t)report.entitlements_set_aside);
    if (argument(migrating->arguments, "topics") != NULL &&
        topics_up(migrating, wish, &err) != OUTCOME_OK)
        return topics_failed(migrating, &err);
    buffer_append_byte(&migrating->out, '}');
    return print(migrating);
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
    struct migrating migrating = {.arguments = arguments};
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
    enum exit_code code = session_open(arguments, 0, &migrating.session);
    if (code == EXIT_DONE) {
        buffer_init(&migrating.out, migrating.session.arena);
        code = is_up ? up(&migrating, &wish) : status(&migrating);
    }
    session_close(&migrating.session);
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
