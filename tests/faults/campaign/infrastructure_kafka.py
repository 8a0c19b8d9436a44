"""Checks of the cluster, on itself."""

from confluent_kafka import KafkaError, Producer

from .cluster import BROKEN_COORDINATOR, internal_partition
from .infrastructure_world import GROUP, TOPIC, TRANSACTIONAL_ID, World, in_thread, insist
from .processes import wait_until


def kafka_transaction(world: World) -> None:
    assert world.cluster.servers != world.cluster.direct
    world.cluster.create_topics({TOPIC: 3})
    assert world.cluster.topic_config(TOPIC)["min.insync.replicas"] == "2"
    world.produce_and_check("first")


def kafka_aborted_transaction(world: World) -> None:
    producer = world.producer()
    producer.begin_transaction()
    producer.produce(TOPIC, value="aborted", partition=0)
    producer.flush(30)
    insist(lambda: producer.abort_transaction(30))
    world.check_topic()


def kafka_kill_leader(world: World) -> None:
    cluster = world.cluster
    producer = world.producer()
    killed = cluster.leader(TOPIC, 0)
    cluster.kill(killed)
    assert killed not in cluster.up() and cluster.ailments()
    world.commit(producer, "without-leader")
    assert cluster.leader(TOPIC, 0) != killed
    cluster.start_broker(killed)
    cluster.wait_healthy()
    world.check_topic()


def kafka_kill_coordinators(world: World) -> None:
    cluster = world.cluster
    producer = world.producer()
    killed = cluster.transaction_coordinator(TRANSACTIONAL_ID)
    producer.begin_transaction()
    producer.produce(TOPIC, value="coordinator/0", partition=0)
    producer.flush(30)
    cluster.kill(killed)
    world.committed.append("coordinator/0")
    insist(lambda: producer.commit_transaction(30))
    assert cluster.transaction_coordinator(TRANSACTIONAL_ID) != killed
    cluster.start_broker(killed)
    cluster.wait_healthy()
    world.check_topic()


def kafka_pause(world: World) -> None:
    cluster = world.cluster
    producer = world.producer()
    paused = cluster.leader(TOPIC, 1)
    cluster.pause(paused)
    wait_until("another leads", lambda: cluster.leader(TOPIC, 1) != paused)
    world.commit(producer, "paused")
    cluster.resume(paused)
    cluster.wait_healthy()
    world.check_topic()


def kafka_orderly_stop(world: World) -> None:
    cluster = world.cluster
    stopped = cluster.controller()
    cluster.stop_broker(stopped)
    assert cluster.controller() != stopped
    world.produce_and_check("stopped")
    cluster.start_broker(stopped)
    cluster.wait_healthy()


def kafka_two_of_three_down(world: World) -> None:
    """Below min.insync.replicas, and without a majority of controllers, nothing is acknowledged."""
    cluster = world.cluster
    producer = Producer({"bootstrap.servers": cluster.servers, "acks": "all", "log_level": 0})
    cluster.kill(1)
    cluster.kill(2)
    acknowledged: list[KafkaError | None] = []
    producer.produce(TOPIC, value="late/2", partition=2, on_delivery=lambda e, _: acknowledged.append(e))
    assert producer.flush(3) == 1 and not acknowledged
    cluster.start_broker(1, wait=False)
    cluster.start_broker(2, wait=False)
    assert producer.flush(120) == 0 and acknowledged == [None]
    world.committed.append("late/2")
    cluster.wait_healthy()
    world.check_topic()


def kafka_move_leaders(world: World) -> None:
    cluster = world.cluster
    for to in cluster.brokers:
        cluster.move_leader(TOPIC, 0, to)
        assert cluster.leader(TOPIC, 0) == to
        cluster.move_transaction_coordinator(TRANSACTIONAL_ID, to)
        cluster.move_group_coordinator(GROUP, to)
        wait_until(
            "coordinators have moved",
            lambda to=to: (
                cluster.transaction_coordinator(TRANSACTIONAL_ID)  # type: ignore[misc]
                == cluster.group_coordinator(GROUP)
                == to
            ),
        )
    cluster.elect_all_preferred()
    world.produce_and_check("moved")


def kafka_restart_rolling(world: World) -> None:
    producer = world.producer()
    thread, failures = in_thread(world.cluster.restart_rolling)
    count = 0
    while thread.is_alive():
        world.commit(producer, f"rolling-{count}")
        count += 1
    assert not failures and count > 0, failures
    world.check_topic()


def kafka_restart_all(world: World) -> None:
    producer = world.producer()
    world.commit(producer, "before")
    world.cluster.restart_all()
    world.commit(producer, "after")
    world.check_topic()


def kafka_message_size(world: World) -> None:
    cluster = world.cluster
    producer = Producer({"bootstrap.servers": cluster.servers, "log_level": 0})
    refused = KafkaError.MSG_SIZE_TOO_LARGE

    def outcome() -> int | None:
        outcomes: list[KafkaError | None] = []
        producer.produce(TOPIC, value="x" * 5000, partition=0, on_delivery=lambda e, _: outcomes.append(e))
        assert producer.flush(60) == 0
        if outcomes[0] is None:
            world.committed.append("x" * 5000)
            return None
        return outcomes[0].code()

    assert outcome() is None
    cluster.limit_message_size(TOPIC, 1000)
    wait_until("large messages are refused", lambda: outcome() == refused)
    cluster.limit_message_size(TOPIC, None)
    wait_until("large messages are taken", lambda: outcome() is None)
    world.check_topic()


def kafka_topic_missing(world: World) -> None:
    cluster = world.cluster
    cluster.create_topics({"briefly": 2}, max_message_bytes="2000000")
    assert cluster.topic_config("briefly")["max.message.bytes"] == "2000000"
    cluster.delete_topic("briefly")
    assert "briefly" not in cluster.admin.list_topics(timeout=30).topics
    cluster.create_topics({"briefly": 2})
    cluster.delete_topic("briefly")


def kafka_broken_coordinator(world: World) -> None:
    """A broker whose log tells of it is started anew, once."""
    cluster = world.cluster
    assert cluster.restart_broken_coordinators() == []
    was = cluster.brokers[2].process.pid
    with cluster.brokers[2].process.log_path.open("a") as log:
        log.write(f"INFO [GroupCoordinator id=2] {BROKEN_COORDINATOR}-3 because ...\n")
    assert cluster.restart_broken_coordinators() == [2]
    assert cluster.brokers[2].process.pid != was and cluster.coordinators_broken == 1
    assert cluster.restart_broken_coordinators() == []
    world.produce_and_check("after the restart")


def kafka_internal_partition(world: World) -> None:
    """Our hash of a transactional id is the brokers'."""
    for number in range(10):
        key = f"hash-é-{number}"
        partition = internal_partition(key)
        expected = world.cluster.leader("__transaction_state", partition)
        assert world.cluster.transaction_coordinator(key) == expected
