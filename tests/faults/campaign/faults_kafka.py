"""Faults of the brokers. Every topic has three replicas and needs two of them."""

import time
from collections.abc import Callable, Iterable

from confluent_kafka import Producer

from .faults import (
    BROKER_HANGS,
    BROKER_KILLED,
    BROKERS_RESTARTED,
    RECOVERY_S,
    Fault,
    Stage,
)
from .installation import PARTITIONS
from .processes import wait_until


def _kill(pick: Callable[[Stage], int]) -> Callable[[Stage], str]:
    def act(stage: Stage) -> str:
        number = pick(stage)
        stage.cluster.kill(number)
        gone = stage.watch.mark()
        said = stage.measure(BROKER_KILLED, stage.watch.served(gone, RECOVERY_S))
        stage.hold(0.5, 3)
        stage.cluster.start_broker(number)
        return f"kafka-{number}, {said}, in sync after {_healthy(stage):.1f} s"

    return act


def _pause(pick: Callable[[Stage], int]) -> Callable[[Stage], str]:
    def act(stage: Stage) -> str:
        number = pick(stage)
        stage.cluster.pause(number)
        gone = stage.watch.mark()
        try:
            said = stage.measure(BROKER_HANGS, stage.watch.served(gone, RECOVERY_S))
            stage.hold(0.5, 3)
        finally:
            stage.cluster.resume(number)
        return f"kafka-{number}, {said}, in sync after {_healthy(stage):.1f} s"

    return act


def _pause_briefly(stage: Stage) -> str:
    """Not long enough for the others to notice: it goes on where it was."""
    for _ in range(3):
        number = _transaction_coordinator(stage)
        stage.cluster.pause(number)
        stage.hold(0.3, 2)
        stage.cluster.resume(number)
        stage.hold(0.3, 1)
    _healthy(stage)
    return "three times"


def _leader(stage: Stage) -> int:
    """Of a partition of the audit topic."""
    partition = stage.chance.randrange(PARTITIONS)
    return stage.cluster.leader(stage.installation.names.audit, partition)


def _group_coordinator(stage: Stage) -> int:
    return stage.cluster.group_coordinator(stage.installation.names.group)


def _transactional_id(stage: Stage) -> str:
    instance = stage.fleet.any_free(stage.chance).instance
    return stage.installation.transactional_id(instance)


def _transaction_coordinator(stage: Stage) -> int:
    return stage.cluster.transaction_coordinator(_transactional_id(stage))


def _move_leaders(stage: Stage) -> str:
    names = stage.installation.names
    topics = [names.audit, *names.commands.values(), *names.dead_letters]
    moves = 4 if stage.short else 10
    for _ in range(moves):
        topic, partition = stage.chance.choice(topics), stage.chance.randrange(PARTITIONS)
        stage.cluster.move_leader(topic, partition, _another(stage, topic, partition))
        stage.hold(0.1, 0.5)
    stage.cluster.elect_all_preferred()
    return f"{moves} leaders moved"


def _another(stage: Stage, topic: str, partition: int) -> int:
    was = stage.cluster.leader(topic, partition)
    return stage.chance.choice([number for number in stage.cluster.brokers if number != was])


def _move_coordinators(stage: Stage) -> str:
    """While transactions commit, all the time."""
    moves = 3 if stage.short else 6
    for _ in range(moves):
        transactional_id, group = _transactional_id(stage), stage.installation.names.group
        stage.cluster.move_transaction_coordinator(
            transactional_id, stage.chance.choice(list(stage.cluster.brokers))
        )
        stage.cluster.move_group_coordinator(group, stage.chance.choice(list(stage.cluster.brokers)))
        stage.hold(0.2, 1)
    return f"both moved {moves} times"


def _rolling_restart(stage: Stage) -> str:
    since = time.monotonic()
    stage.cluster.restart_rolling()
    return f"took {time.monotonic() - since:.0f} s"


def _restart_all(stage: Stage) -> str:
    stage.cluster.restart_all()
    back = stage.watch.mark()
    return stage.measure(BROKERS_RESTARTED, stage.watch.served(back, RECOVERY_S))


def _kill_all(stage: Stage) -> str:
    """As when a room loses its power: no broker hands anything over."""
    for number in stage.cluster.brokers:
        stage.cluster.kill(number)
    stage.hold(0.5, 2)
    for number in stage.cluster.brokers:
        stage.cluster.start_broker(number, wait=False)
    _healthy(stage)
    back = stage.watch.mark()
    return stage.measure(BROKERS_RESTARTED, stage.watch.served(back, RECOVERY_S))


def _dead_letter_topic_missing(stage: Stage) -> str:
    """The dead-letter topic of the spare command topic is away while dead letters are due. What was
    in it has been judged by then; those that are due must be there once it is back, each once."""
    names = stage.installation.names
    stage.cluster.delete_topic(names.spare_dead_letters)
    values = [f"no command {stage.chance.getrandbits(64):x}".encode() for _ in range(20)]
    _publish(stage, values)
    away = stage.hold()
    stage.cluster.create_topics({names.spare_dead_letters: 1})
    kafka = stage.installation.kafka
    spare = (names.spare, 0)

    def settled() -> bool:
        end = kafka.end_offsets([names.spare])[spare]
        return kafka.committed(names.group, [names.spare])[spare] >= end

    wait_until("the dead letters are behind the group", settled, RECOVERY_S, 0.2)
    letters = [record.value for record in kafka.read_committed(names.spare_dead_letters)]
    if letters != values:
        stage.find(
            "dead letters",
            f"{len(values)} due while their topic was missing, {len(letters)} found,"
            f" {len(set(values) - set(letters))} missing",
        )
    return f"away {away:.1f} s, {len(letters)} dead letters came all the same"


def _publish(stage: Stage, values: Iterable[bytes]) -> None:
    producer = Producer(
        {"bootstrap.servers": stage.cluster.direct, "enable.idempotence": True, "log_level": 0}
    )
    for value in values:
        producer.produce(stage.installation.names.spare, value=value)
    assert producer.flush(60) == 0


def _command_topic_missing(stage: Stage) -> str:
    """One of the topics that every lane has subscribed to; nothing is on it that could be lost."""
    names = stage.installation.names
    stage.cluster.delete_topic(names.spare)
    away = stage.hold()
    stage.cluster.create_topics({names.spare: 1})
    return f"away {away:.1f} s"


def _too_large(stage: Stage) -> str:
    """The broker's limit, below what was promised: nothing gets through until it is lifted."""
    names = stage.installation.names
    topics = [names.audit, *names.dead_letters]
    for topic in topics:
        stage.cluster.limit_message_size(topic, 200)
    stage.hold(3, 6)
    for topic in topics:
        stage.cluster.limit_message_size(topic, None)
    return "200 bytes for a while"


def _healthy(stage: Stage) -> float:
    """Waits for it, and gives the leaders their partitions back; how long it took."""
    since = time.monotonic()
    stage.cluster.wait_healthy()
    took = time.monotonic() - since
    stage.cluster.restart_broken_coordinators()
    stage.cluster.elect_all_preferred()
    return took


FAULTS = [
    Fault("kafka-kill-leader", "the leader of an audit partition, by SIGKILL", _kill(_leader)),
    Fault("kafka-kill-group-coordinator", "by SIGKILL", _kill(_group_coordinator)),
    Fault(
        "kafka-kill-transaction-coordinator",
        "by SIGKILL, during commits",
        _kill(_transaction_coordinator),
        telling=True,
    ),
    Fault("kafka-pause-leader", "a broker hangs, and goes on", _pause(_leader)),
    Fault("kafka-pause-group-coordinator", "the same", _pause(_group_coordinator)),
    Fault(
        "kafka-pause-transaction-coordinator",
        "the same, during commits",
        _pause(_transaction_coordinator),
    ),
    Fault("kafka-pause-briefly", "it goes on before the others notice", _pause_briefly),
    Fault("kafka-move-leaders", "of audit, command and dead-letter topics", _move_leaders),
    Fault("kafka-move-coordinators", "of group and transactions", _move_coordinators),
    Fault("kafka-restart-rolling", "one broker after the other", _rolling_restart),
    Fault("kafka-restart-all", "all brokers at once, in order", _restart_all),
    Fault("kafka-kill-all", "all brokers at once, by SIGKILL", _kill_all),
    Fault(
        "kafka-dead-letter-topic-missing",
        "while dead letters are due",
        _dead_letter_topic_missing,
    ),
    Fault("kafka-command-topic-missing", "and made anew", _command_topic_missing),
    Fault("kafka-message-too-large", "for the brokers' limit", _too_large),
]
