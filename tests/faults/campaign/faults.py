"""Faults: what each does to the campaign while load is running, and undoes again."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from .cluster import Cluster
from .installation import Installation
from .network import Network
from .postgres import PostgresPair
from .replicas import Fleet
from .watch import Watch

# How long anything may take to go on once nothing is wrong any more, on a machine with much to do.
RECOVERY_S = 120

DATABASE_BACK = "PostgreSQL back to first audit event"
DATABASE_FAILOVER = "silence when the standby takes over from a PostgreSQL that died"
DATABASE_SWITCHOVER = "silence when it does so in order"
REPLICA_KILLED = "SIGKILL of one of two replicas to its partitions served by the other"
BROKER_KILLED = "SIGKILL of one of three brokers to every partition served"
BROKER_HANGS = "one of three brokers hangs, to every partition served"
BROKERS_RESTARTED = "all brokers back to every partition served"
NETWORK_BACK = "network back to every partition served"


@dataclass(frozen=True)
class Finding:
    rule: str
    what: str


@dataclass
class Stage:
    """Everything that a fault acts on, and where it says what it saw."""

    network: Network
    cluster: Cluster
    pair: PostgresPair
    installation: Installation
    fleet: Fleet
    watch: Watch
    chance: random.Random
    short: bool
    wait: Callable[[float], None]
    # A time counts as measured only when nothing else went wrong meanwhile.
    alone: bool = True
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)

    def hold(self, shortest_s: float = 2, longest_s: float = 6) -> float:
        """The fault lasts for a while."""
        seconds = self.chance.uniform(shortest_s, longest_s)
        seconds = min(seconds, (shortest_s + longest_s) / 2) if self.short else seconds
        self.wait(seconds)
        return seconds

    def measure(self, name: str, seconds: float) -> str:
        if self.alone:
            self.recoveries[name].append(seconds)
        return f"recovered in {seconds:.1f} s"

    def find(self, rule: str, what: str) -> None:
        self.findings.append(Finding(rule, what))


@dataclass(frozen=True)
class Fault:
    """act: does it, holds it, undoes it, and answers with what was seen."""

    name: str
    what: str
    act: Callable[[Stage], str]
    # Met in every short campaign.
    telling: bool = False
    # Measures something that other replicas' deaths would disturb.
    alone: bool = False
