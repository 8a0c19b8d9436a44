"""Whose functions the worker calls, in whose schema it writes, and poolers that hand it another session."""

import psycopg
import pytest

from harness import make
from harness.model import Model
from harness.pooler import Pooler
from harness.program import EXIT_CONFIG, EXIT_OK, run
from harness.site import Site

HIJACK = """
CREATE FUNCTION {schema}.unnest(v text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'evil' THEN
        INSERT INTO {schema}.loot SELECT current_user, hash FROM {schema}.auth_keys LIMIT 1;
    END IF;
    RETURN QUERY SELECT x FROM pg_catalog.unnest(v) AS t (x);
END $$;
GRANT INSERT, SELECT ON {schema}.loot TO PUBLIC
"""


def _give_evil_the_right_to_create(site: Site) -> None:
    with psycopg.connect(site.admin_url(), autocommit=True) as admin:
        admin.execute(
            "DO $$ BEGIN CREATE ROLE evil; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        admin.execute(f"GRANT USAGE, CREATE ON SCHEMA {site.schema} TO evil".encode())
        admin.execute("SET ROLE evil")
        admin.execute(f"CREATE TABLE {site.schema}.loot (who name, what text)".encode())
        admin.execute(HIJACK.format(schema=site.schema).encode())


@pytest.mark.key
def test_functions_of_others_are_not_called(narrow: Site) -> None:
    keys = [make.issue(f"k-{n}") for n in range(60)]
    few = [
        make.issue("k-one"),
        make.use("k-1"),
        make.revoke("k-2"),
        make.user("u"),
        make.org("o"),
        make.use("none"),
    ]
    worker = narrow.start()
    narrow.process([make.issue("k-before")])
    _give_evil_the_right_to_create(narrow)

    narrow.process(keys)
    for command in few:
        narrow.process([command])

    assert narrow.sql("SELECT * FROM loot") == []
    assert len(narrow.table("auth_keys")) == 62
    worker.stop()


def test_a_schema_in_which_others_may_create_is_refused(narrow: Site) -> None:
    before = run("check", "--online", "--output", "table", env=narrow.env)
    _give_evil_the_right_to_create(narrow)

    checked = run("check", "--online", "--output", "table", env=narrow.env)
    migrated = run("migrate", "up", env=narrow.env)
    partitioned = run("retention", "partition", "--from", "2026-01-01T00:00:00Z", env=narrow.env)

    said = " ".join(checked.stdout.split())
    assert "others may create" not in before.stdout
    assert checked.returncode == EXIT_CONFIG and "others may create objects in it (evil)" in said, said
    assert migrated.returncode == EXIT_CONFIG and "(evil)" in migrated.stderr, migrated.stderr
    assert partitioned.returncode == EXIT_CONFIG and "(evil)" in partitioned.stderr, partitioned.stderr


@pytest.mark.key
def test_a_pooler_in_session_mode_works(narrow: Site) -> None:
    commands = [make.user(f"u-{n}") for n in range(50)] + [make.issue(f"k-{n}") for n in range(50)]
    with Pooler(narrow.stack.database_url, "session") as pooler:
        narrow.extra["CATALYST_DATABASE_URL"] = pooler.url
        checked = run("check", "--online", env=narrow.env)
        worker = narrow.start(CATALYST_LANES="2")
        narrow.process(commands)
        worker.stop()

    assert checked.returncode == EXIT_OK, checked.stdout
    narrow.check(Model().take_all(commands))


@pytest.mark.key
def test_a_pooler_in_transaction_mode_is_refused(narrow: Site) -> None:
    with Pooler(narrow.stack.database_url, "transaction") as pooler:
        narrow.extra["CATALYST_DATABASE_URL"] = pooler.url
        checked = run("check", "--online", env=narrow.env)
        started = run("run", env=narrow.env)

    assert checked.returncode == EXIT_CONFIG and "transaction mode" in checked.stdout, checked.stdout
    assert started.returncode == EXIT_CONFIG and "transaction mode" in started.stderr, started.stderr


@pytest.mark.key
def test_no_row_comes_into_the_schema_of_another_worker(narrow: Site) -> None:
    """The pooler changes its mode while two workers with a schema each are running."""
    other = narrow.sibling("other")
    workers = []
    with Pooler(narrow.stack.database_url, "session") as pooler:
        for site in (narrow, other):
            site.extra["CATALYST_DATABASE_URL"] = pooler.url
            workers.append(site.start(CATALYST_LANES="2"))
        narrow.process([make.user("u-first")])
        other.wait_done()
    with Pooler(narrow.stack.database_url, "transaction", pooler.port):
        # Whether a lane meets the session of another one is chance: then it says so and waits.
        for n in range(60):
            narrow.publish([make.user(f"u-{n}")])
    with Pooler(narrow.stack.database_url, "session", pooler.port):
        narrow.wait_done(120)
        other.wait_done(120)
        assert narrow.table("auth_users").keys() == other.table("auth_users").keys()
        assert len(narrow.table("auth_users")) == 61
        for worker in workers:
            worker.stop()
