/* The repositories in a program of one's own: opens a data source, writes a user, reads it back.
 * usage: example CONNINFO SCHEMA */

#include <stdio.h>

#include "repo/data_source.h"
#include "welcome.h"

int main(int argc, char **argv)
{
    CLEANUP(data_source_closep) struct data_source *source = NULL;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    const struct user user = {
        .id = TEXT("user-of-the-example"),
        .authentik_id = TEXT("ak-1"),
        .email = TEXT("ada@example.org"),
        .display_name = TEXT("Ada"),
        .labels = {.json = TEXT("{\"tier\":\"pro\"}")},
    };
    const struct user *stored = NULL;
    struct err err;

    if (argc != 3 || arena == NULL) {
        fprintf(stderr, "usage: example CONNINFO SCHEMA\n");
        return 64;
    }
    const struct executor_pq_options options = {.conninfo = argv[1], .schema = argv[2]};

    if (data_source_open(&options, &source, &err) != OUTCOME_OK ||
        welcome(data_source_db(source), &user, arena, &stored, &err) != OUTCOME_OK) {
        fprintf(stderr, "example: %s\n", err.text);
        return 69;
    }
    printf("%.*s is %.*s, labels %.*s\n", TEXT_ARG(stored->id), TEXT_ARG(stored->display_name),
           TEXT_ARG(stored->labels.json));
    return 0;
}
