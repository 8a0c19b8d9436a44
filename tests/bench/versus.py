"""The worker of this build and that of another one, in turn: pairs in one run, medians, the ratio.

Started by run.sh --vs DIR. DIR is a build directory of another checkout, built as run.sh builds
its own. Each pair drains the same commands with both; who comes first alternates, so that a machine
whose speed drifts favours neither.
"""

import argparse
import statistics
from pathlib import Path

from cells import Cells, Mix
from services import Shape
from stack import Servers

PAIRS = 9
FIGURES = ("commands_per_s", "sum_us", "process_us", "peak_mib")


def drain(cells: Cells, library: str, mix: str, count: int) -> dict[str, float]:
    figures = cells.drain(Shape("worker", library), Mix(mix), count)
    return {name: figures[name] for name in FIGURES}


def compare(options: argparse.Namespace, servers: Servers, current: Path | None, library: str) -> int:
    """Prints a line per pair and the ratios; answers how many pairs were measured."""
    other_options = argparse.Namespace(**vars(options) | {"programs": options.vs})
    sides = {"this": Cells(options, servers, current), "other": Cells(other_options, servers, current)}
    count = options.commands or 100_000
    for mix in options.mix or ["a"]:
        pairs: list[dict[str, dict[str, float]]] = []
        for name in sides:  # neither is the one that warms the servers
            drain(sides[name], library, mix, count)
        for nth in range(options.rounds or PAIRS):
            order = list(sides) if nth % 2 == 0 else list(sides)[::-1]
            pairs.append({name: drain(sides[name], library, mix, count) for name in order})
            print(f"{mix} {library} pair {nth + 1}: " + told(pairs[-1:]), flush=True)
        print(f"{mix} {library} median of {len(pairs)} pairs: " + told(pairs), flush=True)
    return len(pairs)


def told(pairs: list[dict[str, dict[str, float]]]) -> str:
    parts = []
    for figure in FIGURES:
        ratio = statistics.median(pair["this"][figure] / pair["other"][figure] for pair in pairs)
        this = statistics.median(pair["this"][figure] for pair in pairs)
        other = statistics.median(pair["other"][figure] for pair in pairs)
        parts.append(f"{figure} {this:,.1f} / {other:,.1f} = {ratio:.3f}")
    return "; ".join(parts)
