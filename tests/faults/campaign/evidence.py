"""What there is, as strangers see it: the audit topic and the dead-letter topics through a
read_committed consumer, the seven tables through SQL."""

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

from harness.kafka import Kafka
from harness.model import TABLES
from harness.wire import Record

from .contract import AUDIT_COLUMNS

AUDIT_QUERY = """
    SELECT e.id::text, e.occurred_at, e.category, e.action, e.outcome, e.actor, e.subject,
        e.resource, e.metadata, e.correlation_id, e.error, e.entity, e.command_source, e.command_id,
        e.command_type, replace(e.command_digest::text, '-', ''), t.name, e."partition", e."offset",
        e.traceparent, e.tracestate, e.carried_correlation_id, e.legacy_id
    FROM auth_audit_events e LEFT JOIN catalyst_topics t USING (topic_id)
"""


@dataclass
class Evidence:
    """Of each partition the records in the order of their offsets. Lists only grow from one
    collection to the next of the same Collector."""

    audit: dict[int, list[Record]]
    letters: dict[tuple[str, int], list[Record]]
    tables: dict[str, list[dict[str, Any]]]  # without auth_audit_events
    audit_rows: list[tuple[Any, ...]]  # AUDIT_COLUMNS; times are UTC
    audit_row_count: int  # in the table, at the time of the last collection
    group: str | None = None  # what dead letters must name; None: any, but all the same
    audit_positions: dict[int, int] = field(default_factory=dict)
    letter_positions: dict[str, dict[int, int]] = field(default_factory=dict)


class Collector:
    """Reads everything the first time, and what is new afterwards: topics from where it was, audit
    rows by the offsets of their origins. To be used at quiet points, with nothing under way."""

    def __init__(
        self,
        bootstrap: str,
        database_url: str,
        schema: str,
        audit_topic: str,
        dlq_topics: list[str],
        group: str | None = None,
    ):
        self.kafka = Kafka(bootstrap)
        self.database_url = database_url
        self.schema = schema
        self.audit_topic = audit_topic
        self.evidence = Evidence({}, {}, {}, [], 0, group)
        self.evidence.letter_positions = {topic: {} for topic in dlq_topics}
        self._origins: dict[tuple[str, int], int] = {}

    def collect(self) -> Evidence:
        evidence = self.evidence
        records, evidence.audit_positions = self.kafka.read_committed_from(
            self.audit_topic, evidence.audit_positions
        )
        for record in records:
            assert record.partition is not None
            evidence.audit.setdefault(record.partition, []).append(record)
        for topic, positions in evidence.letter_positions.items():
            records, evidence.letter_positions[topic] = self.kafka.read_committed_from(topic, positions)
            for record in records:
                assert record.partition is not None
                evidence.letters.setdefault((topic, record.partition), []).append(record)
        self._read_tables()
        return evidence

    # --- within --------------------------------------------------------------------------------

    def _read_tables(self) -> None:
        """Of one moment, so that rows and count can't disagree."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as db:
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            db.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(self.schema)))
            db.execute("SET LOCAL timezone TO 'UTC'")
            for table in TABLES:
                query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
                self.evidence.tables[table] = db.execute(query).fetchall()
            self._read_audit_rows(db)

    def _read_audit_rows(self, db: psycopg.Connection[dict[str, Any]]) -> None:
        counted = db.execute("SELECT count(*) AS n FROM auth_audit_events").fetchone()
        assert counted is not None
        self.evidence.audit_row_count = counted["n"]
        names, partitions, offsets = [], [], []
        for (name, partition), offset in self._origins.items():
            names.append(name)
            partitions.append(partition)
            offsets.append(offset)
        with psycopg.ServerCursor(db, "audit_rows", row_factory=tuple_row) as rows:
            rows.itersize = 10_000
            rows.execute(
                AUDIT_QUERY
                + """ LEFT JOIN unnest(%s::text[], %s::int4[], %s::int8[]) AS seen(name, part, off)
                    ON seen.name = t.name AND seen.part = e."partition"
                WHERE seen.off IS NULL OR e."offset" > seen.off""",
                (names, partitions, offsets),
            )
            for row in rows:
                self._keep(row)

    def _keep(self, row: tuple[Any, ...]) -> None:
        assert len(row) == len(AUDIT_COLUMNS)
        self.evidence.audit_rows.append(row)
        name, partition, offset = row[16:19]
        if name is not None:
            origin = (name, partition)
            self._origins[origin] = max(offset, self._origins.get(origin, -1))


def collect(
    bootstrap: str,
    database_url: str,
    schema: str,
    audit_topic: str,
    dlq_topics: list[str],
    group: str | None = None,
) -> Evidence:
    """Everything, from the beginning."""
    return Collector(bootstrap, database_url, schema, audit_topic, dlq_topics, group).collect()
