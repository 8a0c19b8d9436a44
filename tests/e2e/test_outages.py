"""Dependencies that go away under load, or are not there at the start."""

from collections.abc import Iterator

import pytest

from harness import make, program
from harness.model import Model
from harness.program import EXIT_TRY_AGAIN
from harness.site import Site
from harness.stack import Stack
from harness.wait import wait_until
from harness.wire import KEYS, Record

COMMANDS = list(make.stream(6000, seed=21))


@pytest.fixture(autouse=True)
def everything_runs_again(stack: Stack) -> Iterator[None]:
    yield
    stack.run("start")


def _under_load(site: Site) -> None:
    site.publish_held(COMMANDS)
    wait_until("some are done", lambda: site.recorded() > 200, 30, 0.01)
    assert site.recorded() < len(COMMANDS) / 2, "too late to interrupt anything"


@pytest.mark.parametrize("verb", ["restart-postgres", "kill-postgres"])
def test_postgres_goes_away_under_load(site: Site, stack: Stack, verb: str) -> None:
    worker = site.start(CATALYST_LANES="2", CATALYST_BATCH_MAX_MESSAGES="50")
    _under_load(site)

    stack.run(verb)
    if verb == "kill-postgres":
        stack.run("start-postgres")
    site.wait_done(90)

    worker.wait_ready()
    site.check(Model().take_all(COMMANDS))


def test_the_broker_goes_away_under_load(site: Site, stack: Stack) -> None:
    """Restarted in order. Killed (SIGKILL), a broker without replicas has been seen to keep the group's
    offsets unstable for more than a minute, for any client that asks for stable ones."""
    worker = site.start(CATALYST_LANES="2", CATALYST_BATCH_MAX_MESSAGES="50")
    _under_load(site)

    stack.run("restart-kafka")
    site.wait_done(120)

    worker.wait_ready()
    site.check(Model().take_all(COMMANDS))


def test_while_postgres_is_away_it_is_live_not_ready_and_keeps_its_membership(
    narrow: Site, stack: Stack
) -> None:
    worker = narrow.start()
    narrow.process([make.user("before")])
    stack.run("stop-postgres")
    narrow.publish([make.user("meanwhile")])

    wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503, 30)
    assert worker.get("/health/live")[0] == 200
    assert narrow.kafka.group_members(narrow.group) == 1
    stack.run("start-postgres")
    worker.wait_ready()
    narrow.wait_done()

    assert worker.alive()
    assert set(narrow.table("auth_users")) == {"before", "meanwhile"}


def test_a_replica_ends_on_sigterm_although_a_command_topic_was_deleted(narrow: Site) -> None:
    """librdkafka 2.0.2 cannot take down a consumer that lost a topic while it read from it. One
    lane: while two share out their partitions, none may be read from."""
    worker = narrow.start(CATALYST_LANES="1", CATALYST_BATCH_MAX_MESSAGES="50")
    narrow.process([make.user("before")])
    for future in narrow.kafka.admin.delete_topics([narrow.topics[KEYS]]).values():
        future.result(30)
    wait_until("the lane notices", lambda: "UNKNOWN_TOPIC_OR_PART" in worker.log, 30)
    narrow.publish([make.user("after")])
    wait_until("the other topic is served", lambda: narrow.recorded() == 2, 60)

    worker.stop(20)

    assert "msg=stopped exit=0" in worker.log


def test_a_replica_whose_lane_hangs_ends_and_the_next_one_goes_on(narrow: Site) -> None:
    """A library that never comes back from a call, with a batch recorded and not published."""
    worker = narrow.start(
        CATALYST_LANES="2",
        CATALYST_KAFKA_MAX_POLL_INTERVAL_MS="10000",
        WORKER_CRASH_POINT="after_produced:1:hang",
    )
    commands = COMMANDS[:200]
    narrow.publish(commands)

    assert worker.wait(40) == EXIT_TRY_AGAIN
    narrow.workers.remove(worker)  # which may only have ended in order

    assert 'msg="a lane hangs; the process ends"' in worker.log
    narrow.start()
    narrow.wait_done()
    narrow.check(Model().take_all(commands))


def test_while_the_broker_is_away_it_is_live_and_not_ready(narrow: Site, stack: Stack) -> None:
    worker = narrow.start()
    stack.run("stop-kafka")

    wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503, 30)
    assert worker.get("/health/live")[0] == 200
    stack.run("start-kafka")
    worker.wait_ready()
    narrow.process([make.user("after")])

    assert set(narrow.table("auth_users")) == {"after"}


@pytest.mark.parametrize("started", ["before", "then"])
def test_a_topic_that_takes_next_to_nothing_is_waited_for(narrow: Site, started: str) -> None:
    """Also by a replica that starts then: it neither gives up nor buries or cuts what would fit
    otherwise, then or later."""
    topics = [narrow.audit, narrow.topics[KEYS] + narrow.dlq_suffix]
    if started == "before":
        narrow.start()
        narrow.process([make.issue("k0")])
    for topic in topics:
        narrow.kafka.limit_record_size(topic, 200)
    checked = program.run("check", "--online", env=narrow.env)
    assert (
        checked.returncode == program.EXIT_CONFIG and "max.message.bytes" in checked.stdout + checked.stderr
    )
    commands = [make.issue("k1"), make.issue("k2")]
    large = [Record(KEYS, b"k1", b"\xc1" * size, []) for size in (300_000, 400_000)]
    narrow.publish([*commands, large[0]])
    worker = narrow.workers[0] if narrow.workers else narrow.start()
    wait_until("waits", lambda: "MSG_SIZE_TOO_LARGE" in worker.get("/health/ready")[1], 30)
    assert narrow.dead_letters(KEYS) == []

    for topic in topics:
        narrow.kafka.limit_record_size(topic, 1_000_000)
    narrow.wait_done()
    narrow.process([large[1]])

    worker.wait_ready()
    assert [letter.value for letter in narrow.dead_letters(KEYS)] == [each.value for each in large]
    before = [make.issue("k0")] if started == "before" else []
    assert set(narrow.table("auth_keys")) == {str(each.data["id"]) for each in [*before, *commands]}


def test_a_limit_that_is_lowered_while_a_replica_runs_is_kept(narrow: Site) -> None:
    """Also for sets of records: what is together larger goes out in parts."""
    limit, size = 20_000, 50_000
    worker = narrow.start(CATALYST_BATCH_MAX_MESSAGES="1000")
    narrow.process([make.issue("first")])
    narrow.kafka.limit_record_size(narrow.audit, limit)
    narrow.kafka.limit_record_size(narrow.topics[KEYS] + narrow.dlq_suffix, limit)
    commands = [make.issue(f"k{n}") for n in range(500)]

    narrow.process([*commands, Record(KEYS, b"k", b"\xc1" * size, [])])

    worker.wait_ready()
    assert len(narrow.table("auth_keys")) == 1 + len(commands)
    assert len(narrow.audit_by_id()) == 1 + len(commands)
    (letter,) = narrow.dead_letters(KEYS)
    assert letter.header("catalyst-dlq-truncated") == str(size).encode()
    assert limit / 2 < len(letter.value or b"") < limit


def test_a_stop_while_postgres_is_away(narrow: Site, stack: Stack) -> None:
    worker = narrow.start()
    stack.run("stop-postgres")
    narrow.publish([make.user("u")])
    wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503, 30)

    worker.stop()

    assert narrow.backlog() == 1
    stack.run("start-postgres")
    narrow.start("next")
    narrow.wait_done()
    assert set(narrow.table("auth_users")) == {"u"}


def test_a_stop_while_the_broker_is_away(narrow: Site, stack: Stack) -> None:
    worker = narrow.start()
    stack.run("stop-kafka")
    wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503, 30)

    worker.stop()


@pytest.mark.parametrize("dependency", ["database", "broker"])
def test_a_dependency_that_stays_away_at_the_start_is_exit_69(narrow: Site, dependency: str) -> None:
    nowhere = f"127.0.0.1:{program.free_port()}"
    env = {
        "database": {"CATALYST_DATABASE_URL": f"postgresql://catalyst@{nowhere}/catalyst"},
        "broker": {"CATALYST_KAFKA_BOOTSTRAP_SERVERS": nowhere},
    }[dependency]

    done = program.run("run", env=narrow.env | env | {"CATALYST_STARTUP_DEADLINE": "2"}, timeout_s=30)

    assert done.returncode == program.EXIT_UNAVAILABLE, done.stderr
    assert done.stderr.strip()


def test_a_database_that_comes_late_is_waited_for(narrow: Site, stack: Stack) -> None:
    narrow.publish([make.user("u")])
    stack.run("stop-postgres")
    worker = narrow.start(ready=False)
    wait_until("it waits", lambda: worker.get("/health/live")[0] == 200 or worker.log, 30)
    assert worker.get("/health/ready")[0] != 200
    stack.run("start-postgres")

    worker.wait_ready()
    narrow.wait_done()

    assert set(narrow.table("auth_users")) == {"u"}


def test_a_table_that_disappears_and_comes_back(narrow: Site) -> None:
    """An operator's accident: the worker waits, not ready, and goes on once it is mended."""
    worker = narrow.start()
    narrow.process([make.user("before")])
    narrow.sql("ALTER TABLE auth_users RENAME TO auth_users_away")
    narrow.publish([make.user("meanwhile")])
    wait_until("not ready", lambda: worker.get("/health/ready")[0] == 503, 30)
    narrow.sql("ALTER TABLE auth_users_away RENAME TO auth_users")

    worker.wait_ready()
    narrow.wait_done()

    assert set(narrow.table("auth_users")) == {"before", "meanwhile"}
    assert narrow.dead_letters() == []
