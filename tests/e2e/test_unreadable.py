"""Records that can't be read: named while they hold their partition up, and skipped by an operator's word only."""

import json
from subprocess import CompletedProcess

import pytest
from confluent_kafka import Producer

from harness import make
from harness.model import Model
from harness.program import EXIT_DATA, EXIT_OK, EXIT_TRY_AGAIN, EXIT_USAGE, Worker, run
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, Record, audit_id_of

RECORDS = 300
RECORD_BYTES = 1_000_000  # of zeros: a batch of 300 MB that is some kilobytes long


def _publish_bomb(site: Site, topic: str, codec: str, records: int = RECORDS) -> list[str]:
    """One batch: what it holds is far more than it is long. The names of the errors that the brokers gave."""
    errors: list[str] = []
    producer = Producer(
        site.kafka.settings
        | {
            "compression.type": codec,
            "batch.size": 2**31 - 1,
            "batch.num.messages": records,
            "message.max.bytes": 900_000_000,
            "linger.ms": 60_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )
    for _ in range(records):
        producer.produce(
            site.topics[topic],
            value=bytes(RECORD_BYTES),
            partition=0,
            on_delivery=lambda error, _: errors.append(error.name()) if error else None,
        )
    assert producer.flush(60) == 0
    return sorted(set(errors))


def _unready(worker: Worker, text: str) -> str:
    wait_until(f"not ready: {text}", lambda: text in worker.get("/health/ready")[1], 60)
    return worker.get("/health/ready")[1]


def _skip(site: Site, to: int, *more: str, reason: str = "a bomb") -> CompletedProcess[str]:
    where = ("--topic", site.topics[IDENTITY], "--partition", "0", "--to", str(to))
    return run("skip", *where, "--reason", reason, *more, env=site.env)


def _skipped_events(site: Site) -> list[Record]:
    return [event for event in site.audit_records() if "partition.skipped" in (event.text("ce_type") or "")]


@pytest.mark.key
def test_a_batch_that_is_too_large_unpacked_is_named(narrow: Site) -> None:
    before, after, beside = make.user("before"), make.user("after"), make.issue("beside")
    narrow.publish([before])
    narrow.kafka.configure(narrow.topics[IDENTITY], {"compression.type": "producer"})
    assert _publish_bomb(narrow, IDENTITY, "zstd") == []
    narrow.publish([after, beside])

    worker = narrow.start(ready=False)

    topic = narrow.topics[IDENTITY]
    reason = _unready(worker, "_BAD_COMPRESSION")
    assert f"can not read {topic}, partition 0, offset 1 " in reason
    assert worker.get("/health/ready")[0] == 503 and worker.get("/health/live")[0] == 200
    labels = {"topic": topic, "partition": "0", "code": "_BAD_COMPRESSION"}
    assert worker.metric("catalyst_partition_stuck_offset", lane="0", **labels) == 1
    assert f"topic={topic} partition=0 offset=1 code=_BAD_COMPRESSION" in worker.log
    wait_until("the other topic goes on", lambda: "beside" in narrow.table("auth_keys"), 60)
    narrow.check_rows(Model().take_all([before, beside]))

    done = _skip(narrow, 1 + RECORDS)
    assert done.returncode == EXIT_OK, done.stderr
    assert json.loads(done.stdout) == {
        "topic": topic,
        "partition": 0,
        "from": 1,
        "to": 1 + RECORDS,
        "outcome": "skipped",
    }
    narrow.wait_done()
    wait_until("ready again", lambda: worker.get("/health/ready")[0] == 200, 30)
    assert narrow.table("auth_users").keys() == {"before", "after"}
    (event,) = _skipped_events(narrow)
    assert event.text("ce_causationid") == f"{topic}:0:1-{1 + RECORDS}"
    assert event.text("ce_id") == audit_id_of("catalyst-worker/skip", event.text("ce_causationid") or "")
    (row,) = narrow.sql("SELECT * FROM auth_audit_events WHERE action = 'partition.skipped'")
    assert row["category"] == "operations"
    assert row["metadata"] == {"from": 1, "to": 1 + RECORDS, "reason": "a bomb"}
    assert narrow.sql("SELECT * FROM catalyst_skip_requests") == []
    assert _skip(narrow, 1 + RECORDS).returncode == EXIT_DATA
    assert len(narrow.audit_by_id()) == 4


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_a_topic_that_keeps_nothing_compressed_refuses_a_bomb(narrow: Site, codec: str) -> None:
    """As `migrate up --topics` makes command topics: the brokers unpack the batch, and it is too large. (Of the large
    bomb the test's broker, with a heap of 512 MB, says UNKNOWN, and goes on.)"""
    assert _publish_bomb(narrow, IDENTITY, codec, records=40) == ["MSG_SIZE_TOO_LARGE"]

    narrow.start()
    user = make.user("u")
    narrow.process([user])
    narrow.check(Model().take_all([user]))


def test_check_finds_a_command_topic_that_takes_compressed_batches(narrow: Site) -> None:
    topic = narrow.topics[IDENTITY]

    def found() -> list[str]:
        done = run("check", "--online", "--output", "json", env=narrow.env)
        return [each["what"] for each in json.loads(done.stdout) if each["where"] == f"topic {topic}"]

    assert not any("compressed" in what for what in found())
    narrow.kafka.configure(topic, {"compression.type": "producer"})
    assert any("takes compressed batches" in what for what in found())


def test_skip_refuses_what_makes_no_sense(narrow: Site) -> None:
    narrow.publish([make.user(f"u-{n}") for n in range(3)])

    assert _skip(narrow, 4).returncode == EXIT_DATA  # behind the end
    assert _skip(narrow, 2, reason="").returncode == EXIT_USAGE
    assert run("skip", "--topic", "x", env=narrow.env).returncode == EXIT_USAGE
    foreign = ("--topic", narrow.audit, "--partition", "0", "--to", "1", "--reason", "r")
    assert run("skip", *foreign, env=narrow.env).returncode == EXIT_USAGE
    assert narrow.sql("SELECT * FROM catalyst_skip_requests") == []


def test_commands_that_can_be_read_are_not_skipped(narrow: Site) -> None:
    users = [make.user(f"u-{n}") for n in range(3)]
    narrow.publish(users)
    assert _skip(narrow, 2, "--wait", "0").returncode == EXIT_TRY_AGAIN

    narrow.start()
    narrow.wait_done()

    wait_until("no request", lambda: not narrow.sql("SELECT * FROM catalyst_skip_requests"), 30)
    narrow.check(Model().take_all(users))


def test_a_request_waits_for_a_replica_and_is_carried_out_once(narrow: Site) -> None:
    """The request is there before any replica, which dies on the way at each step. What it skips could be read,
    but the operator says that reading it ends the process."""
    narrow.publish([make.user(f"u-{n}") for n in range(3)])
    assert _skip(narrow, 2, "--unread", "--wait", "0").returncode == EXIT_TRY_AGAIN
    assert _skip(narrow, 2, "--unread", "--wait", "0").returncode == EXIT_TRY_AGAIN  # the same one
    assert "another request" in _skip(narrow, 1, "--unread", "--wait", "0").stderr

    for point in ("after_commit", "after_send_offsets", "after_kafka_commit"):
        worker = narrow.start(ready=False, http=False, WORKER_CRASH_POINT=f"{point}:1")
        assert worker.process.wait(60) == -9, point
    narrow.workers.clear()
    narrow.start()
    narrow.wait_done()

    assert len(_skipped_events(narrow)) == 1
    assert narrow.table("auth_users").keys() == {"u-2"}
    wait_until("no request", lambda: not narrow.sql("SELECT * FROM catalyst_skip_requests"), 30)
    assert {event.text("ce_causationid") for event in _skipped_events(narrow)} == {
        f"{narrow.topics[IDENTITY]}:0:0-2"
    }
