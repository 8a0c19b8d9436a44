#pragma once

#include "repo/pg/executor.h"

/* The schema of the tables: numbered SQL files (repo/migrations), embedded in the program, each
 * applied once and recorded in catalyst_schema_migrations with the SHA-256 of its text.
 *
 * The executor's search_path is the schema. Its statement timeout should be 0 for migrate_up():
 * adopting large tables takes minutes. */

enum migration_state {
    MIGRATION_APPLIED,
    MIGRATION_PENDING, /* in this program, not in the database */
    MIGRATION_CHANGED, /* in both, with another text */
    MIGRATION_NEWER,   /* in the database, unknown to this program, which can work with it */
    MIGRATION_FOREIGN, /* in the database, unknown to this program, which cannot */
};

struct migration_status {
    int number;
    const char *name;     /* "0001_tables" */
    const char *checksum; /* of the program's text, of the database's where there is none */
    enum migration_state state;
    int64_t applied_at_us; /* TIMESTAMP_ABSENT: pending */
};

const char *migration_state_name(enum migration_state state);

/* All migrations that the program or the database knows, by number, in `arena`. Changes nothing. */
enum outcome migrate_status(struct executor *db, struct arena *arena,
                            const struct migration_status **ret_migrations, size_t *ret_count,
                            struct err *err);

/* Whether this program can run on the schema as it is. Error code MIGRATE_SCHEMA when it can't.
 *
 * RETRY  connection lost and the like
 * FATAL  no tables, a pending or changed migration, or one that is newer and does not go together
 *        with this program; the text says what to do */
#define MIGRATE_SCHEMA "SCHEMA"
enum outcome migrate_check(struct executor *db, struct arena *arena, struct err *err);

/* Half of the key of the advisory lock that migrations hold, random once: ours among other
 * programs'. The other half is hashtext() of the schema's name. */
#define MIGRATE_LOCK_CLASS "1130455910"

struct migrate_report {
    size_t applied; /* migrations applied by this call */
    size_t audit_ids_converted;
    size_t entitlements_set_aside; /* in auth_entitlements_duplicates, after this call */
};

/* Creates the schema if it is not there and applies what is pending, each migration in one
 * transaction under an advisory lock, so that several may call it at once.
 *
 * Also adopts the tables of the TypeScript package data-postgres
 * (repo/schema/migrations/0002_adoption.sql) and holds ACCESS EXCLUSIVE on all seven for as long as
 * that takes. Measured, 2 cores, PostgreSQL 15 with its defaults, indexes included, per million
 * rows: users (224 MB) 2 s, keys (480 MB) 5 s, audit events (363 MB) 11 s, or 21 s when none of
 * their ids is a UUID.
 *
 * A table that stays in use for 30 s, or the role's own lock_timeout (a long transaction of
 * somebody else), makes it give up with RETRY: meanwhile everyone else would queue behind it.
 *
 * RETRY  connection lost, lock not available
 * FATAL  as migrate_check() for changed and foreign ones; no permission; a migration fails (it is
 *        rolled back) */
enum outcome migrate_up(struct executor *db, const char *schema, struct arena *arena,
                        struct migrate_report *ret_report, struct err *err);
