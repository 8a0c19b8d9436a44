"""Checks of the database pair, on itself."""

import os
import threading
from pathlib import Path

import psycopg

from . import database_faults
from .disk import Unavailable
from .infrastructure_world import CLIENT, World, in_thread, lost, refused
from .processes import descendants, running, wait_until


def postgres_commit(world: World) -> None:
    with world.database() as db:
        db.execute("CREATE TABLE rows (id text PRIMARY KEY, note text)")
    world.insert()
    seen = world.pair.standby.ask("SELECT pg_is_in_recovery()")
    assert seen and world.pair.synchronous()
    wait_until(
        "the standby shows the row",
        lambda: world.pair.standby.ask("SELECT count(*) FROM rows", dbname="catalyst") == 1,
    )


def postgres_stop_immediate(world: World) -> None:
    db = world.database()
    world.insert()
    world.pair.stop_immediate()
    with refused("57P02", None):  # the server's farewell, or none
        db.execute("SELECT 1")
    with lost():
        world.database()
    world.pair.start_primary()
    world.check_rows()
    world.pair.wait_synchronous()


def postgres_kill(world: World) -> None:
    children = descendants(world.pair.primary.process.pid)
    world.insert()
    world.pair.kill_primary()
    assert children and not any(map(running, children))
    world.pair.start_primary()
    world.check_rows()
    world.pair.wait_synchronous()


def postgres_fail_over(world: World) -> None:
    """Twice, so that both have been either; every row that was answered is there."""
    for _ in range(2):
        world.insert()
        was = world.pair.primary
        world.pair.fail_over()
        assert world.pair.standby is was and not was.process.alive()
        world.network.restore()
        world.check_rows()
        world.insert()
        assert world.pair.rebuild() == "pg_rewind"
        world.check_rows()
        world.insert()


def postgres_switch_over(world: World) -> None:
    world.insert()
    world.pair.fail_over(orderly=True)
    world.check_rows()
    world.pair.rebuild()
    world.insert()


def postgres_rebuild_from_copy(world: World) -> None:
    """When pg_rewind cannot help, a base backup does."""
    world.pair.fail_over()
    (world.pair.standby.data / "global" / "pg_control").unlink()
    assert world.pair.rebuild() == "pg_basebackup"
    world.insert()


def postgres_standby_away(world: World) -> None:
    world.pair.stop_standby()
    thread, failures = in_thread(world.insert)
    wait_until("a COMMIT waits", lambda: world.pair.waiting_for_standby(CLIENT) == 1)
    world.pair.start_standby()
    thread.join(60)
    assert not thread.is_alive() and not failures, failures
    world.pair.wait_synchronous()
    world.check_rows()


def postgres_lost_commit_answers(world: World) -> None:
    db = world.database()
    standby = Path(f"/proc/{world.pair.standby.process.pid}/stat")
    world.rows += 1

    def insert_while_standby_hangs() -> None:
        wait_until("the standby hangs", lambda: ") T " in standby.read_text())
        db.execute("INSERT INTO rows (id, note) VALUES (%s, 'x')", [str(world.rows)])

    thread, failures = in_thread(insert_while_standby_hangs)
    assert database_faults.lose_commit_answers(world.pair, CLIENT) == 1
    thread.join(60)
    assert isinstance(failures[0], psycopg.OperationalError)
    world.check_rows()


def postgres_pause_primary(world: World) -> None:
    with world.database() as db:
        world.pair.pause_primary()
        thread, failures = in_thread(lambda: db.execute("SELECT 1"))
        thread.join(2)
        assert thread.is_alive()
        world.pair.resume_primary()
        thread.join(30)
        assert not thread.is_alive() and not failures
    world.pair.wait_synchronous()


def postgres_terminate(world: World) -> None:
    db = world.database()
    assert world.pair.terminate_backends("selfte") == 1
    with refused("57P01"):
        db.execute("SELECT 1")


def postgres_cancel(world: World) -> None:
    with world.database() as db:
        thread, failures = in_thread(lambda: db.execute("SELECT pg_sleep(60)"))
        wait_until(
            "it sleeps",
            lambda: world.pair.primary.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ),
        )
        assert world.pair.cancel_backends(CLIENT) == 1
        thread.join(10)
        assert isinstance(failures[0], psycopg.errors.QueryCanceled)


def postgres_read_only(world: World) -> None:
    with world.database() as db:
        world.pair.read_only()
        with refused("25006"):
            db.execute("INSERT INTO rows (id) VALUES ('refused')")
        with lost():
            world.database()
        world.pair.read_write()
    world.insert()


def postgres_settings(world: World) -> None:
    world.pair.set("statement_timeout", "100ms")
    with world.database() as db, refused("57014"):
        db.execute("SELECT pg_sleep(10)")
    world.pair.reset("statement_timeout")
    with world.database() as db:
        db.execute("SELECT pg_sleep(0.2)")


def postgres_full_disk(world: World) -> None:
    try:
        world.pair.fill_disk()
    except Unavailable:
        # Without root there is no such fault; that it is said is what there is to see.
        assert os.geteuid() != 0 or not world.pair.primary.disk.limited
        return
    with world.database() as db, refused("53100"):
        for _ in range(100):
            db.execute(
                "INSERT INTO rows SELECT gen_random_uuid(), repeat('x', 5000) FROM generate_series(1, 1000)"
            )
    world.pair.free_disk()
    with world.database() as db:
        db.execute("DELETE FROM rows WHERE note <> 'x'")
    world.insert()
    world.check_rows()


def postgres_crowd(world: World) -> None:
    with world.database() as db, database_faults.crowd(world.pair) as taken:
        assert taken > 0
        with lost():
            world.database()
        db.execute("SELECT 1")
    world.insert()


def postgres_locks(world: World) -> None:
    with world.database() as db:
        db.execute("SET statement_timeout = '500ms'")
        with database_faults.table_locked(world.pair, "public", "rows"), refused("57014"):
            db.execute("SELECT * FROM rows")
        with database_faults.rows_locked(world.pair, "public", "rows", ["1"]):
            with refused("57014"):
                db.execute("UPDATE rows SET note = 'x' WHERE id = '1'")
            db.execute("UPDATE rows SET note = 'x' WHERE id = '2'")
        db.execute("UPDATE rows SET note = 'x' WHERE id = '1'")


def postgres_deadlock(world: World) -> None:
    def victim() -> None:
        with world.database() as db, db.transaction():
            db.execute("UPDATE rows SET note = 'x' WHERE id = '2'")
            db.execute("UPDATE rows SET note = 'x' WHERE id = '1'")

    failures: list[BaseException] = []

    def insist() -> None:
        # Until our rival is there: before that nothing is in the way.
        try:
            while True:
                victim()
        except psycopg.Error as error:
            failures.append(error)

    thread = threading.Thread(target=insist)
    thread.start()
    assert database_faults.deadlock(world.pair, "public", "rows", ["1"])
    thread.join(30)
    assert isinstance(failures[0], psycopg.errors.DeadlockDetected), failures


def postgres_failing(world: World) -> None:
    with world.database() as db:
        with database_faults.failing(world.pair, "public", "rows", "40001"), refused("40001"):
            db.execute("INSERT INTO rows (id) VALUES ('refused')")
        with database_faults.failing(world.pair, "public", "rows", "58030", at_commit=True):
            db.execute("BEGIN")
            db.execute("INSERT INTO rows (id) VALUES ('refused')")
            with refused("58030"):
                db.execute("COMMIT")
    world.insert()
    world.check_rows()
