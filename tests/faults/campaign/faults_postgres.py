"""Faults of the database."""

from psycopg import sql

from . import database_faults
from .database_faults import WORKER
from .faults import (
    DATABASE_BACK,
    DATABASE_FAILOVER,
    DATABASE_SWITCHOVER,
    RECOVERY_S,
    Fault,
    Stage,
)

# Longer than any statement of the worker may take: 60 s.
STATEMENT_TIMEOUT_S = 63


def _stop_immediate(stage: Stage) -> str:
    stage.pair.stop_immediate()
    away = stage.hold()
    stage.pair.start_primary()
    back = stage.watch.mark()
    seconds = stage.watch.progress(back, RECOVERY_S)
    stage.pair.wait_synchronous()
    return f"away {away:.1f} s, {stage.measure(DATABASE_BACK, seconds)}"


def _fail_over(stage: Stage) -> str:
    return _take_over(stage, orderly=False)


def _switch_over(stage: Stage) -> str:
    return _take_over(stage, orderly=True)


def _take_over(stage: Stage, orderly: bool) -> str:
    before = stage.watch.mark()
    stage.pair.fail_over(orderly)
    stage.watch.progress(stage.watch.mark(), RECOVERY_S)
    silence = stage.watch.longest_silence(before)
    said = stage.measure(DATABASE_SWITCHOVER if orderly else DATABASE_FAILOVER, silence)
    return f"{said}; the old primary follows by {stage.pair.rebuild()}"


def _terminate(stage: Stage) -> str:
    """In the middle of a transaction, whenever one is caught there."""
    ended = 0
    for _ in range(3 if stage.short else 6):
        ended += stage.pair.terminate_backends(WORKER)
        stage.hold(0.3, 1.2)
    return f"{ended} sessions ended"


def _commit_unanswered(stage: Stage) -> str:
    lost = 0
    for _ in range(3):
        lost += database_faults.lose_commit_answers(stage.pair)
        stage.hold(0.2, 1)
    return f"{lost} COMMITs carried out and not answered"


def _answers_lost(stage: Stage) -> str:
    """Requests get through, answers do not; then the connections end."""
    primary = stage.pair.primary.name
    rounds = 2 if stage.short else 4
    for _ in range(rounds):
        stage.network.half_open(primary, "downstream")
        stage.hold(0.3, 1)
        stage.network.restore(primary)
        stage.hold(0.5, 1)
    return f"{rounds} times"


def _answers_cut_off(stage: Stage) -> str:
    """Every connection ends after so many bytes of answers, wherever that is in the protocol."""
    primary = stage.pair.primary.name
    bytes_ = stage.chance.randrange(2_000, 40_000)
    stage.network.toxic(primary, "limit_data", "downstream", bytes=bytes_)
    stage.hold()
    stage.network.restore(primary)
    return f"after {bytes_} bytes"


def _read_only(stage: Stage) -> str:
    stage.pair.read_only()
    stage.hold()
    stage.pair.read_write()
    return "25006"


def _disk_full(stage: Stage) -> str:
    stage.pair.fill_disk()
    try:
        stage.hold(3, 6)
    finally:
        stage.pair.free_disk()
    return "53100"


def _crowd(stage: Stage) -> str:
    with database_faults.crowd(stage.pair) as taken:
        ended = stage.pair.terminate_backends(WORKER)
        # A session of the worker that ends makes room for one of theirs, first come first served.
        with database_faults.crowd(stage.pair) as more:
            stage.hold()
    return f"{ended} sessions ended, {taken + more} connections taken by others: 53300"


def _statement_timeout(stage: Stage) -> str:
    """The real one takes a minute, too long for a short campaign: there, an administrator cancels
    the statement, which is the same SQLSTATE."""
    with database_faults.table_locked(stage.pair, _schema(stage), "auth_audit_events"):
        if not stage.short:
            stage.wait(STATEMENT_TIMEOUT_S)
            return f"a table locked for {STATEMENT_TIMEOUT_S} s: 57014"
        stage.wait(1.5)
        cancelled = stage.pair.cancel_backends(WORKER)
        stage.wait(1)
        cancelled += stage.pair.cancel_backends(WORKER)
    return f"{cancelled} statements cancelled: 57014"


def _serialization(stage: Stage) -> str:
    return _failing(stage, "auth_audit_events", "40001", 0.5)


def _serialization_at_commit(stage: Stage) -> str:
    return _failing(stage, "auth_keys", "40001", 0.2, at_commit=True)


def _out_of_memory(stage: Stage) -> str:
    return _failing(stage, "auth_audit_events", "53200", 0.7)


def _failing(stage: Stage, table: str, sqlstate: str, share: float, at_commit: bool = False) -> str:
    with database_faults.failing(stage.pair, _schema(stage), table, sqlstate, share, at_commit):
        stage.hold()
    return f"{sqlstate} from {table}"


def _deadlock(stage: Stage) -> str:
    met = 0
    for _ in range(2 if stage.short else 4):
        ids = _some_keys(stage)
        met += database_faults.deadlock(stage.pair, _schema(stage), "auth_keys", ids, 5)
    return f"{met} deadlocks: 40P01"


def _standby_away(stage: Stage) -> str:
    stage.pair.stop_standby()
    away = stage.hold()
    stage.pair.start_standby()
    stage.pair.wait_synchronous()
    return f"COMMITs waited {away:.1f} s"


def _hangs(stage: Stage) -> str:
    stage.pair.pause_primary()
    try:
        hung = stage.hold()
    finally:
        stage.pair.resume_primary()
    stage.pair.wait_synchronous()
    return f"{hung:.1f} s"


def _schema(stage: Stage) -> str:
    return stage.installation.names.schema


def _some_keys(stage: Stage) -> list[str]:
    """Those that were used last: hot ones, which will be wanted again."""
    with stage.pair.primary.connect("catalyst") as db:
        rows = db.execute(
            sql.SQL("SELECT id FROM {} WHERE usage_count > 0 ORDER BY usage_count DESC LIMIT 20").format(
                sql.Identifier(_schema(stage), "auth_keys")
            )
        ).fetchall()
    return [row[0] for row in rows]


FAULTS = [
    Fault("postgres-stop-immediate", "stopped with immediate, started again", _stop_immediate),
    Fault("postgres-failover", "the standby is promoted", _fail_over, telling=True),
    Fault("postgres-switchover", "the same in order", _switch_over),
    Fault("postgres-terminate", "backends ended in mid-transaction", _terminate),
    Fault(
        "postgres-commit-unanswered",
        "COMMITs are carried out, their answers lost",
        _commit_unanswered,
        telling=True,
    ),
    Fault("postgres-answers-lost", "requests arrive, answers do not", _answers_lost),
    Fault("postgres-answers-cut-off", "connections end in mid-answer", _answers_cut_off),
    Fault("postgres-read-only", "25006", _read_only),
    Fault("postgres-disk-full", "53100 on a file system that is full", _disk_full),
    Fault("postgres-connections", "53300: others have all connections", _crowd),
    Fault("postgres-statement-timeout", "57014: a lock outlasts the statement", _statement_timeout),
    Fault("postgres-serialization", "40001 by half of the statements", _serialization),
    Fault("postgres-serialization-commit", "40001 by COMMIT", _serialization_at_commit),
    Fault("postgres-memory", "53200", _out_of_memory),
    Fault("postgres-deadlock", "40P01, brought about", _deadlock),
    Fault("postgres-standby-away", "COMMITs wait for the standby", _standby_away),
    Fault("postgres-hangs", "the server is stopped and continued by signals", _hangs),
]
