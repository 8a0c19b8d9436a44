#include <stdlib.h>

#include "base/crash_point.h"
#include "base/json_writer.h"
#include "events/message_json.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/dead_letters.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/printed.h"
#include "worker/cli/redrive.h"
#include "worker/cli/verbs.h"

enum {
    LIST_ARENA_BYTES = 1024 * 1024 * 1024,
    MAX_REDRIVES_DEFAULT = 3,
    MAX_REDRIVES_MAX = 1000000,
};

struct dlq {
    const struct arguments *arguments;
    struct config config;
    struct letter_filter filter;
    int64_t limit; /* INT64_MAX: none */
    int64_t rate;
    int64_t max_redrives;
    struct arena *arena;
    struct letter_topics topics;
};

static bool has(const struct dlq *dlq, const char *flag)
{
    return argument(dlq->arguments, flag) != NULL;
}

/* --- letters as JSON ---------------------------------------------------------------------------
 */

/* The object is left open. `names`: room for texts that are only passed on. */
static void write_letter(struct json_writer *json, const struct letter *letter, struct arena *names)
{
    char *name = letter_name(letter, names), *origin = letter_origin(letter, names);
    if (name == NULL || origin == NULL) {
        json->out->full = true;
        return;
    }
    json_begin_object(json, NULL);
    json_text(json, "letter", text_of(name));
    json_text(json, "origin", text_of(origin));
    if (letter->timestamp_ms >= 0 && letter->timestamp_ms <= TIMESTAMP_MAX_US / 1000)
        json_time(json, "timestamp", letter->timestamp_ms * 1000);
    json_text(json, "stage", letter->stage);
    json_text(json, "class", letter->class_name);
    json_int(json, "redriveCount", letter->redrive_count);
    json_bool(json, "redriven", letter->redriven);
    json_bool(json, "redacted", letter->redacted);
    json_bool(json, "truncated", letter->truncated);
    json_text(json, "changed", letter->changed);
    json_text(json, "reason", letter->reason);
}

static enum exit_code print(struct dlq *dlq, const struct buffer *out)
{
    return out->full ? cli_fail(dlq->arguments, EXIT_BUG, "no memory")
                     : output_json(dlq->arguments, buffer_text(out));
}

/* --- ls ----------------------------------------------------------------------------------------
 */

struct letter_group {
    const struct letter *letter;
    int64_t count, redriven;
};

static int compare_reasons(const void *a, const void *b)
{
    const struct letter *left = ((const struct letter_group *)a)->letter;
    const struct letter *right = ((const struct letter_group *)b)->letter;
    int order = text_compare(left->origin_topic, right->origin_topic);
    if (order == 0)
        order = text_compare(left->stage, right->stage);
    if (order == 0)
        order = text_compare(left->class_name, right->class_name);
    return order != 0 ? order : text_compare(left->reason, right->reason);
}

static void write_group(struct json_writer *json, const struct letter_group *group)
{
    json_begin_object(json, NULL);
    json_int(json, "count", group->count);
    json_int(json, "redriven", group->redriven);
    json_text(json, "topic", group->letter->origin_topic);
    json_text(json, "stage", group->letter->stage);
    json_text(json, "class", group->letter->class_name);
    json_text(json, "reason", group->letter->reason);
    json_end_object(json);
}

static enum exit_code summarise(struct dlq *dlq, const struct letter_list *list)
{
    struct letter_group *groups = ARENA_ARRAY(dlq->arena, struct letter_group, list->count + 1);
    if (groups == NULL)
        return cli_fail(dlq->arguments, EXIT_BUG, "no memory");
    for (size_t i = 0; i < list->count; i++)
        groups[i] = (struct letter_group){&list->items[i], 1, list->items[i].redriven};
    qsort(groups, list->count, sizeof(*groups), compare_reasons);

    struct buffer out;
    buffer_init(&out, dlq->arena);
    struct json_writer json = json_writer_of(&out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < list->count;) {
        struct letter_group *group = &groups[i];
        for (i++; i < list->count && compare_reasons(group, &groups[i]) == 0; i++) {
            group->count++;
            group->redriven += groups[i].redriven;
        }
        write_group(&json, group);
    }
    json_end_array(&json);
    return print(dlq, &out);
}

static enum exit_code list_letters(struct dlq *dlq, const struct letter_list *list)
{
    struct buffer out;
    buffer_init(&out, dlq->arena);
    struct json_writer json = json_writer_of(&out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < list->count && (int64_t)i < dlq->limit; i++) {
        write_letter(&json, &list->items[i], dlq->arena);
        json_end_object(&json);
    }
    json_end_array(&json);
    return print(dlq, &out);
}

static enum exit_code run_ls(struct dlq *dlq)
{
    struct letter_list list;
    struct err err = {0};
    if (letter_list_read(&dlq->config, &dlq->topics, &dlq->filter, dlq->arena, &list, &err) !=
        OUTCOME_OK)
        return cli_kafka_fail(dlq->arguments, &err);
    return has(dlq, "summary") ? summarise(dlq, &list) : list_letters(dlq, &list);
}

/* --- show --------------------------------------------------------------------------------------
 */

struct show_call {
    struct dlq *dlq;
    const struct letter_list *list;
    size_t shown, wanted;
};

static enum outcome show_record(void *context, const struct message *message, struct arena *arena,
                                bool *ret_stop, struct err *err)
{
    struct show_call *call = context;
    const struct letter *letter =
        letter_list_find(call->list, message->topic, message->partition, message->offset);
    if (letter == NULL)
        return OUTCOME_OK;
    *ret_stop = ++call->shown >= call->wanted;
    if (has(call->dlq, "raw")) {
        cli_print_text(stdout, text_of_slice(message->value));
        return OUTCOME_OK;
    }
    struct text record;
    enum outcome outcome = message_to_json(message, arena, &record, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct buffer out;
    buffer_init(&out, arena);
    struct json_writer json = json_writer_of(&out);
    write_letter(&json, letter, arena);
    json_document(&json, "record", record);
    json_end_object(&json);
    if (out.full)
        return err_no_memory(err, "letter");
    return output_json(call->dlq->arguments, buffer_text(&out)) == EXIT_DONE
               ? OUTCOME_OK
               : err_set(err, OUTCOME_FATAL, "", "the letter cannot be written");
}

static enum exit_code run_show(struct dlq *dlq)
{
    struct letter_list list;
    struct err err = {0};
    if (letter_list_read(&dlq->config, &dlq->topics, &dlq->filter, dlq->arena, &list, &err) !=
        OUTCOME_OK)
        return cli_kafka_fail(dlq->arguments, &err);
    if (list.count == 0 || list.count < dlq->filter.coordinate_count)
        return cli_fail(dlq->arguments, EXIT_NOT_FOUND, "there is no such letter");
    if (has(dlq, "raw") && list.count > 1)
        return cli_usage_error(dlq->arguments, "--raw shows one letter; %zu match", list.count);
    struct show_call call = {
        .dlq = dlq,
        .list = &list,
        .wanted = (int64_t)list.count > dlq->limit ? (size_t)dlq->limit : list.count,
    };
    if (letter_topics_visit(&dlq->config, &dlq->topics, show_record, &call, &err) != OUTCOME_OK)
        return cli_kafka_fail(dlq->arguments, &err);
    return EXIT_DONE;
}

/* --- redrive -----------------------------------------------------------------------------------
 */

static enum exit_code run_redrive(struct dlq *dlq)
{
    size_t count = dlq->config.command_topic_count;
    struct kafka_topic *origins = ARENA_ARRAY(dlq->arena, struct kafka_topic, count);
    int *partitions = ARENA_ARRAY(dlq->arena, int, count);
    if (origins == NULL || partitions == NULL)
        return cli_fail(dlq->arguments, EXIT_BUG, "no memory");
    enum exit_code code =
        cli_topics(dlq->arguments, &dlq->config, (const char *const *)dlq->config.command_topics,
                   count, true, origins);
    if (code != EXIT_DONE)
        return code;
    for (size_t i = 0; i < count; i++)
        partitions[i] = origins[i].partitions;
    struct redrive redrive = {
        .arguments = dlq->arguments,
        .config = &dlq->config,
        .topics = dlq->topics,
        .origin_partitions = partitions,
        .filter = dlq->filter,
        .limit = dlq->limit,
        .rate = dlq->rate,
        .max_redrives = dlq->max_redrives,
        .dry_run = has(dlq, "dry-run"),
        .arena = dlq->arena,
    };
    return redrive_run(&redrive);
}

/* --- the verb ----------------------------------------------------------------------------------
 */

struct action {
    const char *name;
    const char *flags; /* besides the filters and --limit, with blanks around each */
    bool takes_letters;
    enum exit_code (*run)(struct dlq *dlq);
};

static const struct action actions[] = {
    {"ls", " summary ", false, run_ls},
    {"show", " raw ", true, run_show},
    {"redrive", " all dry-run rate max-redrives ", true, run_redrive},
};

static const struct flag flags[] = {
    {"topic", "NAME", "letters of this command topic"},
    {"stage", "NAME", "decode, or apply (PostgreSQL refused it)"},
    {"class", "NAME", "envelope, body, type, field, secret or sqlstate"},
    {"message", "TEXT", "letters whose reason contains this"},
    {"since", "TIME", "letters of records with this time or a later one"},
    {"until", "TIME", "letters of records before this time"},
    {"limit", "N", "at most N letters"},
    {"summary", NULL, "ls: how many there are of each topic, stage, class and reason"},
    {"raw", NULL, "show: the value of one letter, byte for byte"},
    {"all", NULL, "redrive: every letter, when nothing else chooses"},
    {"dry-run", NULL, "redrive: tell what would go back, publish nothing"},
    {"rate", "N", "redrive: at most N letters a second"},
    {"max-redrives", "N", "redrive: refuse what went back N times (default 3)"},
};

enum { FILTER_FLAGS = 6, COMMON_FLAGS = 7, FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static bool is_filtered(const struct arguments *arguments)
{
    for (size_t i = 0; i < FILTER_FLAGS; i++) {
        if (arguments->values[i] != NULL)
            return true;
    }
    return arguments->operand_count > 1;
}

static bool parse_filter(struct dlq *dlq)
{
    const struct arguments *arguments = dlq->arguments;
    dlq->filter = (struct letter_filter){
        .origin = argument(arguments, "topic"),
        .stage = argument(arguments, "stage"),
        .class_name = argument(arguments, "class"),
        .message = argument(arguments, "message"),
        .since_us = TIMESTAMP_ABSENT,
        .until_us = TIMESTAMP_ABSENT,
    };
    return argument_time(arguments, "since", &dlq->filter.since_us) &&
           argument_time(arguments, "until", &dlq->filter.until_us) &&
           argument_number(arguments, "limit", 1, INT64_MAX, &dlq->limit) &&
           argument_number(arguments, "rate", 1, 1000000, &dlq->rate) &&
           argument_number(arguments, "max-redrives", 1, MAX_REDRIVES_MAX, &dlq->max_redrives);
}

/* The same letter twice counts once. */
static bool parse_letters(struct dlq *dlq)
{
    const struct arguments *arguments = dlq->arguments;
    struct coordinates *items =
        ARENA_ARRAY(dlq->arena, struct coordinates, arguments->operand_count);
    size_t count = 0;
    for (size_t i = 1; items != NULL && i < arguments->operand_count; i++) {
        if (!coordinates_parse(arguments->operands[i], &items[count])) {
            cli_usage_error(arguments, "a letter is TOPIC:PARTITION:OFFSET");
            return false;
        }
        size_t same = 0;
        while (same < count && (items[same].offset != items[count].offset ||
                                items[same].partition != items[count].partition ||
                                !text_equal(items[same].topic, items[count].topic)))
            same++;
        count += same == count;
    }
    dlq->filter.coordinates = items;
    dlq->filter.coordinate_count = count;
    return items != NULL;
}

static const struct action *find_action(const struct arguments *arguments)
{
    for (size_t i = 0; arguments->operand_count > 0 && i < sizeof(actions) / sizeof(actions[0]);
         i++) {
        if (strcmp(arguments->operands[0], actions[i].name) == 0)
            return &actions[i];
    }
    cli_usage_error(arguments, "needs ls, show or redrive");
    return NULL;
}

/* false: the usage error is printed. */
static bool parse(struct dlq *dlq, const struct action **ret_action)
{
    const struct arguments *arguments = dlq->arguments;
    const struct action *action = *ret_action = find_action(arguments);
    if (action == NULL ||
        !argument_flags_among(arguments, COMMON_FLAGS, action->name, action->flags) ||
        !parse_filter(dlq) || !parse_letters(dlq))
        return false;
    if (!action->takes_letters && arguments->operand_count > 1) {
        cli_usage_error(arguments, "%s takes no letters, only filters", action->name);
        return false;
    }
    if (action->takes_letters && !is_filtered(arguments) &&
        !(action->run == run_redrive && has(dlq, "all"))) {
        cli_usage_error(arguments, "%s needs letters or a filter%s", action->name,
                        action->run == run_redrive ? ", or --all" : "");
        return false;
    }
    return true;
}

static enum exit_code with_topics(struct dlq *dlq, const struct action *action)
{
    size_t count = dlq->config.command_topic_count;
    const char **names = ARENA_ARRAY(dlq->arena, const char *, count);
    struct kafka_topic *described = ARENA_ARRAY(dlq->arena, struct kafka_topic, count);
    struct kafka_reader_topic *items = ARENA_ARRAY(dlq->arena, struct kafka_reader_topic, count);
    if (names == NULL || described == NULL || items == NULL)
        return cli_fail(dlq->arguments, EXIT_BUG, "no memory");
    for (size_t i = 0; i < count; i++) {
        names[i] =
            arena_printf(dlq->arena, "%s%s", dlq->config.command_topics[i], dlq->config.dlq_suffix);
        if (names[i] == NULL)
            return cli_fail(dlq->arguments, EXIT_BUG, "no memory");
    }
    enum exit_code code = cli_topics(dlq->arguments, &dlq->config, names, count, true, described);
    if (code != EXIT_DONE)
        return code;
    for (size_t i = 0; i < count; i++)
        items[i] = (struct kafka_reader_topic){names[i], described[i].partitions};
    dlq->topics = (struct letter_topics){items, count};
    interrupt_catch();
    return action->run(dlq);
}

static enum exit_code dlq_run(const struct arguments *arguments)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIST_ARENA_BYTES);
    struct dlq dlq = {.arguments = arguments,
                      .limit = INT64_MAX,
                      .max_redrives = MAX_REDRIVES_DEFAULT,
                      .arena = arena};
    const struct action *action;
    struct err err;
    if (arena == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    if (!parse(&dlq, &action))
        return EXIT_USAGE;
    if (crash_points_arm(&err) != OUTCOME_OK)
        return cli_fail(arguments, EXIT_CONFIG, "%s", err.text);
    enum exit_code code = cli_config(arguments, &dlq.config);
    if (code != EXIT_DONE)
        return code;
    log_configure(dlq.config.log_level, dlq.config.log_format);
    code = with_topics(&dlq, action);
    config_release(&dlq.config);
    return code;
}

const struct verb verb_dlq = {
    .name = "dlq",
    .operands = "ls | show LETTER... | redrive LETTER...",
    .summary = "list, show and send back dead letters",
    .description =
        "Reads the dead-letter topics of the command topics, committed records only. A letter is\n"
        "named TOPIC:PARTITION:OFFSET, as ls prints it; filters choose instead, or besides.\n"
        "redrive puts letters back on their partition of origin as they were received, with the\n"
        "header catalyst-redrive-count, and has the worker record each as the audit event\n"
        "dlq.redriven. What went back is marked in the dead-letter topic within the same Kafka\n"
        "transaction: the same call again, also after a crash, sends nothing back twice. Redacted\n"
        "and truncated letters and those without their headers are refused, and so is what went\n"
        "back --max-redrives times or what the brokers do not take; the others go back, and the\n"
        "exit code is 65. A letter that is named but not there: 66.",
    .flags = flags,
    .flag_count = FLAG_COUNT,
    .run = dlq_run,
};
