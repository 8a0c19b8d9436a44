"""Lag is the end of a partition's log minus the group's committed offset, and nothing else."""

from confluent_kafka import Producer

from harness import make
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.stack import Stack
from harness.wait import wait_until
from harness.wire import IDENTITY

LAG = "catalyst_consumer_lag_messages"


def _transactional(site: Site) -> Producer:
    producer = Producer(site.kafka.settings | {"transactional.id": f"{site.name}-upstream", "linger.ms": 5})
    producer.init_transactions(30)
    return producer


def _lags(worker: Worker) -> dict[str, float]:
    return {name: value for name, value in worker.metrics().items() if name.startswith(LAG)}


def test_aborted_records_and_control_records_at_the_end_are_no_lag(narrow: Site) -> None:
    commands = [make.user(f"user-{n}") for n in range(20)]
    topic = narrow.topics[IDENTITY]
    worker = narrow.start()
    producer = _transactional(narrow)
    producer.begin_transaction()
    for command in commands:
        record = narrow.place(command)
        producer.produce(topic, record.value, record.key, headers=[*record.headers])
    producer.commit_transaction(30)
    producer.begin_transaction()
    for _ in range(2000):
        producer.produce(topic, b"aborted")
    producer.flush(30)
    producer.abort_transaction(30)

    wait_until("the group is at the end", lambda: narrow.backlog() == 0, 30)

    assert narrow.kafka.end_offsets([topic])[topic, 0] == 20 + 1 + 2000 + 1
    wait_until("no lag", lambda: _lags(worker) and not any(_lags(worker).values()), 30)
    narrow.check(Model().take_all(commands))
    worker.stop()
    recorded = narrow.sql("SELECT max(recorded_offset) AS most FROM catalyst_consumer_offsets")
    assert recorded[0]["most"] == 2022
    after = narrow.start("after")
    narrow.process([make.user("last")])
    assert "moved past" not in after.log and "set back" not in after.log


def test_what_waits_for_postgresql_is_lag(narrow: Site, stack: Stack) -> None:
    topic = narrow.topics[IDENTITY]
    worker = narrow.start()
    narrow.process([make.user("before")])
    stack.run("stop-postgres")
    try:
        narrow.publish([make.user(f"meanwhile-{n}") for n in range(800)])
        wait_until("the lag is told", lambda: worker.metric(LAG, topic=topic, partition="0") == 800, 60)
    finally:
        stack.run("start-postgres")

    narrow.wait_done()
    wait_until("no lag", lambda: worker.metric(LAG, topic=topic) == 0, 30)


def test_a_lane_without_partitions_stands_by(narrow: Site) -> None:
    worker = narrow.start(CATALYST_LANES="3")
    narrow.process([make.user("user")])

    wait_until("ready", lambda: worker.get("/health/ready")[0] == 200, 30)

    counts = [worker.metric("catalyst_lane_partitions", lane=str(lane)) for lane in range(3)]
    assert sum(counts) == 2 and 0 in counts
    wait_until("the ends of both partitions are known", lambda: len(_lags(worker)) == 2, 30)


def test_a_replica_is_not_ready_before_the_group_has_told_its_partitions(narrow: Site) -> None:
    worker = narrow.start(ready=False)
    seen: list[str] = []

    def ready() -> bool:
        status, body = worker.get("/health/ready")
        seen.append(body)
        return status == 200

    wait_until("ready", ready, 60, 0.005)

    assert worker.metric("catalyst_lane_partitions") == 2
    assert any("polled yet" in body or "joining" in body for body in seen), seen[:3]
