#include "base/json_writer.h"
#include "repo/schema/migrate.h"
#include "repo/seed.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"

enum { STATEMENT_TIMEOUT_MS = 60000, ROWS_MAX = 10000000 };

static bool options_parse(const struct arguments *arguments, struct seed_options *ret_options)
{
    int64_t users = (int64_t)SEED_DEFAULTS.users, orgs = (int64_t)SEED_DEFAULTS.orgs;
    int64_t keys = (int64_t)SEED_DEFAULTS.keys, number = (int64_t)SEED_DEFAULTS.seed;

    if (!argument_number(arguments, "users", 0, ROWS_MAX, &users) ||
        !argument_number(arguments, "orgs", 0, ROWS_MAX, &orgs) ||
        !argument_number(arguments, "keys", 0, ROWS_MAX, &keys) ||
        !argument_number(arguments, "seed", 0, INT64_MAX, &number))
        return false;
    *ret_options = (struct seed_options){.users = (size_t)users,
                                         .orgs = (size_t)orgs,
                                         .keys = (size_t)keys,
                                         .seed = (uint64_t)number};
    return true;
}

static void write_count(struct json_writer *json, const char *what, const struct seed_count *count)
{
    json_begin_object(json, NULL);
    json_text(json, "what", text_of(what));
    json_int(json, "rows", (int64_t)count->rows);
    json_int(json, "created", (int64_t)count->created);
    json_end_object(json);
}

static void report_json(const struct seed_report *report, struct buffer *out)
{
    struct json_writer json = json_writer_of(out);

    json_begin_array(&json, NULL);
    write_count(&json, "users", &report->users);
    write_count(&json, "orgs", &report->orgs);
    write_count(&json, "groups", &report->groups);
    write_count(&json, "memberships", &report->memberships);
    write_count(&json, "entitlements", &report->entitlements);
    write_count(&json, "keys", &report->keys);
    write_count(&json, "auditEvents", &report->audit_events);
    json_end_array(&json);
}

static enum exit_code seed(const struct arguments *arguments, const struct seed_options *options,
                           const struct session *session)
{
    struct seed_report report;
    struct buffer out;
    struct err err;

    if (migrate_check(session_db(session), session->arena, &err) != OUTCOME_OK ||
        seed_run(session_db(session), options, &report, &err) != OUTCOME_OK)
        return cli_fail_err(arguments, &err);
    buffer_init(&out, session->arena);
    report_json(&report, &out);
    if (out.full)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    return output_json(arguments, buffer_text(&out));
}

static enum exit_code seed_verb_run(const struct arguments *arguments)
{
    struct seed_options options;
    struct session session;

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (!options_parse(arguments, &options))
        return EXIT_USAGE;
    enum exit_code code = session_open(arguments, STATEMENT_TIMEOUT_MS, &session);
    if (code == EXIT_DONE)
        code = seed(arguments, &options, &session);
    session_close(&session);
    return code;
}

static const struct flag flags[] = {
    {"users", "N", "how many users; default 100"},
    {"orgs", "N", "how many orgs, with three groups each; default 10"},
    {"keys", "N", "how many keys; default 200"},
    {"seed", "S", "a number that is part of every id; default 1"},
};

const struct verb verb_seed = {
    .name = "seed",
    .operands = "",
    .summary = "insert made-up records",
    .description =
        "Inserts users, orgs, groups, memberships, entitlements, keys and audit events that are\n"
        "made from a number, to look at and to test with. The same arguments give the same rows;\n"
        "seeding again adds nothing. Prints how many rows the seed has and how many are new.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = seed_verb_run,
};
