"""Faults of PostgreSQL that come from other sessions, and one of server and network together."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from .postgres import PostgresPair
from .processes import Timeout, wait_until

DATABASE = "catalyst"
WORKER = "catalyst-worker"


@contextlib.contextmanager
def crowd(pair: PostgresPair) -> Iterator[int]:
    """Sessions of others have every connection that max_connections allows: 53300 for whoever
    comes, while those that there are go on. Gives how many it took."""
    sessions: list[psycopg.Connection[Any]] = []
    try:
        while True:
            try:
                sessions.append(pair.primary.connect(DATABASE, user="catalyst"))
            except psycopg.OperationalError as error:
                if "too many clients" in str(error) or "remaining connection slots" in str(error):
                    break
                raise
        yield len(sessions)
    finally:
        for session in sessions:
            session.close()


@contextlib.contextmanager
def table_locked(pair: PostgresPair, schema: str, table: str) -> Iterator[None]:
    """Whoever needs the table waits: for statement_timeout (57014), or the end of this."""
    with pair.primary.connect(DATABASE) as rival, rival.transaction(force_rollback=True):
        rival.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(schema, table)))
        yield


@contextlib.contextmanager
def rows_locked(pair: PostgresPair, schema: str, table: str, ids: Sequence[str]) -> Iterator[None]:
    with pair.primary.connect(DATABASE) as rival, rival.transaction(force_rollback=True):
        _lock_rows(rival, schema, table, ids)
        yield


def deadlock(pair: PostgresPair, schema: str, table: str, ids: Sequence[str], deadline_s: float = 30) -> bool:
    """Holds the rows named until somebody waits for one, and then asks for the whole table: if that
    somebody has changed any row of it, each waits for the other, and it is the other whom the
    server ends (40P01), since our session looks for deadlocks only after an hour. False: nobody
    came, or came with nothing that we could wait for."""
    before = deadlocks(pair)
    with pair.primary.connect(DATABASE) as rival:
        rival.execute("SET deadlock_timeout = '1h'")
        rival.execute("SET lock_timeout = '20s'")
        with (
            contextlib.suppress(Timeout, psycopg.errors.LockNotAvailable),
            rival.transaction(force_rollback=True),
        ):
            _lock_rows(rival, schema, table, ids)
            wait_until(
                "somebody waits for us",
                lambda: _waits_for(pair, rival.info.backend_pid),
                deadline_s,
                0.01,
            )
            _lock_rows(rival, schema, table, None)
    # Counted when the session that failed reports its statistics: at the latest a second after.
    with contextlib.suppress(Timeout):
        wait_until("a deadlock is counted", lambda: deadlocks(pair) > before, 3)
    return deadlocks(pair) > before


def deadlocks(pair: PostgresPair) -> int:
    """That the server has ended since its statistics began."""
    return int(pair.primary.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", DATABASE))


@contextlib.contextmanager
def failing(
    pair: PostgresPair,
    schema: str,
    table: str,
    sqlstate: str,
    share: float = 1.0,
    at_commit: bool = False,
) -> Iterator[None]:
    """The server itself raises this SQLSTATE when role catalyst inserts or updates rows of the
    table, in that share of the statements; at_commit: in that share of the rows, and only at
    COMMIT. For what can't be brought about at will: 40001 under READ COMMITTED, 58030, 53200."""
    where = sql.Identifier(schema, table)
    with pair.primary.connect(DATABASE) as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS campaign_faults")
        db.execute(
            sql.SQL(
                "CREATE OR REPLACE FUNCTION campaign_faults.fail() RETURNS trigger"
                " LANGUAGE plpgsql AS $$BEGIN"
                " IF session_user = 'catalyst' AND random() < TG_ARGV[1]::float8 THEN"
                " RAISE EXCEPTION 'a fault of the campaign' USING ERRCODE = TG_ARGV[0];"
                " END IF; RETURN NULL; END$$"
            )
        )
        db.execute(
            sql.SQL(
                "CREATE {} TRIGGER campaign_fault AFTER INSERT OR UPDATE ON {} {}"
                " EXECUTE FUNCTION campaign_faults.fail({}, {})"
            ).format(
                sql.SQL("CONSTRAINT" if at_commit else ""),
                where,
                sql.SQL("DEFERRABLE INITIALLY DEFERRED FOR EACH ROW" if at_commit else "FOR EACH STATEMENT"),
                sqlstate,
                str(share),
            )
        )
    try:
        yield
    finally:
        # Whoever is primary by now, and whether or not it has got the trigger.
        with pair.primary.connect(DATABASE) as db:
            db.execute(sql.SQL("DROP TRIGGER IF EXISTS campaign_fault ON {}").format(where))


def lose_commit_answers(
    pair: PostgresPair, application_name_prefix: str = WORKER, deadline_s: float = 60
) -> int:
    """COMMITs that are carried out and never answered, for certain: while the standby hangs they
    wait for it on the primary's disk; then their connections end; then the standby goes on. Answers
    with how many there were. It takes a network and load."""
    assert pair.network is not None, "connections are ended by the network"
    pair.wait_synchronous()
    pair.pause_standby()
    try:
        with contextlib.suppress(Timeout):
            wait_until(
                "a COMMIT waits for the standby",
                lambda: pair.waiting_for_standby(application_name_prefix),
                deadline_s,
                0.02,
            )
        lost = pair.waiting_for_standby(application_name_prefix)
        pair.network.reset(pair.primary.name)
    finally:
        pair.resume_standby()
    pair.wait_synchronous()
    return lost


def _lock_rows(rival: psycopg.Connection[Any], schema: str, table: str, ids: Sequence[str] | None) -> None:
    where = sql.SQL("" if ids is None else "WHERE id = ANY (%s)")
    query = sql.SQL("SELECT id FROM {} {} FOR UPDATE").format(sql.Identifier(schema, table), where)
    rival.execute(query, None if ids is None else [list(ids)])


def _waits_for(pair: PostgresPair, pid: int) -> bool:
    return bool(
        pair.primary.ask(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND %s = ANY (pg_blocking_pids(pid)))",
            pid,
        )
    )
