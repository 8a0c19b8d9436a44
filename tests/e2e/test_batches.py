"""A batch has to give what its commands give one by one, whatever its size."""

import pytest

from harness import make, scenarios
from harness.model import Model
from harness.site import Site
from harness.wire import Record


def _content(records: list[Record]) -> list[tuple[object, ...]]:
    return sorted((r.key, r.value, tuple(r.headers)) for r in records)


@pytest.mark.key
def test_in_batch_dependencies_are_settled_as_if_one_by_one(narrow: Site) -> None:
    commands = scenarios.told(scenarios.DEPENDENCIES)
    narrow.publish(commands)  # all there before the worker starts: one fetch, one batch

    worker = narrow.start()
    narrow.wait_done()

    narrow.check(Model().take_all(commands))
    batches = worker.metric("catalyst_batch_messages_count")
    assert batches < len(commands) / 10, f"{batches} batches of {len(commands)} commands test nothing"


@pytest.mark.parametrize("limits", [("1", "4194304"), ("7", "4194304"), ("2000", "65536")])
def test_batch_limits_do_not_change_the_outcome(narrow: Site, limits: tuple[str, str]) -> None:
    messages, size = limits
    stories = scenarios.DEPENDENCIES | scenarios.REJECTIONS
    commands = scenarios.told(stories)
    narrow.publish(commands)

    narrow.start(CATALYST_BATCH_MAX_MESSAGES=messages, CATALYST_BATCH_MAX_BYTES=size)
    narrow.wait_done(120)

    narrow.check(Model().take_all(commands))


def test_two_lanes_of_one_process_share_the_partitions(site: Site) -> None:
    commands = list(make.stream(3000, seed=11))

    site.start(CATALYST_LANES="2")
    site.process(commands)

    site.check(Model().take_all(commands))
    assert site.kafka.group_members(site.group) == 2


@pytest.mark.key
def test_a_stream_of_all_types_is_what_the_model_says(site: Site) -> None:
    commands = list(make.stream(5000, seed=7))
    model = Model().take_all(commands)

    site.publish(commands)
    worker = site.start(CATALYST_LANES="2")
    site.wait_done()

    site.check(model)
    assert worker.metric("catalyst_duplicates_total") == model.duplicates


def test_a_row_that_only_postgres_refuses_fails_alone(narrow: Site) -> None:
    """Another program's constraint, which no check of the worker knows, refuses one of many rows."""
    narrow.sql("ALTER TABLE auth_users ADD CONSTRAINT house_rule CHECK (display_name <> 'forbidden')")
    users = [make.user(f"u-{n}", {"displayName": "forbidden" if n == 137 else "fine"}) for n in range(300)]
    narrow.publish(users)

    narrow.start()
    narrow.wait_done()

    narrow.check(Model().take_all([u for u in users if u.data["displayName"] == "fine"]))
    (letter,) = narrow.dead_letters()
    assert letter.key == b"u-137" and letter.value == users[137].value()
    assert letter.text("__connect.errors.stage") == "TASK_PUT"
    message = letter.text("__connect.errors.exception.message") or ""
    assert "23514" in message and "forbidden" not in message
