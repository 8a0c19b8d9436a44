#include "base/json.h"
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

static void count_append(struct buffer *out, const char *name, const struct seed_count *count)
{
    buffer_append_literal(out, out->length == 1 ? "{\"what\":" : ",{\"what\":");
    json_append_string(out, text_of(name));
    buffer_append_literal(out, ",\"rows\":");
    json_append_int(out, (int64_t)count->rows);
    buffer_append_literal(out, ",\"created\":");
    json_append_int(out, (int64_t)count->created);
    buffer_append_byte(out, '}');
}

static void report_json(const struct seed_report *report, struct buffer *out)
{
    buffer_append_byte(out, '[');
    count_append(out, "users", &report->users);
    count_append(out, "orgs", &report->orgs);
    count_append(out, "groups", &report->groups);
    count_append(out, "memberships", &report->memberships);
    count_append(out, "entitlements", &report->entitlements);
    count_append(out, "keys", &report->keys);
    count_append(out, "auditEvents", &report->audit_events);
    buffer_append_byte(out, ']');
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
