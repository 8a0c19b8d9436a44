/* Makes the tables, as `catalyst-worker migrate up` does. usage: migrate CONNINFO SCHEMA */

#include <stdio.h>

#include "repo/data_source.h"
#include "repo/schema/migrate.h"

int main(int argc, char **argv)
{
    CLEANUP(data_source_closep) struct data_source *source = NULL;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)16 * 1024 * 1024);
    struct migrate_report report;
    struct err err;

    if (argc != 3 || arena == NULL) {
        fprintf(stderr, "usage: migrate CONNINFO SCHEMA\n");
        return 64;
    }
    const struct executor_pq_options options = {.conninfo = argv[1], .schema = argv[2]};

    if (data_source_open(&options, &source, &err) != OUTCOME_OK ||
        migrate_up(data_source_db(source), argv[2], arena, &report, &err) != OUTCOME_OK) {
        fprintf(stderr, "migrate: %s\n", err.text);
        return 69;
    }
    printf("%zu migrations applied\n", report.applied);
    return 0;
}
