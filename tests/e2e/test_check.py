"""`check --online` names what others made of the database, exactly, and with the right exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness import program
from harness.program import EXIT_CONFIG, EXIT_OK, EXIT_UNAVAILABLE, run
from harness.site import Site


@pytest.fixture(scope="module")
def site(new_module_site: Callable[..., Site]) -> Site:
    return new_module_site(partitions=1)


def _errors(site: Site, **settings: str) -> tuple[int, list[str]]:
    done = run("check", "--online", "--output", "json", env=site.env | settings)
    return done.returncode, [each["what"] for each in json.loads(done.stdout) if each["level"] == "error"]


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        ("", True),
        ("CREATE POLICY part ON auth_users USING (id LIKE 'u%')", True),
        ("CREATE POLICY every ON auth_users USING (true)", False),
        ("CREATE POLICY every ON auth_users FOR SELECT USING (true)", True),
    ],
    ids=["no policy", "some rows", "every row", "every row to read"],
)
def test_row_level_security(narrow: Site, policy: str, refused: bool) -> None:
    """It binds a role that owns nothing."""
    narrow.as_runtime()
    before, none = _errors(narrow)
    narrow.sql("ALTER TABLE auth_users ENABLE ROW LEVEL SECURITY")
    if policy:
        narrow.sql(policy)

    code, errors = _errors(narrow)

    assert (before, none) == (EXIT_OK, [])
    assert code == (EXIT_CONFIG if refused else EXIT_OK), errors
    assert any("auth_users: row-level security" in error for error in errors) == refused


@pytest.mark.parametrize("table", ["auth_users", "auth_keys", "auth_audit_events"])
def test_a_column_that_nobody_fills(narrow: Site, table: str) -> None:
    narrow.sql(f"ALTER TABLE {table} ADD COLUMN filled text NOT NULL DEFAULT 'x', ADD COLUMN tenant text")
    before = _errors(narrow)
    narrow.sql(f"ALTER TABLE {table} ALTER COLUMN tenant SET NOT NULL")

    code, errors = _errors(narrow)

    assert before[0] == EXIT_OK, before
    assert code == EXIT_CONFIG
    (error,) = errors
    assert error.startswith(f"{table}.tenant: is NOT NULL")


def test_a_role_that_may_only_read(narrow: Site) -> None:
    url = narrow.env["CATALYST_DATABASE_URL"]
    joined = url + ("&" if "?" in url else "?") + "options=-c%20default_transaction_read_only%3Don"

    code, errors = _errors(narrow, CATALYST_DATABASE_URL=joined)

    assert code == EXIT_CONFIG
    assert any("read-only" in error for error in errors), errors


def test_a_database_in_another_encoding(narrow: Site) -> None:
    name = f"latin_{narrow.schema}"
    with psycopg.connect(narrow.admin_url(), autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}" ENCODING LATIN1 LC_COLLATE "C" LC_CTYPE "C" TEMPLATE template0')
        try:
            url = psycopg.conninfo.make_conninfo(narrow.admin_url(), dbname=name)
            code, errors = _errors(narrow, CATALYST_DATABASE_URL=url)
        finally:
            db.execute(f'DROP DATABASE "{name}"')

    assert code == EXIT_CONFIG
    assert any("encoding must be UTF8" in error for error in errors), errors


Change = Callable[[Site], str]


def _with(**options: str) -> Change:
    return lambda site: psycopg.conninfo.make_conninfo(site.env["CATALYST_DATABASE_URL"], **options)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_with(sslmode="require"), EXIT_CONFIG),
        (_with(sslmode="verify-full", sslrootcert="/nonexistent/ca.pem"), EXIT_CONFIG),
        (_with(user="nobody-of-that-name"), EXIT_CONFIG),
        (_with(dbname="no-such-database"), EXIT_CONFIG),
        (_with(port=str(program.free_port())), EXIT_UNAVAILABLE),
    ],
    ids=["TLS asked for", "no CA", "role", "database", "nobody listens"],
)
def test_what_keeps_it_from_the_database(narrow: Site, change: Change, code: int) -> None:
    """Settings are exit code 78, and only a server that does not answer is 69."""
    done = run("check", "--online", env=narrow.env | {"CATALYST_DATABASE_URL": change(narrow)})

    assert done.returncode == code, done.stdout


@pytest.mark.parametrize(
    ("mode", "refused"),
    [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (None, True)],
    ids=["600", "640 of root", "644", "660", "none"],
)
def test_a_key_file_that_libpq_refuses(site: Site, tmp_path: Path, mode: int | None, refused: bool) -> None:
    """Named without connecting, by the rule that libpq has."""
    key = tmp_path / "client.key"
    if mode is not None:
        key.write_text("key")
        key.chmod(mode)
    url = psycopg.conninfo.make_conninfo(site.env["CATALYST_DATABASE_URL"], sslkey=str(key))

    done = run("check", env=site.env | {"CATALYST_DATABASE_URL": url})

    assert done.returncode == (EXIT_CONFIG if refused else EXIT_OK), done.stdout
    assert ("database.url: sslkey: " in done.stdout) == refused
    assert str(key) not in done.stdout


def test_certificates_of_kafka_that_are_not_there(site: Site, tmp_path: Path) -> None:
    done = run("check", env=site.env | {"CATALYST_KAFKA_SSL_CA_LOCATION": str(tmp_path / "ca.pem")})

    assert done.returncode == EXIT_CONFIG, done.stdout
    assert "kafka.ssl.ca.location: the file can't be read" in done.stdout


def test_topics_that_were_made_a_moment_ago(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)
    env = site.env | {
        "CATALYST_COMMAND_TOPICS": f"{site.group}.late",
        "CATALYST_AUDIT_TOPIC": f"{site.group}.late-audit",
    }
    program.run_ok("migrate", "up", "--topics", env=env)

    assert run("check", "--online", env=env).returncode == EXIT_OK
