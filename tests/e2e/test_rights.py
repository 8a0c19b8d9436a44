"""Rights in Kafka and PostgreSQL: what docs/operations.md and deploy/grants.sql list is enough, and what is
missing, or too much, is named.

On a broker of its own, with ACLs; the database is the stack's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from harness import make, program
from harness.model import Model
from harness.program import EXIT_CONFIG, EXIT_OK, Worker, run
from harness.secured import Right, SecuredBroker
from harness.site import RUNTIME, Site
from harness.stack import REPOSITORY, Stack
from harness.wait import wait_until
from harness.wire import IDENTITY, Command, Record

WORKER, OPERATOR, UPSTREAM = "worker", "operator", "upstream"
GARBAGE = Record(IDENTITY, b"x", b"\xc1", [("content-type", b"application/vnd.msgpack")])
LOGS = REPOSITORY / "build" / "test-logs" / "e2e"


class Secured:
    """An installation whose replicas come as user `worker`, with the rights of the documentation."""

    def __init__(self, broker: SecuredBroker, stack: Stack):
        self.broker = broker
        self.site = Site(f"rights-{uuid4().hex[:8]}", stack, broker.kafka, LOGS, partitions=1).create()
        self.site.as_runtime().extra |= broker.login(WORKER)
        self.commands: list[Command] = []
        self.garbage = 0
        self.mark = 0
        site = self.site
        self.identity, self.keys = site.topics.values()
        self.letters = [topic + site.dlq_suffix for topic in site.topics.values()]
        # As check and the lanes ask for them: <group>.<instance>.check, <group>.<instance>.0 ...
        self.instance = f"{site.name}-a"
        self.transactional = f"{site.group}.{self.instance}."
        self.rights = [
            Right("READ", "TOPIC", self.identity),
            Right("READ", "TOPIC", self.keys),
            Right("READ", "GROUP", site.group),
            Right("WRITE", "TOPIC", site.audit),
            *(Right("WRITE", "TOPIC", topic) for topic in self.letters),
            Right("WRITE", "TRANSACTIONAL_ID", self.transactional, prefixed=True),
        ]
        broker.grant(WORKER, *self.rights)

    def right(self, kind: str, name: str) -> Right:
        (found,) = [each for each in self.rights if (each.kind.name, each.name) == (kind, name)]
        return found

    @contextmanager
    def without(self, right: Right, *instead: Right) -> Iterator[None]:
        self.broker.revoke(WORKER, right)
        if instead:
            self.broker.grant(WORKER, *instead)
        try:
            yield
        finally:
            if instead:
                self.broker.revoke(WORKER, *instead)
            self.broker.grant(WORKER, right)

    def check(self) -> tuple[int, str]:
        env = self.site.env | {"CATALYST_INSTANCE_ID": self.instance}
        done = run("check", "--online", "--output", "table", env=env)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def start(self, ready: bool = True) -> Worker:
        log = self.site.logs / f"{self.instance}.log"
        self.mark = log.stat().st_size if log.exists() else 0
        worker = self.site.start(ready=False)
        return worker.wait_ready() if ready else worker

    def says(self, worker: Worker, *words: str) -> None:
        """A line of its log, since it was started or `mark` was set, has all of them."""

        def said() -> bool:
            log = worker.log_path.read_bytes()[self.mark :].decode(errors="replace")
            return any(all(word in line for word in words) for line in log.splitlines())

        wait_until(f"the log says {words}", said)

    def publish(self) -> None:
        """A command of each topic, and what is none."""
        number = len(self.commands)
        more = [make.user(f"u-{number}"), make.issue(f"k-{number}")]
        self.site.publish([*more, GARBAGE])
        self.commands += more
        self.garbage += 1

    def finished(self) -> None:
        """Everything that was published so far is behind the group, each once."""
        self.site.wait_done()
        self.site.check(Model().take_all(self.commands))
        assert len(self.site.dead_letters()) == self.garbage


@pytest.fixture(scope="module")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    broker = SecuredBroker(Path(tmp_path_factory.mktemp("secured")), [WORKER, OPERATOR, UPSTREAM])
    try:
        yield Secured(broker.start(), stack)
    finally:
        broker.stop()


@pytest.fixture(autouse=True)
def _nothing_left_running(secured: Secured) -> Iterator[None]:
    yield
    secured.site.abandon()


def test_what_the_documentation_lists_is_enough(secured: Secured) -> None:
    code, said = secured.check()
    assert code == EXIT_OK, said

    worker = secured.start()
    secured.publish()
    secured.finished()
    worker.stop()


# What is taken away, what is left in its place, and what check says.
CHECKED: dict[str, tuple[Callable[[Secured], tuple[Right, ...]], Callable[[Secured], str]]] = {
    "a command topic": (
        lambda s: (s.right("TOPIC", s.keys),),
        lambda s: f"{s.keys} may not be described",
    ),
    "reading a command topic": (
        lambda s: (s.right("TOPIC", s.keys), Right("DESCRIBE", "TOPIC", s.keys)),
        lambda s: f"read topic {s.keys}: Broker: Topic authorization failed",
    ),
    "the group": (
        lambda s: (s.right("GROUP", s.site.group),),
        lambda s: f"consumer group {s.site.group}: Broker: Group authorization failed",
    ),
    "the audit topic": (
        lambda s: (s.right("TOPIC", s.site.audit),),
        lambda s: f"{s.site.audit} may not be described",
    ),
    "a dead-letter topic": (
        lambda s: (s.right("TOPIC", s.letters[0]),),
        lambda s: f"{s.letters[0]} may not be described",
    ),
    "the transactional ids": (
        lambda s: (s.right("TRANSACTIONAL_ID", s.transactional),),
        lambda s: f"transactional ids {s.transactional}*: Broker: Transactional Id authorization failed",
    ),
    "writing with transactional ids": (
        lambda s: (
            s.right("TRANSACTIONAL_ID", s.transactional),
            Right("DESCRIBE", "TRANSACTIONAL_ID", s.transactional, prefixed=True),
        ),
        lambda s: f"transactional ids {s.transactional}*: Broker: Transactional Id authorization failed",
    ),
}


@pytest.mark.parametrize("what", CHECKED)
def test_check_names_the_right_that_is_missing(secured: Secured, what: str) -> None:
    rights, words = CHECKED[what]
    with secured.without(*rights(secured)):
        code, said = secured.check()

    assert code == EXIT_CONFIG and words(secured) in said, said


def test_a_wrong_password_is_a_setting_and_no_outage(secured: Secured) -> None:
    env = secured.site.env | {
        "CATALYST_KAFKA_SASL_PASSWORD": "another-secret",
        "CATALYST_STARTUP_DEADLINE": "3s",
    }
    checked = run("check", "--online", env=env)
    started = run("run", env=env, timeout_s=60)

    assert checked.returncode == EXIT_CONFIG, checked.stdout
    assert "_AUTHENTICATION" in checked.stdout
    assert started.returncode == EXIT_CONFIG, started.stderr
    assert "another-secret" not in checked.stdout + checked.stderr + started.stderr


def test_run_does_not_start_where_it_may_not_look(secured: Secured) -> None:
    with secured.without(secured.right("TOPIC", secured.site.audit)):
        env = secured.site.env | {"CATALYST_INSTANCE_ID": secured.instance}
        done = run("run", env=env, timeout_s=30)

    assert done.returncode == EXIT_CONFIG
    assert f"topics may not be described: {secured.site.audit}" in done.stderr


# What only doing it shows: the worker names it, loses nothing, and goes on once the right is there.
DONE: dict[str, tuple[Callable[[Secured], tuple[Right, Right]], Callable[[Secured], tuple[str, ...]]]] = {
    "reading a command topic": (
        lambda s: (s.right("TOPIC", s.identity), Right("DESCRIBE", "TOPIC", s.identity)),
        lambda s: ("TOPIC_AUTHORIZATION_FAILED", s.identity),
    ),
    "joining the group": (
        lambda s: (s.right("GROUP", s.site.group), Right("DESCRIBE", "GROUP", s.site.group)),
        lambda _: ("GROUP_AUTHORIZATION_FAILED", "JoinGroup failed"),
    ),
    "writing audit events": (
        lambda s: (s.right("TOPIC", s.site.audit), Right("DESCRIBE", "TOPIC", s.site.audit)),
        lambda s: (f'\\"{s.site.audit}\\"', "Topic authorization failed"),
    ),
    "writing dead letters": (
        lambda s: (s.right("TOPIC", s.letters[0]), Right("DESCRIBE", "TOPIC", s.letters[0])),
        lambda s: (f'\\"{s.letters[0]}\\"', "Topic authorization failed"),
    ),
    "writing with transactional ids": (
        lambda s: (
            s.right("TRANSACTIONAL_ID", s.transactional),
            Right("DESCRIBE", "TRANSACTIONAL_ID", s.transactional, prefixed=True),
        ),
        lambda _: ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "open the producer"),
    ),
}


@pytest.mark.parametrize("what", DONE)
def test_a_replica_names_what_it_may_not_do_and_goes_on(secured: Secured, what: str) -> None:
    rights, words = DONE[what]
    with secured.without(*rights(secured)):
        worker = secured.start(ready=False)
        secured.publish()
        secured.says(worker, *words(secured))

    secured.finished()
    worker.stop()


def test_a_right_that_goes_while_a_replica_runs(secured: Secured) -> None:
    worker = secured.start()
    secured.publish()
    secured.finished()

    audit = secured.site.audit
    with secured.without(secured.right("TOPIC", audit), Right("DESCRIBE", "TOPIC", audit)):
        secured.mark = worker.log_path.stat().st_size
        secured.publish()
        secured.says(worker, f'\\"{audit}\\"', "Topic authorization failed")
        wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503)

    secured.finished()
    worker.wait_ready().stop()


def test_an_operator_with_rights_of_their_own_handles_dead_letters(secured: Secured) -> None:
    site, broker = secured.site, secured.broker
    env = site.env | broker.login(OPERATOR)
    site.sql("ALTER TABLE auth_users ADD CONSTRAINT ban CHECK (display_name <> 'banned')")
    worker = secured.start()
    banned = make.user("banned", {"displayName": "banned"})
    site.process([banned])
    site.sql("ALTER TABLE auth_users DROP CONSTRAINT ban")

    refused = run("dlq", "ls", env=env)
    assert refused.returncode == EXIT_CONFIG and secured.letters[0] in refused.stderr, refused.stderr

    broker.grant(OPERATOR, *(Right("READ", "TOPIC", topic) for topic in secured.letters))
    (letter,) = program.run_json("dlq", "ls", "--stage", "apply", env=env)
    assert program.run_json("dlq", "show", letter["letter"], "--output", "json", env=env)

    steps = (
        ((), secured.identity),
        (
            [Right("WRITE", "TOPIC", topic) for topic in site.topics.values()],
            "Transactional Id authorization",
        ),
        ([Right("WRITE", "TRANSACTIONAL_ID", f"{site.group}.redrive")], "Topic authorization"),
    )
    for granted, words in steps:
        if granted:
            broker.grant(OPERATOR, *granted)
        refused = run("dlq", "redrive", "--stage", "apply", env=env)
        assert refused.returncode == EXIT_CONFIG and words in refused.stderr, refused.stderr
    broker.grant(OPERATOR, *(Right("WRITE", "TOPIC", topic) for topic in secured.letters))
    redriven = program.run_json("dlq", "redrive", "--stage", "apply", env=env)
    assert redriven["outcome"] == "redriven"
    site.wait_done()
    assert "banned" in site.table("auth_users")
    worker.stop()


def test_an_upstream_needs_to_write_on_the_command_topics(secured: Secured) -> None:
    site, broker = secured.site, secured.broker
    env = site.env | broker.login(UPSTREAM)
    line = '{"type": "dev.catalyst.key.revoke.v1", "id": "r", "source": "s", "data": {"id": "none"}}\n'

    assert run("publish", env=env, stdin=line).returncode != EXIT_OK
    broker.grant(UPSTREAM, *(Right("WRITE", "TOPIC", topic) for topic in site.topics.values()))
    assert run("publish", env=env, stdin=line).returncode == EXIT_OK


# --- PostgreSQL ------------------------------------------------------------------------------------


def _check(site: Site) -> tuple[int, str]:
    done = run("check", "--online", "--output", "table", env=site.env)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.key
def test_the_runtime_role_does_all_work(narrow: Site) -> None:
    """Also removals, partitions that the owner adds, skip requests, and every verb that reads."""
    commands = [*make.stream(300, seed=5), *(make.issue(f"many-{n}") for n in range(100))]
    assert program.run_json("retention", "partition", "--from", "2026-01-01T00:00:00Z", env=narrow.env)
    narrow.as_runtime()

    code, said = _check(narrow)
    narrow.start()
    narrow.process(commands)

    assert code == EXIT_OK and "the role" not in said, said
    narrow.check(Model().take_all(commands))
    assert program.run_json("show", "audit", env=narrow.env)


def test_the_runtime_role_can_not_rewrite_what_happened(narrow: Site) -> None:
    narrow.as_runtime()
    narrow.start()
    narrow.process([make.user("u-1")])

    for statement in (
        "UPDATE auth_audit_events SET action = 'user.deleted'",
        "DELETE FROM auth_audit_events",
        "TRUNCATE auth_audit_events",
        "ALTER TABLE auth_audit_events DISABLE TRIGGER ALL",
        "CREATE TABLE mine ()",
        "DELETE FROM auth_keys",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            narrow.sql(statement, url=narrow.env["CATALYST_DATABASE_URL"])


def test_check_names_a_privilege_that_is_missing_or_too_much(narrow: Site) -> None:
    owner = _check(narrow)
    narrow.as_runtime()
    narrow.sql(f"GRANT DELETE ON auth_audit_events TO {RUNTIME}")
    more = _check(narrow)
    narrow.sql(f"REVOKE DELETE ON auth_audit_events FROM {RUNTIME}")
    narrow.sql(f"REVOKE UPDATE ON auth_keys FROM {RUNTIME}")
    less = _check(narrow)
    narrow.grant()
    right = _check(narrow)

    assert "the role owns the tables" in owner[1], owner
    assert more[0] == EXIT_CONFIG and "may more than it needs: auth_audit_events: DELETE" in more[1], more
    assert less[0] == EXIT_CONFIG and "lacks a privilege: auth_keys: UPDATE" in less[1], less
    assert right[0] == EXIT_OK, right
