"""Messages that cannot be taken cost little, block nothing and end."""

from itertools import cycle, islice
from math import ceil, log2

import pytest

from harness import make
from harness.malformed import CASES
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, KEYS, Command, Record

BATCH = 2000  # of the settings' defaults: messages in one transaction


def _house_rule(site: Site) -> None:
    """A constraint of another program: only PostgreSQL knows that these users cannot be."""
    site.sql("ALTER TABLE auth_users ADD CONSTRAINT house_rule CHECK (display_name <> 'forbidden')")


def _forbidden(user_id: str) -> Command:
    return make.user(user_id, {"displayName": "forbidden"})


def _transactions(worker: Worker) -> float:
    return worker.metric("catalyst_step_duration_seconds_count", step="find")


def _origins(letters: list[Record]) -> set[tuple[str | None, ...]]:
    fields = ("topic", "partition", "offset")
    return {tuple(letter.text(f"__connect.errors.{field}") for field in fields) for letter in letters}


@pytest.mark.key
def test_one_bad_row_among_thousands_costs_a_logarithm(narrow: Site) -> None:
    _house_rule(narrow)
    users: list[Command] = [make.user(f"u-{n}") for n in range(3000)]
    users[1234] = _forbidden("u-1234")
    placed = narrow.publish(users)  # all there before the worker starts: whole batches

    worker = narrow.start()
    narrow.wait_done(120)

    narrow.check(Model().take_all([user for user in users if user.data["id"] != "u-1234"]))
    (letter,) = narrow.dead_letters()
    assert letter.value == placed[1234].value and letter.key == b"u-1234"
    splits = worker.metric("catalyst_batch_bisections_total")
    assert 1 <= splits <= ceil(log2(BATCH))
    batches = worker.metric("catalyst_batches_total")
    assert _transactions(worker) <= batches + 2 * splits
    assert worker.metric("catalyst_database_transaction_retries_total") == 0


@pytest.mark.key
def test_a_batch_of_only_bad_rows_ends(narrow: Site) -> None:
    _house_rule(narrow)
    count = 300
    bad = [_forbidden(f"u-{n}") for n in range(count)]
    last = make.user("u-last")
    placed = narrow.publish([*bad, last])

    worker = narrow.start()
    narrow.wait_done(120)

    narrow.check(Model().take_all([last]))
    letters = narrow.dead_letters()
    assert [letter.value for letter in letters] == [record.value for record in placed[:-1]]
    # Splitting n to the last makes 2n - 1 ranges; every batch has its first.
    assert _transactions(worker) <= 2 * (count + 1) + worker.metric("catalyst_batches_total")


def test_a_message_that_fails_by_itself_ends_after_a_minute(narrow: Site) -> None:
    """A trigger of the installation that fails for one user with a code of its own: no refusal, and no outage."""
    narrow.sql(
        "CREATE FUNCTION house_rule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.display_name = 'forbidden' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ001'; END IF;"
        " RETURN NEW; END $$"
    )
    narrow.sql(
        "CREATE TRIGGER house_rule BEFORE INSERT ON auth_users FOR EACH ROW EXECUTE FUNCTION house_rule()"
    )
    users: list[Command] = [make.user("u-0"), _forbidden("u-1"), make.user("u-2")]
    worker = narrow.start()
    placed = narrow.publish(users)
    at = f"with {narrow.topics[IDENTITY]}, partition 0, offset {placed[1].offset} "
    wait_until("a reason", lambda: f"(ZZ001) {at}" in worker.get("/health/ready")[1], 30)
    narrow.wait_done(120)

    (letter,) = narrow.dead_letters()
    assert letter.text("__connect.errors.stage") == "TASK_PUT"
    assert letter.text("__connect.errors.offset") == str(placed[1].offset)
    reason = letter.text("__connect.errors.exception.message")
    assert reason == "fails with SQLSTATE ZZ001, and nothing fails without it"
    narrow.check(Model().take_all([users[0], users[2]]))
    assert "a message fails by itself" in worker.log
    assert worker.get("/health/ready")[0] == 200


def test_readiness_tells_why_a_lane_waits(narrow: Site) -> None:
    """A trigger that says what a full disk says: nothing is buried, and all goes on when it is gone."""
    narrow.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$"
    )
    narrow.sql(
        "CREATE TRIGGER full_disk BEFORE INSERT ON auth_users FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    users = [make.user(f"u-{n}") for n in range(50)]
    worker = narrow.start()
    narrow.publish(users)

    reason = "lane 0 waits for postgresql (53100) with "
    wait_until("a reason", lambda: reason in worker.get("/health/ready")[1], 60)
    assert worker.get("/health/ready")[0] == 503
    assert worker.get("/health/live")[0] == 200
    narrow.sql("DROP FUNCTION full_disk CASCADE")
    narrow.wait_done()

    narrow.check(Model().take_all(users))
    assert narrow.dead_letters() == []
    assert worker.get("/health/ready")[0] == 200


def _refused_at_commit(site: Site) -> None:
    """The same rule, looked at when everything else is done."""
    site.sql("CREATE TABLE house (name text PRIMARY KEY)")
    site.sql(
        "CREATE FUNCTION house_rule() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
        " IF NEW.display_name <> 'forbidden' THEN INSERT INTO house VALUES (NEW.display_name)"
        " ON CONFLICT DO NOTHING; END IF; RETURN NEW; END $$"
    )
    site.sql(
        "CREATE TRIGGER house_rule BEFORE INSERT ON auth_users FOR EACH ROW EXECUTE FUNCTION house_rule()"
    )
    site.sql(
        "ALTER TABLE auth_users ADD CONSTRAINT house_rule FOREIGN KEY (display_name) REFERENCES house"
        " DEFERRABLE INITIALLY DEFERRED"
    )


@pytest.mark.key
@pytest.mark.parametrize("count", [20, 300])
def test_what_is_refused_at_commit_was_never_published(narrow: Site, count: int) -> None:
    """Events go to the brokers while the database commits, and are aborted."""
    _refused_at_commit(narrow)
    good = [make.user(f"u-{n}", {"displayName": "allowed"}) for n in range(count)]
    users = [*good[: count // 2], _forbidden("u-bad"), *good[count // 2 :]]
    placed = narrow.publish(users)

    worker = narrow.start()
    narrow.wait_done(120)

    narrow.check(Model().take_all(good))
    assert [letter.value for letter in narrow.dead_letters()] == [placed[count // 2].value]
    assert worker.metric("catalyst_kafka_transactions_aborted_total") >= 1, "the two commits did not overlap"


@pytest.mark.key
def test_a_commit_that_fails_once_publishes_once(narrow: Site) -> None:
    """A serialization failure, told by the COMMIT itself, when the event is at the brokers already."""
    narrow.sql("CREATE SEQUENCE attempts")
    narrow.sql(
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
        " IF nextval('attempts') = 1 THEN PERFORM pg_sleep(1); RAISE EXCEPTION 'no'"
        " USING ERRCODE = '40001'; END IF; RETURN NULL; END $$"
    )
    narrow.sql(
        "CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON auth_users DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION fail_once()"
    )
    user = make.user("u-1")
    worker = narrow.start()
    narrow.process([user])

    narrow.check(Model().take_all([user]))
    assert narrow.dead_letters() == []
    assert len(narrow.kafka.read_uncommitted(narrow.audit)) == 2
    assert worker.metric("catalyst_kafka_transactions_aborted_total") == 1
    assert worker.metric("catalyst_database_transaction_retries_total") == 1


def test_a_commit_may_take_longer_than_the_kafka_transaction(narrow: Site) -> None:
    """The brokers abort what was published during the COMMIT, and fence the producer; the database commits all the same."""
    narrow.sql(
        "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id = 'u-slow' THEN PERFORM pg_sleep(12); END IF; RETURN NULL; END $$"
    )
    narrow.sql(
        "CREATE CONSTRAINT TRIGGER doze AFTER INSERT ON auth_users DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION doze()"
    )
    users = [make.user("u-slow"), make.user("u-next")]
    worker = narrow.start()
    narrow.process(users)

    narrow.check(Model().take_all(users))
    assert worker.metric("catalyst_kafka_transactions_aborted_total") == 1
    assert worker.metric("catalyst_database_transaction_retries_total") == 0


@pytest.mark.key
def test_a_poison_storm_goes_on(site: Site) -> None:
    """Every second message is malformed, or refused by PostgreSQL."""
    _house_rule(site)
    commands = list(make.stream(1500, seed=23))
    refused = [_forbidden(f"storm-{n}") for n in range(20)]
    malformed = islice(cycle(case.record for case in CASES), len(commands) - len(refused))
    poison: list[Command | Record] = [*malformed, *refused]
    items = [item for pair in zip(commands, poison, strict=True) for item in pair]

    worker = site.start(CATALYST_LANES="2")
    placed = site.process(items, 180)

    site.check(Model().take_all(commands))
    letters = site.dead_letters(IDENTITY) + site.dead_letters(KEYS)
    sent = placed[1::2]
    assert len(letters) == len(sent)
    assert _origins(letters) == {(r.topic, str(r.partition), str(r.offset)) for r in sent}
    assert worker.metric("catalyst_dead_letters_total") == len(sent)
    assert worker.metric("catalyst_dead_letters_total", **{"class": "sqlstate"}) == len(refused)
