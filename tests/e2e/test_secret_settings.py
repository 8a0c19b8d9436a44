"""Passwords in settings: whatever is wrong with them, and whoever refuses them, no output repeats them.
What a terminal would act upon reaches none."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import make
from harness.program import BINARY, clean_environment, free_port, run
from harness.secured import SecuredBroker
from harness.site import Site
from harness.stack import Stack
from harness.wire import KEYS, Record

SECRET = "S3CRET-of-a-test"
EXIT_CONFIG = 78

BROKEN_URLS = {
    f"postgresql://u:p@{SECRET}@127.0.0.1:1/db": "percent-encoded",
    f"postgresql://u:1234/{SECRET}@127.0.0.1:1/db": "percent-encoded",
    f"postgresql://u:{SECRET}": "port: must be",
    f"host=127.0.0.1 port=1 sslmode=verify-fullpassword={SECRET}": "sslmode: must be",
    f"host=127.0.0.1 port=1 password=x {SECRET}": "neither a URI nor key=value pairs",
    f"host=127.0.0.1 port={SECRET}": "port: must be",
}


@pytest.mark.key
@pytest.mark.parametrize("url", BROKEN_URLS)
@pytest.mark.parametrize("verb", [("check",), ("run",), ("show", "user", "u1")], ids=lambda verb: verb[0])
def test_a_broken_url_is_refused_by_its_rule(stack: Stack, url: str, verb: tuple[str, ...]) -> None:
    env = {"CATALYST_DATABASE_URL": url, "CATALYST_KAFKA_BOOTSTRAP_SERVERS": stack.servers}

    done = run(*verb, env=env)

    assert done.returncode == EXIT_CONFIG, done.stderr
    said = done.stdout + done.stderr
    assert BROKEN_URLS[url] in said
    assert "S3CRET" not in said


def test_lines_of_the_file_are_joined_by_a_blank(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "worker.ini"
    file.write_text(
        "[database]\nurl = host=127.0.0.1 port=1 connect_timeout=1 sslmode=disable\n"
        f"  password={SECRET}{'x' * 300}\n"
        f"[kafka]\nbootstrap.servers = {stack.servers}\n"
    )

    done = run("show", "user", "u1", "--config", str(file), env={})

    assert done.returncode == 69, done.stderr  # understood: nobody listens there
    assert "S3CRET" not in done.stderr


def test_a_server_that_refuses_the_password(stack: Stack) -> None:
    """libpq's text and the server's, both of which quote what they were given, pass the filter."""
    for url in (
        # where the secret was taken for a user or a database, the server's message says it
        f"postgresql://{SECRET}:{SECRET}@{_address(stack)}/postgres",
        f"postgresql://catalyst:{SECRET}@{_address(stack)}/{SECRET}",
    ):
        env = {"CATALYST_DATABASE_URL": url, "CATALYST_KAFKA_BOOTSTRAP_SERVERS": stack.servers}

        for verb in (("show", "user", "u1"), ("check", "--online")):
            done = run(*verb, env=env)

            assert done.returncode == EXIT_CONFIG, done.stderr
            assert "***" in done.stdout + done.stderr
            assert "S3CRET" not in done.stdout + done.stderr


def _address(stack: Stack) -> str:
    return stack.database_url.rpartition("@")[2].partition("/")[0]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    broker = SecuredBroker(Path(tmp_path_factory.mktemp("secured")), ["worker"])
    try:
        yield broker.start()
    finally:
        broker.stop()


def test_a_broker_that_refuses_the_password(stack: Stack, broker: SecuredBroker) -> None:
    env = {
        "CATALYST_DATABASE_URL": stack.database_url,
        **broker.login("worker"),
        "CATALYST_KAFKA_SASL_USERNAME": SECRET,  # the broker's message and the library's name the user
        "CATALYST_KAFKA_SASL_PASSWORD": SECRET,
        "CATALYST_STARTUP_DEADLINE": "5s",
        "CATALYST_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
    }

    for verb in (("run",), ("check", "--online"), ("tail", "--count", "1")):
        done = run(*verb, env=env)

        assert done.returncode != 0
        assert "S3CRET" not in done.stdout + done.stderr


# --- terminals ---------------------------------------------------------------------------------

NASTY = "a\u009b31mb\u202ec\u2066d\x1be"
RAW = [b"\xc2\x9b", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\x1b"]


def _on_a_terminal(*arguments: str, env: dict[str, str]) -> bytes:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(BINARY), *arguments],
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([master], [], [], 0.2)[0]:
            try:
                said += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        elif process.poll() is not None:
            break
    os.close(master)
    assert process.wait(timeout=10) is not None
    return said


@pytest.fixture(scope="module")
def nasty(new_module_site: Callable[..., Site]) -> Site:
    site = new_module_site(partitions=1)
    site.start()
    user = make.user("nasty", {"displayName": "a\u202eb", "labels": {"x": "a\u009b31m\u2066"}})
    letter = Record(KEYS, NASTY.encode(), NASTY.encode(), [("x" + NASTY, NASTY.encode())])
    site.process([user, letter])
    return site


@pytest.mark.parametrize(
    "verb",
    [
        ("show", "user", "nasty"),
        ("show", "user", "nasty", "--output", "json"),
        ("tail", "--topic", "dlq", "--from", "beginning", "--count", "1"),
        ("tail", "--topic", "commands", "--from", "beginning", "--count", "2"),
        ("dlq", "ls"),
        ("dlq", "ls", "--output", "json"),
        ("show", "user", NASTY),
        (NASTY,),
        ("show", "user", "x", "--" + NASTY),
        ("show", "user", "x", "--set", f"{NASTY}=1"),
    ],
    ids=ascii,
)
def test_a_terminal_gets_nothing_it_would_act_upon(nasty: Site, verb: tuple[str, ...]) -> None:
    said = _on_a_terminal(*verb, env=nasty.env)

    assert said
    for raw in RAW:
        assert raw not in said


def test_a_pipe_gets_the_bytes_as_they_are(nasty: Site) -> None:
    done = run("show", "user", "nasty", env=nasty.env)

    assert "\u009b" in done.stdout and "\u202e" in done.stdout
