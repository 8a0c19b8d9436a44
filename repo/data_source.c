#include "repo/data_source.h"

#include <assert.h>
#include <stdlib.h>

/* BEGIN, COMMIT and ROLLBACK answer without rows. */
enum { CONTROL_ARENA_BYTES = 256 * 1024 };

struct data_source {
    struct executor port;           /* what the repositories get */
    struct executor *db;            /* what it passes them on to */
    struct executor_pq *connection; /* owned; NULL: the executor is the caller's */
    struct arena *arena;            /* of begin, commit and rollback */
    enum { TRANSACTION_NONE, TRANSACTION_OPEN, TRANSACTION_FAILED } transaction;
    bool broken; /* executor_recover() is due */
};

static enum outcome source_recover(struct executor *port, struct err *err)
{
    struct data_source *source = (struct data_source *)port;
    enum outcome outcome = executor_recover(source->db, err);
    if (outcome == OUTCOME_OK) {
        source->broken = false;
        source->transaction = TRANSACTION_NONE;
    }
    return outcome;
}

/* Before a call: whether the connection takes statements. */
static enum outcome source_enter(struct data_source *source, struct err *err)
{
    if (source->transaction == TRANSACTION_FAILED)
        return err_set(err, OUTCOME_FATAL, "25P02", "the transaction has failed: roll it back");
    return source->broken ? source_recover(&source->port, err) : OUTCOME_OK;
}

/* After it. */
static enum outcome source_leave(struct data_source *source, enum outcome outcome)
{
    if (outcome != OUTCOME_OK) {
        source->broken = true;
        if (source->transaction == TRANSACTION_OPEN)
            source->transaction = TRANSACTION_FAILED;
    }
    return outcome;
}

static enum outcome source_run(struct executor *port, const struct statement *statements,
                               size_t count, struct overlap *overlap, struct arena *arena,
                               struct rows *ret_rows, struct err *err)
{
    struct data_source *source = (struct data_source *)port;
    enum outcome outcome = source_enter(source, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    return source_leave(source, executor_run_overlapped(source->db, statements, count, overlap,
                                                        arena, ret_rows, err));
}

static enum outcome source_copy(struct executor *port, const struct copy *copy, struct err *err)
{
    struct data_source *source = (struct data_source *)port;
    enum outcome outcome = source_enter(source, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    return source_leave(source, executor_copy(source->db, copy, err));
}

static const struct executor_ops source_ops = {
    .run = source_run, .copy = source_copy, .recover = source_recover};

enum outcome data_source_bind(struct executor *db, struct data_source **ret_source, struct err *err)
{
    struct data_source *source = calloc(1, sizeof(*source));
    struct arena *arena = arena_new(CONTROL_ARENA_BYTES);
    if (source == NULL || arena == NULL) {
        free(source);
        arena_free(arena);
        return err_no_memory(err, "data source");
    }

    *source = (struct data_source){.port = {&source_ops}, .db = db, .arena = arena};
    *ret_source = source;
    return OUTCOME_OK;
}

enum outcome data_source_open(const struct executor_pq_options *options,
                              struct data_source **ret_source, struct err *err)
{
    struct executor_pq *connection = NULL;
    struct executor_pq_options complete = *options;

    if (complete.conninfo == NULL)
        complete.conninfo = "";
    if (complete.schema == NULL)
        complete.schema = "public";
    if (complete.application_name == NULL)
        complete.application_name = "catalyst-repo";
    enum outcome outcome = executor_pq_new(&complete, &connection, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    outcome = executor_recover(executor_pq_port(connection), err);
    if (outcome == OUTCOME_OK)
        outcome = data_source_bind(executor_pq_port(connection), ret_source, err);
    if (outcome == OUTCOME_OK)
        (*ret_source)->connection = connection;
    else
        executor_pq_free(connection);
    return outcome;
}

void data_source_close(struct data_source *source)
{
    if (source == NULL)
        return;
    data_source_rollback(source);
    executor_pq_freep(&source->connection);
    arena_freep(&source->arena);
    free(source);
}

struct executor *data_source_db(struct data_source *source)
{
    return &source->port;
}

static enum outcome control(struct data_source *source, const struct statement *statement,
                            struct err *err)
{
    struct rows rows;

    arena_reset(source->arena);
    return executor_run(&source->port, statement, source->arena, &rows, err);
}

enum outcome data_source_begin(struct data_source *source, struct err *err)
{
    assert(source->transaction == TRANSACTION_NONE);
    enum outcome outcome = control(source, &executor_begin, err);
    if (outcome == OUTCOME_OK)
        source->transaction = TRANSACTION_OPEN;
    return outcome;
}

enum outcome data_source_commit(struct data_source *source, struct err *err)
{
    assert(source->transaction != TRANSACTION_NONE);
    if (source->transaction == TRANSACTION_FAILED) {
        data_source_rollback(source);
        return err_set(err, OUTCOME_FATAL, "25P02", "the transaction had failed: rolled back");
    }

    enum outcome outcome = control(source, &executor_commit, err);
    if (outcome != OUTCOME_OK)
        data_source_rollback(source);
    source->transaction = TRANSACTION_NONE;
    return outcome;
}

void data_source_rollback(struct data_source *source)
{
    struct err ignored;

    if (source->transaction == TRANSACTION_OPEN)
        (void)control(source, &executor_rollback, &ignored);
    /* Now rather than with the next call: what the transaction locked is let go. Where the server
     * cannot be reached it has rolled back by itself, and the next call tries again. */
    if (source->broken && source->transaction != TRANSACTION_NONE)
        (void)source_recover(&source->port, &ignored);
    source->transaction = TRANSACTION_NONE;
}

static enum outcome attempt(struct data_source *source, data_source_work *work, void *context,
                            bool *ret_repeatable, struct err *err)
{
    *ret_repeatable = true;
    enum outcome outcome = data_source_begin(source, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    outcome = work(&source->port, context, err);
    if (outcome != OUTCOME_OK) {
        data_source_rollback(source);
        return outcome;
    }
    *ret_repeatable = false;
    return data_source_commit(source, err);
}

enum outcome data_source_transaction(struct data_source *source, data_source_work *work,
                                     void *context, unsigned attempts, struct err *err)
{
    enum outcome outcome;
    bool repeatable;

    assert(attempts > 0);
    do {
        outcome = attempt(source, work, context, &repeatable, err);
        attempts--;
    } while (outcome == OUTCOME_RETRY && repeatable && attempts > 0);
    return outcome;
}
