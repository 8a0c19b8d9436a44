"""Scale: lanes and processes, and what they wait for."""

from functools import partial

from cells import Cells, Mix
from observers import Waits
from parts import Bench
from results import Result
from services import Shape

MIXES = ("a", "d")
# Processes and lanes in each. Four partitions, so that four lanes have one each.
SHAPES = ((1, 1), (1, 2), (1, 4), (2, 1), (4, 1), (2, 2))


def scaling_round(bench: Bench, library: str) -> None:
    quick = bench.options.quick
    count = bench.options.commands or (20_000 if quick else 100_000)
    batch = 500 if quick else 2000
    for mix in MIXES[:1] if quick else MIXES:
        for processes, lanes in SHAPES:
            shape = Shape("worker", library, processes, lanes, batch)
            bench.results.cell(
                f"scaling {mix} {processes}x{lanes}", partial(measure, bench.cells, shape, Mix(mix), count)
            )


def measure(cells: Cells, shape: Shape, mix: Mix, count: int) -> Result:
    return cells.drain(shape, mix, count, observer=Waits(cells.servers), settled=True)
