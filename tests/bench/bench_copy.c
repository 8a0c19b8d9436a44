/* The ceiling: the rows that a mix of key.issue commands leaves behind, by binary COPY into the
 * same tables. Several connections, nothing else; the bytes are made beforehand. */

#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/bench/copy_rows.h"
#include "tests/bench/mix.h"
#include "tests/bench/usage.h"

enum {
    ARENA_BYTES_PER_COMMAND = 16 * 1024,
    CHUNK_ARENA_BYTES = 512 * 1024 * 1024,
    SCRATCH_BYTES = 1024 * 1024,
};

struct options {
    const char *conninfo;
    const char *schema;
    uint64_t commands;
    uint64_t batch;
    uint64_t connections;
    bool random_ids;
};

/* What one transaction copies. */
struct chunk {
    struct buffer keys;
    struct buffer audit;
};

struct copier {
    const struct options *options;
    pthread_t thread;
    PGconn *connection;
    struct arena *arena; /* of the chunks */
    struct chunk *chunks;
    size_t chunk_count;
};

static void rows_of(const struct mix *mix, uint64_t index, int32_t partition, struct arena *scratch,
                    struct chunk *chunk)
{
    const struct command_result applied = {.created = true};
    struct message message;
    struct command command;
    struct audit_event event;
    struct err err;

    arena_reset(scratch);
    if (mix_received(mix, index, partition, scratch, &message, &err) != OUTCOME_OK ||
        command_decode(&message, scratch, &command, &err) != OUTCOME_OK ||
        command_event(&command, &applied, scratch, &event, &err) != OUTCOME_OK)
        die("rows: %s", err.text);
    event.topic_id = 1;
    event.partition = partition;
    event.offset = (int64_t)index;
    copy_key(&chunk->keys, command.record);
    copy_audit_event(&chunk->audit, &event);
}

static void prepare(struct copier *copier, const struct mix *mix, uint64_t from, uint64_t to,
                    int32_t partition)
{
    const struct options *options = copier->options;
    CLEANUP(arena_freep) struct arena *scratch = arena_new(SCRATCH_BYTES);

    copier->arena = arena_new((size_t)(to - from) * ARENA_BYTES_PER_COMMAND + CHUNK_ARENA_BYTES);
    copier->chunks = calloc((size_t)((to - from) / options->batch + 1), sizeof(*copier->chunks));
    if (scratch == NULL || copier->arena == NULL || copier->chunks == NULL)
        die("no memory");
    for (uint64_t i = from; i < to; i++) {
        if ((i - from) % options->batch == 0) {
            struct chunk *chunk = &copier->chunks[copier->chunk_count++];
            buffer_init(&chunk->keys, copier->arena);
            buffer_init(&chunk->audit, copier->arena);
            copy_begin(&chunk->keys);
            copy_begin(&chunk->audit);
        }
        rows_of(mix, i, partition, scratch, &copier->chunks[copier->chunk_count - 1]);
    }
    for (size_t i = 0; i < copier->chunk_count; i++) {
        copy_end(&copier->chunks[i].keys);
        copy_end(&copier->chunks[i].audit);
        if (copier->chunks[i].keys.full || copier->chunks[i].audit.full)
            die("no memory");
    }
}

static void expect(PGconn *connection, PGresult *result, ExecStatusType status)
{
    if (PQresultStatus(result) != status)
        die("%s", PQerrorMessage(connection));
    PQclear(result);
}

static void run(PGconn *connection, const char *sql)
{
    expect(connection, PQexec(connection, sql), PGRES_COMMAND_OK);
}

static void copy_in(PGconn *connection, const char *sql, const struct buffer *rows)
{
    expect(connection, PQexec(connection, sql), PGRES_COPY_IN);
    if (PQputCopyData(connection, (const char *)rows->bytes, (int)rows->length) != 1 ||
        PQputCopyEnd(connection, NULL) != 1)
        die("%s", PQerrorMessage(connection));
    expect(connection, PQgetResult(connection), PGRES_COMMAND_OK);
    PQclear(PQgetResult(connection)); /* the NULL behind the last result */
}

static void connect_to(struct copier *copier)
{
    char sql[128];

    copier->connection = PQconnectdb(copier->options->conninfo);
    if (PQstatus(copier->connection) != CONNECTION_OK)
        die("%s", PQerrorMessage(copier->connection));
    snprintf(sql, sizeof(sql), "SET search_path = \"%s\"", copier->options->schema);
    run(copier->connection, sql);
}

static void *copy_all(void *context)
{
    struct copier *copier = context;

    for (size_t i = 0; i < copier->chunk_count; i++) {
        run(copier->connection, "BEGIN");
        copy_in(copier->connection, COPY_KEYS, &copier->chunks[i].keys);
        copy_in(copier->connection, COPY_AUDIT, &copier->chunks[i].audit);
        run(copier->connection, "COMMIT");
    }
    return NULL;
}

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {{"conninfo", required_argument, NULL, 'c'},
                                          {"schema", required_argument, NULL, 's'},
                                          {"commands", required_argument, NULL, 'n'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"connections", required_argument, NULL, 'l'},
                                          {"random-ids", no_argument, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {
        .conninfo = "", .schema = "public", .commands = 100000, .batch = 2000, .connections = 2};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            options.conninfo = optarg;
            break;
        case 's':
            options.schema = optarg;
            break;
        case 'n':
            options.commands = number_of("commands", optarg, 1);
            break;
        case 'b':
            options.batch = number_of("batch", optarg, 1);
            break;
        case 'l':
            options.connections = number_of("connections", optarg, 1);
            break;
        case 'r':
            options.random_ids = true;
            break;
        default:
            die("see the options in %s", __FILE__);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    const struct mix_options mix_options = {.kind = MIX_ISSUE,
                                            .random_ids = options.random_ids,
                                            .seed = 1,
                                            .first_us = clock_wall_us(),
                                            .interval_us = 20};
    CLEANUP(mix_freep) struct mix *mix = mix_new(&mix_options);
    struct copier *copiers = calloc(options.connections, sizeof(*copiers));
    if (mix == NULL || copiers == NULL)
        die("no memory");
    for (uint64_t i = 0; i < options.connections; i++) {
        copiers[i].options = &options;
        connect_to(&copiers[i]);
        prepare(&copiers[i], mix, options.commands * i / options.connections,
                options.commands * (i + 1) / options.connections, (int32_t)i);
    }

    struct stopwatch start = stopwatch_start();
    for (uint64_t i = 0; i < options.connections; i++) {
        if (pthread_create(&copiers[i].thread, NULL, copy_all, &copiers[i]) != 0)
            die("no thread");
    }
    for (uint64_t i = 0; i < options.connections; i++)
        pthread_join(copiers[i].thread, NULL);
    report("copy", options.commands, stopwatch_since(start));

    for (uint64_t i = 0; i < options.connections; i++) {
        PQfinish(copiers[i].connection);
        arena_free(copiers[i].arena);
        free(copiers[i].chunks);
    }
    free(copiers);
    return 0;
}
