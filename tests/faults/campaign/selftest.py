"""Tests the checker: good evidence passes, and every seeded corruption of it is found.

usage: python -m campaign.selftest [--seed S] [--count N] [--stack DIR]

The evidence is made from the model; with --stack it comes from a real run of the worker on the
stack of deploy/local in DIR, which is started if need be and left running. "N passed, N failed" at
the end.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer

from harness.kafka import Kafka
from harness.site import Site
from harness.stack import Stack

from . import synthesis
from .checker import ORIGIN, Checker, Finding, check
from .contract import Contract
from .corruptions import CORRUPTIONS, Corruption, copy_of
from .evidence import Collector, Evidence, collect
from .journal import Journal, Sent
from .mix import MALFORMED
from .sender import Sender

COUNT = 3000
# Every refusal that a sender can provoke; key.postgres.duplicate needs a race.
REFUSALS = {
    "key.postgres.duplicate_id",
    "key.postgres.duplicate_hash",
    "key.postgres.not_found",
    "key.postgres.revoked",
    "key.postgres.expired",
    "key.postgres.already_revoked",
    "org.postgres.duplicate_slug",
    "entitlement.postgres.duplicate",
    "group.postgres.not_found",
    "membership.postgres.not_found",
    "entitlement.postgres.not_found",
    "audit.postgres.invalid_category",
    "audit.postgres.invalid_action",
    "command.id_conflict",
}
KINDS = 12

Good = tuple[Journal, Evidence]


def synthetic(seed: int, count: int) -> Good:
    journal = synthesis.journal(seed, count)
    return journal, synthesis.Synthesis(seed).follow(journal)


def real(seed: int, count: int, directory: Path) -> Good:
    """Two lanes, small batches, a replica that is killed on the way; checked at two quiet points
    and once more from the beginning."""
    stack = Stack(directory, keep=True)
    stack.start()
    name = f"checker-{uuid4().hex[:8]}"
    logs = Path(tempfile.mkdtemp(prefix="catalyst-checker."))
    site = Site(name, stack, Kafka(stack.servers), logs).create()
    sender = Sender(seed, {"bootstrap.servers": stack.servers}, site.topics)
    letters = [topic + site.dlq_suffix for topic in site.topics.values()]
    where = (stack.servers, stack.database_url, site.schema, site.audit, letters, site.group)
    collector, checker = Collector(*where), Checker(sender.journal)
    small: dict[str, Any] = {"CATALYST_LANES": "2", "CATALYST_BATCH_MAX_MESSAGES": "50"}
    try:
        victim = site.start("a", **small)
        sender.run(count // 2)
        _forget_some_offsets(sender)
        _write_some_twice(sender, stack.servers)
        victim.kill()
        site.start("b", **small)
        site.wait_done(300)
        _expect_none(checker.check(collector.collect()))
        sender.run(count - count // 2)
        site.wait_done(300)
        _expect_none(checker.check(collector.collect()))
        site.close()
    finally:
        site.abandon()
    return sender.journal, collect(*where)


def _forget_some_offsets(sender: Sender) -> None:
    """As if a broker had acknowledged a retry without an offset."""
    before = set(map(repr, sender.journal.sent))
    for index in range(0, 500, 50):
        sent = sender.journal.sent.pop(-1 - index)
        sender.unplaced.append(replace(sent, offset=-1))
    sender._settled, sender._ends = 0, {}
    sender.run(0)
    assert set(map(repr, sender.journal.sent)) == before and not sender.unplaced


def _alike_but_for_time(sent: list[Sent]) -> list[Sent]:
    """Commands that upstream sent once more, with nothing but the record's time changed."""
    later = {(each.topic, each.partition, each.key, each.value, repr(each.headers)): each for each in sent}
    return [
        each
        for each in sent
        if later[each.topic, each.partition, each.key, each.value, repr(each.headers)].timestamp_ms
        != each.timestamp_ms
    ]


def _write_some_twice(sender: Sender, servers: str) -> None:
    """As a broker that forgot a producer's last records does."""
    before = len(sender.journal.sent)
    alike = _alike_but_for_time(sender.journal.sent)[-4:]
    assert alike, "no command was sent again unchanged"
    twice = sender.journal.sent[-400::100] + alike
    producer = Producer({"bootstrap.servers": servers})
    for sent in twice:
        producer.produce(
            sent.topic,
            sent.value,
            sent.key,
            sent.partition,
            timestamp=sent.timestamp_ms,
            headers=[*sent.headers],
        )
    producer.flush(60)
    sender.run(0)
    assert sender.doubled == len(twice)
    assert sorted((each.value or b"", each.timestamp_ms) for each in sender.journal.sent[before:]) == sorted(
        (each.value or b"", each.timestamp_ms) for each in twice
    )


def _expect_none(findings: list[Finding]) -> None:
    assert not findings, "\n".join(["good evidence is found fault with:", *map(str, findings[:20])])


# --- what is tested ----------------------------------------------------------------------------


def good_evidence_passes(good: Good) -> None:
    journal, evidence = good
    _expect_none(check(journal, copy_of(evidence)))


def the_mix_has_everything(good: Good) -> None:
    journal, evidence = good
    checker = Checker(journal)
    _expect_none(checker.check(evidence))
    outcomes = checker.contract.outcomes
    assert outcomes.keys() >= REFUSALS, f"never refused: {REFUSALS - outcomes.keys()}"
    assert outcomes["applied"] > sum(outcomes[code] for code in REFUSALS), f"{outcomes}"
    assert checker.contract.duplicates > len(journal.sent) // 50
    kinds = {sent.kind for sent in journal.sent if not sent.kind.startswith(MALFORMED)}
    assert len(kinds) == KINDS, f"{sorted(kinds)}"


def a_journal_is_read_back(good: Good) -> None:
    journal, _ = good
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.gz"
        journal.save(path)
        assert Journal.load(path) == journal


def a_gap_in_the_journal_is_found(good: Good) -> None:
    journal, evidence = good
    short = Journal(journal.sent[:100] + journal.sent[101:])
    assert "journal has gaps" in {finding.rule for finding in check(short, evidence)}


def twins_may_come_from_either_partition(good: Good) -> None:
    journal, evidence = good
    origins = {each.id: each.origins for each in Contract().feed(journal).events}
    twins = [places for places in origins.values() if len(places) > 1]
    assert len(twins) > 5
    for which in (0, -1):
        rows = [
            (*row[: ORIGIN.start], *origins[row[0]][which], *row[ORIGIN.stop :])
            for row in evidence.audit_rows
        ]
        _expect_none(check(journal, replace(evidence, audit_rows=rows)))


def a_growing_journal_is_checked_piece_by_piece(good: Good) -> None:
    """What was there and is gone, a check from the beginning finds."""
    # In a piece that ends early, what was found on the topic later would be a gap.
    sent = sorted(good[0].sent, key=lambda each: each.offset)
    growing = Journal()
    checker, worker = Checker(growing), synthesis.Synthesis(1)
    for piece in range(4):
        since = len(growing.sent)
        growing.sent += sent[since : len(sent) * (piece + 1) // 4]
        _expect_none(checker.check(worker.follow(growing)))
    assert growing.sent == sent
    worker.evidence.audit[0].pop()
    rules = {finding.rule for finding in check(growing, worker.evidence)}
    assert rules == {"audit event missing"}, rules


def findings_are_bounded(good: Good) -> None:
    journal, evidence = good
    findings = check(journal, Evidence({}, {}, evidence.tables, [], 0))
    assert len(findings) < 400 and any("more" in finding.what for finding in findings)


TESTS: list[Callable[[Good], None]] = [
    good_evidence_passes,
    the_mix_has_everything,
    a_journal_is_read_back,
    a_gap_in_the_journal_is_found,
    twins_may_come_from_either_partition,
    a_growing_journal_is_checked_piece_by_piece,
    findings_are_bounded,
]


def is_found(corruption: Corruption, fed: Checker, evidence: Evidence, seed: int) -> None:
    corrupted = copy_of(evidence)
    done = corruption.change(corrupted, random.Random(seed))
    assert done, "the evidence has nothing it could be done to: take more commands"
    rules = {finding.rule for finding in fed.fork().check(corrupted)}
    assert rules & corruption.rules, f"expected one of {corruption.rules}, found {rules or 'nothing'}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaign.selftest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--stack", type=Path, metavar="DIR", help="evidence of a real run")
    options = parser.parse_args()
    since = time.monotonic()
    if options.stack is None:
        good = synthetic(options.seed, options.count)
    else:
        good = real(options.seed, options.count, options.stack)
    # The model takes most of the time of a check: it runs once for all corruptions.
    fed = Checker(good[0])
    _expect_none(fed.feed())
    failed = passed = 0
    jobs: list[tuple[str, Callable[[], None]]] = [
        (test.__name__.replace("_", " "), partial(test, good)) for test in TESTS
    ]
    jobs += [
        (f"found: {each.name}", partial(is_found, each, fed, good[1], options.seed)) for each in CORRUPTIONS
    ]
    for name, job in jobs:
        try:
            job()
            passed += 1
            print(f"ok    {name}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAIL  {name}: {error}", flush=True)
    print(f"seed {options.seed}, {len(good[0].sent)} records, {time.monotonic() - since:.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
