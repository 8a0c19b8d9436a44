"""Records that can't be read: named while they hold their partition up, and skipped by an operator's word only."""

from confluent_kafka import Producer

from harness import make
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY

RECORDS = 300
RECORD_BYTES = 1_000_000  # of zeros: a batch of 300 MB that is some kilobytes long


def _publish_bomb(site: Site, topic: str, codec: str) -> None:
    """One batch: what it holds is far more than it is long."""
    producer = Producer(
        site.kafka.settings
        | {
            "compression.type": codec,
            "batch.size": 2**31 - 1,
            "batch.num.messages": RECORDS,
            "message.max.bytes": 900_000_000,
            "linger.ms": 60_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )
    for _ in range(RECORDS):
        producer.produce(site.topics[topic], value=bytes(RECORD_BYTES), partition=0)
    assert producer.flush(60) == 0


def _unready(worker: Worker, text: str) -> str:
    wait_until(f"not ready: {text}", lambda: text in worker.get("/health/ready")[1], 60)
    return worker.get("/health/ready")[1]


def test_a_batch_that_is_too_large_unpacked_is_named(narrow: Site) -> None:
    before, after, beside = make.user("before"), make.user("after"), make.issue("beside")
    narrow.publish([before])
    _publish_bomb(narrow, IDENTITY, "zstd")
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
