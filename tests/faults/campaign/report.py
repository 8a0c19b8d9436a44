"""What a campaign did and what came of it, for people and for programs."""

import json
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .faults import Finding

SHOWN = 20


@dataclass
class Done:
    """One fault that was brought about."""

    number: int
    fault: str
    at_s: float
    took_s: float
    replicas: int
    kills: bool
    note: str
    survived: bool = False
    # Not before the checker has looked at what it left behind.
    judged: bool = False


@dataclass
class Check:
    at_s: float
    commands: int
    drained_s: float
    took_s: float
    findings: int


@dataclass
class Report:
    seed: int
    minutes: float
    short: bool
    batch: int
    took_s: float = 0
    load_s: float = 0
    commands: int = 0
    doubled: int = 0
    coordinators_broken: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    audit_events: int = 0
    dead_letters: int = 0
    kills: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)
    fenced: int = 0
    faults: list[Done] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    short_of: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        return sum(done.survived and done.judged for done in self.faults)

    @property
    def failed(self) -> int:
        failed = len(self.faults) - self.passed + len(self.short_of)
        return max(failed, 1) if self.findings else failed

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "passed": self.passed,
            "failed": self.failed,
            "recovery_summary": {
                name: {"n": len(seen), "median_s": statistics.median(seen), "max_s": max(seen)}
                for name, seen in self.recoveries.items()
            },
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=1, sort_keys=True) + "\n")

    def text(self) -> str:
        kind = "short campaign" if self.short else f"campaign of {self.minutes:g} minutes"
        lines = [
            "",
            f"{kind}, seed {self.seed}: {self.took_s:.0f} s in all, {self.load_s:.0f} s of load",
            "",
            *self._counts(),
            "",
            *self._faults(),
            "",
            *self._recoveries(),
            *self._findings(),
        ]
        return "\n".join(lines)

    # --- parts ---------------------------------------------------------------------------------

    def _counts(self) -> list[str]:
        counted = [
            ("records sent", self.commands),
            ("of these written twice by the brokers", self.doubled),
            ("audit events published", self.audit_events),
            ("dead letters published", self.dead_letters),
            ("replicas killed by SIGKILL", self.kills),
            ("duplicates absorbed", self._metric("duplicates_total")),
            ("redeliveries", self._metric("redeliveries_total")),
            ("batches dropped (partitions gone)", self._metric("batches_dropped_total")),
            ("batches halved", self._metric("batch_bisections_total")),
            (
                "database transactions tried again",
                self._metric("database_transaction_retries_total"),
            ),
            ("connections to PostgreSQL", self._metric("database_connects_total")),
            ("Kafka transactions aborted", self._metric("kafka_transactions_aborted_total")),
            ("Kafka transactions lost", self._metric("kafka_transactions_lost_total")),
            ("Kafka producers opened again", self._metric("kafka_producers_reopened_total")),
            ("lines about fencing in the logs", self.fenced),
            ("coordinators broken, restarted", self.coordinators_broken),
        ]
        lines = [f"  {what:<36}{count:>10}" for what, count in counted]
        lines.append("  (counters of replicas: as last seen before each one's end)")
        lines.append(f"  batches of at most {self.batch} commands")
        if self.ends:
            ends = ", ".join(f"{code}: {n}" for code, n in sorted(self.ends.items()))
            lines.append(f"  replicas that ended by themselves, by exit code: {ends}")
        return lines

    def _metric(self, name: str) -> int:
        return self.metrics.get(f"catalyst_{name}", 0)

    def _faults(self) -> list[str]:
        """One line for each fault; the times of each are in the JSON report."""
        times = Counter(done.fault for done in self.faults)
        passed = Counter(d.fault for d in self.faults if d.survived and d.judged)
        lines = [f"  {'fault':<40}{'times':>6}{'passed':>8}   at (s)"]
        for name in sorted(times):
            at = " ".join(f"{done.at_s:.0f}" for done in self.faults if done.fault == name)
            lines.append(f"  {name:<40}{times[name]:>6}{passed[name]:>8}   {at}")
        lines += [f"  {name}: only {how_often}" for name, how_often in self.short_of.items()]
        return lines

    def _recoveries(self) -> list[str]:
        if not self.recoveries:
            return []
        lines = [f"  {'recovery, seen by an audit consumer (s)':<66}{'n':>4}{'median':>9}{'max':>8}"]
        for name, seen in sorted(self.recoveries.items()):
            middle = statistics.median(seen)
            lines.append(f"  {name:<66}{len(seen):>4}{middle:>9.2f}{max(seen):>8.2f}")
        return [*lines, ""]

    def _findings(self) -> list[str]:
        checks = len(self.checks)
        if not self.findings and not self.failed:
            return [f"  proven {checks} times: nothing lost, nothing doubled, everything in order"]
        shown = [f"  {found.rule}: {found.what}" for found in self.findings[:SHOWN]]
        left = len(self.findings) - len(shown)
        return [
            f"  {len(self.findings)} findings",
            *shown,
            *([f"  and {left} more, in report.json"] if left else []),
        ]
