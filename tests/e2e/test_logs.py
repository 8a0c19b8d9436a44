"""The log of a command topic goes back, or is cut before it was read: nothing is lost without a word."""

import time
from collections.abc import Callable

from confluent_kafka import TopicPartition

from harness import make
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, Command

GONE_BACK = "the log of a partition went back; all that it holds is read again"
OVERTAKEN = "records were removed from a command topic before they were read"


def _users(name: str, count: int) -> list[Command]:
    return [make.user(f"{name}-{n}") for n in range(count)]


def _make_anew(site: Site) -> None:
    topic = site.topics[IDENTITY]
    for future in site.kafka.admin.delete_topics([topic]).values():
        future.result(30)

    def created() -> bool:
        try:
            site.kafka.create_topics({topic: site.kafka.partitions(topic)})
        except Exception as error:
            assert "already exists" in str(error), error
            return False
        return True

    wait_until("the topic is made anew", created, 30)


def _all_applied(site: Site, commands: list[Command], deadline_s: float = 90) -> None:
    wait_until(f"{len(commands)} commands are recorded", lambda: site.recorded() == len(commands), deadline_s)
    site.wait_done()
    site.check(Model().take_all(commands))


def _line_of(worker: Worker, message: str, *facts: str) -> bool:
    return any(message in line and all(fact in line for fact in facts) for line in worker.log.splitlines())


def test_a_topic_that_is_made_anew_under_a_running_replica(narrow: Site) -> None:
    old, new, more = _users("old", 400), _users("new", 40), _users("more", 1200)
    worker = narrow.start(CATALYST_LANES="1")
    narrow.process(old)

    _make_anew(narrow)
    narrow.publish(new)
    wait_until("the new ones are recorded", lambda: narrow.recorded() == 440, 90)
    narrow.publish(more)

    _all_applied(narrow, old + new + more)
    assert worker.alive()


def test_a_topic_that_is_made_anew_and_grows_past_the_position_at_once(narrow: Site) -> None:
    old, new = _users("old", 40), _users("new", 1200)
    worker = narrow.start(CATALYST_LANES="1")
    narrow.process(old)
    time.sleep(1)  # what was published is confirmed: the lane has nothing more to ask

    _make_anew(narrow)
    narrow.publish(new)

    _all_applied(narrow, old + new)
    assert _line_of(worker, GONE_BACK, "partition=0", "position=40", "first=0", "level=error")


def test_a_topic_that_is_made_anew_while_no_replica_runs(narrow: Site) -> None:
    old, new = _users("old", 40), _users("new", 60)
    narrow.start("before", CATALYST_LANES="1")
    narrow.process(old)
    narrow.workers[0].stop()

    _make_anew(narrow)
    narrow.publish(new)
    worker = narrow.start("after", CATALYST_LANES="1")

    _all_applied(narrow, old + new)
    assert _line_of(worker, "the group has no offset of a partition", "partition=0", "recorded=40")


def test_two_replicas_while_the_topic_is_made_anew(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=4)
    old, new = _users("old", 400), _users("new", 400)
    replicas = [site.start(name) for name in ("a", "b")]
    site.process(old)

    _make_anew(site)
    site.publish(new)

    _all_applied(site, old + new)
    assert all(replica.alive() for replica in replicas)


def test_the_groups_offset_lies_past_the_end_of_the_log(narrow: Site) -> None:
    first, second = _users("first", 30), _users("second", 80)
    topic = narrow.topics[IDENTITY]
    narrow.publish(first)
    narrow.kafka.reset_group(narrow.group, {(topic, 0): 100})

    worker = narrow.start(CATALYST_LANES="1")
    wait_until("it is said", lambda: _line_of(worker, GONE_BACK, "position=100", "end=30"), 30)
    narrow.publish(second)

    _all_applied(narrow, first + second)
    assert _line_of(worker, GONE_BACK, f"topic={topic}", "partition=0", "first=0", "level=error")
    assert worker.metric("catalyst_kafka_logs_gone_back_total") == 1


def test_what_was_applied_before_the_log_went_back_is_not_applied_or_published_again(
    narrow: Site,
) -> None:
    """As after a restore of the brokers: the old commands are in the log once more, and new ones
    follow at offsets that others had."""
    old, new = _users("old", 300), _users("new", 200)
    topic = narrow.topics[IDENTITY]
    narrow.start("before", CATALYST_LANES="1")
    narrow.process(old)
    narrow.workers[0].stop()
    _make_anew(narrow)
    narrow.publish(old[:100])
    narrow.kafka.reset_group(narrow.group, {(topic, 0): 300})

    worker = narrow.start("after", CATALYST_LANES="1")
    wait_until("it is said", lambda: _line_of(worker, GONE_BACK, "position=300", "end=100"), 30)
    narrow.publish(new)

    _all_applied(narrow, old + new)


def test_retention_removes_records_that_nobody_read(narrow: Site) -> None:
    read, unread = _users("read", 10), _users("unread", 100)
    topic = narrow.topics[IDENTITY]
    narrow.start("before", CATALYST_LANES="1")
    narrow.process(read)
    narrow.workers[0].stop()
    narrow.publish(unread)
    for future in narrow.kafka.admin.delete_records([TopicPartition(topic, 0, 100)]).values():
        future.result(30)

    worker = narrow.start("after", CATALYST_LANES="1")

    _all_applied(narrow, read + unread[90:])
    assert _line_of(
        worker, OVERTAKEN, f"topic={topic}", "partition=0", "position=10", "first=100", "removed=90"
    )
    assert worker.metric("catalyst_kafka_records_removed_unread_total") == 90


def test_a_group_that_has_read_nothing_says_what_was_removed(narrow: Site) -> None:
    commands = _users("unread", 100)
    narrow.publish(commands)
    topic = narrow.topics[IDENTITY]
    for future in narrow.kafka.admin.delete_records([TopicPartition(topic, 0, 90)]).values():
        future.result(30)

    worker = narrow.start(CATALYST_LANES="1")

    _all_applied(narrow, commands[90:])
    assert _line_of(worker, OVERTAKEN, "position=0", "first=90", "removed=90")
