"""Which fault comes when: the same seed, the same plan."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import faults_kafka, faults_network, faults_postgres, faults_process
from .faults import Fault

FAULTS: list[Fault] = [
    *faults_postgres.FAULTS,
    *faults_kafka.FAULTS,
    *faults_network.FAULTS,
    *faults_process.FAULTS,
]
REPLICAS = (2, 2, 2, 3, 1, 4)


@dataclass(frozen=True)
class Step:
    """kills: replicas are killed at random all the while."""

    number: int
    fault: Fault
    replicas: int
    kills: bool
    seed: int


def chosen(names: Sequence[str]) -> list[Fault]:
    """Those whose names begin with one of these; all, if none is given."""
    return [fault for fault in FAULTS if not names or any(fault.name.startswith(name) for name in names)]


def long_plan(seed: int, faults: Sequence[Fault]) -> Iterator[list[Step]]:
    """Rounds without end, each with every fault once."""
    chance = random.Random(seed)
    number = 0
    while True:
        order = list(faults)
        chance.shuffle(order)
        steps = []
        for fault in order:
            number += 1
            kills = not fault.alone and chance.random() < 0.5
            steps.append(_step(chance, number, fault, kills))
        yield steps


def short_plan(seed: int, faults: Sequence[Fault]) -> list[Step]:
    """The telling ones first, then the others; it is carried out as far as time allows."""
    chance = random.Random(seed)
    telling = [fault for fault in faults if fault.telling]
    others = [fault for fault in faults if not fault.telling]
    chance.shuffle(telling)
    chance.shuffle(others)
    return [
        _step(chance, number, fault, not fault.alone and chance.random() < 0.3)
        for number, fault in enumerate([*telling, *others], 1)
    ]


def _step(chance: random.Random, number: int, fault: Fault, kills: bool) -> Step:
    return Step(number, fault, chance.choice(REPLICAS), kills, chance.getrandbits(32))
