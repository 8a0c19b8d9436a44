"""Tables of any size, loaded fast: what R issued keys leave behind, a key row and an audit row each.

Every row is a copy of one that the worker wrote, with its own ids and times, so that it has the
worker's shape and size. Indexes are built afterwards. Those whose keys come in random order are
built 70 % full, as random insertion leaves them, the others as full as PostgreSQL makes them.
"""

import shutil
import threading
import time
from dataclasses import dataclass

from cells import Cells, Mix
from results import Result
from stack import PAST, USERS, Servers

# The counterpart of MIX_KEY_EPOCH_MS in mix.h.
EPOCH_MS = 1_700_000_000_000
# On disk: a key and its audit row with their indexes; what WAL and the making of indexes take.
BYTES_PER_ROW = 1_700
SPARE_BYTES = 8 * 1024**3
RANDOM_FILL = 70
PAST_MS = int(PAST.total_seconds() * 1000)
CHUNKS = 4  # progress is told after each


@dataclass(frozen=True)
class Ids:
    """The ids of keys and commands: ordered by time, or random."""

    name: str

    @property
    def options(self) -> tuple[str, ...]:
        """Of the programs that make commands."""
        random = ("--random-ids",) if self.name == "random" else ()
        return ("--key-ids", self.name, *random)

    @property
    def key(self) -> str:
        """SQL: the id of key i, as key_there() in mix.c makes it."""
        digits = "encode(sha256(convert_to(i::text, 'UTF8')), 'hex')"
        if self.name == "random":
            return f"substr({digits}, 1, 32)"
        return f"lpad(to_hex({EPOCH_MS} + i), 12, '0') || substr({digits}, 1, 20)"

    @property
    def audit(self) -> str:
        """SQL: the id of the audit event of issuing it at `ms`: a UUIDv8 that begins with that, or a v5."""
        if self.name == "random":
            return "overlay(md5('audit' || i) placing '5' from 13 for 1)::uuid"
        return "overlay(md5('audit' || i) placing lpad(to_hex(ms), 12, '0') || '8' from 1 for 13)::uuid"

    def fill(self, columns: str) -> str:
        """SQL: how full an index on these columns is built."""
        random = self.name == "random" or columns.startswith(("hash", "owner_kind"))
        return f" WITH (fillfactor = {RANDOM_FILL})" if random else ""


AT = "to_timestamp(ms / 1000.0)"
NEW_KEY = {
    "id": "key_id",
    "hash": "md5(i::text) || md5((-i)::text)",
    "owner_id": f"'user-' || lpad((i * 7919 % {USERS})::text, 7, '0')",
    "created_at": AT,
    "updated_at": AT,
    "expires_at": f"{AT} + interval '365 days'",
}
NEW_AUDIT = {
    "id": "audit_id",
    "occurred_at": AT,
    "entity": "key_id",
    "command_id": "md5('command' || i)::uuid::text",
    "command_digest": "md5('digest' || i)::uuid",
    '"offset"': "i",
}
# Those of the copied row that name the key get the new one's id.
DOCUMENTS = ("actor", "subject", "resource", "metadata")


def check_disk(servers: Servers, rows: int) -> None:
    directory = servers.one("SHOW data_directory")
    wanted, free = rows * BYTES_PER_ROW + SPARE_BYTES, shutil.disk_usage(directory).free
    if free < wanted:
        raise RuntimeError(
            f"growth to {rows:,} rows needs about {wanted / 1e9:.0f} GB free in {directory},"
            f" there are {free / 1e9:.0f} GB; --rows asks for fewer"
        )


class Loading:
    """One table, on a connection of its own."""

    def __init__(self, servers: Servers, ids: Ids, template: str, schema: str, table: str):
        self.ids, self.template, self.table = ids, template, f"{schema}.{table}"
        self.name = table
        self.new = dict(NEW_KEY if table == "auth_keys" else NEW_AUDIT)
        self.sql = servers.connect()
        if table == "auth_audit_events":
            self.new |= self.documents()
        self.past_ms = int(time.time() * 1000) - PAST_MS
        for setting in ("synchronous_commit = off", "maintenance_work_mem = '1GB'"):
            self.sql.execute(f"SET {setting}")

    def documents(self) -> dict[str, str]:
        names = " || ".join(
            f"CASE WHEN position(entity IN {name}::text) > 0 THEN '{name} ' ELSE '' END" for name in DOCUMENTS
        )
        ((found,),) = self.sql.execute(f"SELECT {names} FROM {self.template}.{self.name} LIMIT 1").fetchall()
        return {name: f"replace(t.{name}::text, t.entity, key_id)::json" for name in found.split()}

    def run(self, rows: int) -> None:
        began = time.monotonic()
        indexes = self.drop_indexes()
        self.each("ALTER TABLE {} SET (autovacuum_enabled = off)")
        for nth in range(CHUNKS):
            self.insert(rows, rows * nth // CHUNKS, rows * (nth + 1) // CHUNKS)
            self.say(f"{rows * (nth + 1) // CHUNKS:,} rows", began)
        for index in indexes:
            self.sql.execute(index)
        self.say(f"{len(indexes)} indexes", began)
        self.each("ALTER TABLE {} RESET (autovacuum_enabled)")
        self.sql.execute(f"VACUUM (ANALYZE) {self.table}")
        self.say("vacuumed", began)
        self.sql.close()

    def say(self, what: str, began: float) -> None:
        print(f"  loading {self.name}: {what} ({time.monotonic() - began:.0f} s)", flush=True)

    def each(self, statement: str) -> None:
        """For the table, or each of its partitions."""
        for (name,) in self.sql.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND (oid = %(table)s::regclass"
            " OR oid IN (SELECT relid FROM pg_partition_tree(%(table)s)))",
            {"table": self.table},
        ).fetchall():
            self.sql.execute(statement.format(name))

    def insert(self, rows: int, first: int, behind: int) -> None:
        """Rows first to behind - 1 of so many, which are spread evenly over the time gone by."""
        columns = [
            f'"{name}"' if name in ("offset", "partition") else name
            for (name,) in self.sql.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped ORDER BY attnum",
                [self.table],
            )
        ]
        values = [self.new.get(name, f"t.{name}") for name in columns]
        self.sql.execute(
            f"INSERT INTO {self.table} ({', '.join(columns)}) SELECT {', '.join(values)}"
            f" FROM (SELECT i, ms, {self.ids.key} AS key_id, {self.ids.audit} AS audit_id"
            f" FROM (SELECT i, {self.past_ms} + i * {PAST_MS} / {rows} AS ms"
            f" FROM generate_series({first}::bigint, {behind - 1}) AS i) AS t OFFSET 0) AS n,"
            f" (SELECT * FROM {self.template}.{self.name} LIMIT 1) AS t"
        )

    def drop_indexes(self) -> list[str]:
        """The statements that make them again."""
        again = []
        for name, definition in self.sql.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
            [self.table],
        ).fetchall():
            fill = self.ids.fill(definition.partition("(")[2])
            again.append(f"ALTER TABLE {self.table} ADD CONSTRAINT {name} {definition}{fill}")
            self.sql.execute(f"ALTER TABLE {self.table} DROP CONSTRAINT {name}")
        for name, definition in self.sql.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = %s::regclass",
            [self.table],
        ).fetchall():
            columns = definition.partition("btree (")[2]
            whole = definition.replace(" ON ONLY ", " ON ")  # of a partitioned table
            again.append(whole + (self.ids.fill(columns) if columns else ""))
            self.sql.execute(f"DROP INDEX {name}")
        return again


class Tables:
    """Keys and audit rows under a schema, and one of each that the worker wrote, to copy."""

    def __init__(self, cells: Cells, ids: Ids):
        self.cells, self.ids = cells, ids
        self.servers = cells.servers
        self.sites = [cells.services.site("a") for _ in range(2)]
        self.template, self.schema = (site.schema for site in self.sites)

    def load(self, keys: int, audit: int) -> Result:
        began = time.monotonic()
        self.cells.apply_some(self.template, Mix("a", self.ids.options), 1)
        errors: list[Exception] = []

        def load(table: str, rows: int) -> None:
            try:
                Loading(self.servers, self.ids, self.template, self.schema, table).run(rows)
            except Exception as error:  # of any kind: it is raised below
                errors.append(error)

        jobs = [("auth_keys", keys), ("auth_audit_events", audit)]
        threads = [threading.Thread(target=load, args=job) for job in jobs if job[1] > 0]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        told: Result = {"rows": keys, "seconds": time.monotonic() - began}
        for table in [table for table, rows in jobs if rows > 0]:
            told |= self.sizes(table)
        return told

    def sizes(self, table: str) -> Result:
        """Of a row, and of all. Raises when a loaded row has not the size of a written one."""
        loaded, written = (
            float(
                self.servers.one(
                    f"SELECT avg(pg_column_size(r)) FROM (SELECT * FROM {schema}.{table} LIMIT 1000) AS r"
                )
            )
            for schema in (self.schema, self.template)
        )
        if not 0.9 < loaded / written < 1.1:
            raise RuntimeError(f"{table}: loaded rows have {loaded:.0f} bytes, not {written:.0f}")
        name = f"{self.schema}.{table}"
        heap, indexes = self.servers.row(
            "SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)) FROM pg_class WHERE relkind = 'r'"
            " AND (oid = %s::regclass OR oid IN (SELECT relid FROM pg_partition_tree(%s)))",
            [name, name],
        )
        return {
            f"{table}_row_bytes": loaded,
            f"{table}_bytes": int(heap),
            f"{table}_index_bytes": int(indexes),
        }

    def remove(self) -> None:
        for site in self.sites:
            site.remove()
