"""What the cells measured, round by round, and how a results file is read again."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Figures, most of them numbers; "round" says in which one they were measured.
Result = dict[str, Any]

SHOWN = (
    "commands_per_s",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "cores",
    "process_us",
    "postgres_us",
    "started_ms",
    "seconds",
)
# A cell that measured has at least one of these, and none of them is nothing.
MEASURED = ("commands_per_s", "p50_ms", "cores", "started_ms", "seconds")


class Results:
    def __init__(self) -> None:
        self.samples: dict[str, list[Result]] = {}
        self.failures: dict[str, str] = {}
        self.round = 0

    def cell(self, name: str, measure: Callable[[], Result]) -> Result | None:
        started = time.monotonic()
        try:
            result = measure()
            figures = [result[figure] for figure in MEASURED if figure in result]
            if not figures or min(figures) < 0 or ("cores" not in result and min(figures) == 0):
                raise RuntimeError("measured nothing")
        except Exception as error:  # a cell that fails must not hide the others
            self.failures[name] = f"{type(error).__name__}: {error}"
            print(f"  {name:<42} FAILED: {error}", flush=True)
            return None
        self.samples.setdefault(name, []).append({"round": self.round, **result})
        shown = "  ".join(f"{key} {value:,.6g}" for key, value in result.items() if key in SHOWN)
        print(f"  {name:<42} {shown}  ({time.monotonic() - started:.0f} s)", flush=True)
        return result

    def by_round(self, name: str, figure: str) -> dict[int, float]:
        return {sample["round"]: sample[figure] for sample in self.samples.get(name, []) if figure in sample}

    def values(self, name: str, figure: str) -> list[float]:
        return list(self.by_round(name, figure).values())

    def median(self, name: str, figure: str) -> float | None:
        values = self.values(name, figure)
        return statistics.median(values) if values else None

    def ratio(self, name: str, figure: str, to: str) -> float | None:
        """Median of the ratios within those rounds that measured both."""
        ours, theirs = self.by_round(name, figure), self.by_round(to, figure)
        ratios = [ours[nth] / theirs[nth] for nth in ours.keys() & theirs.keys() if theirs[nth]]
        return statistics.median(ratios) if ratios else None


def read(path: Path) -> dict[str, Any]:
    """A results file, for programs that make something of it. One of a run in which a cell failed is
    none: what is missing would look like what was never asked for."""
    told = json.loads(path.read_text())
    wanted = {"samples", "failures", "libraries", "goals"}
    if not isinstance(told, dict) or not wanted <= told.keys():
        raise ValueError(f"{path}: not the results of a benchmark")
    if told["failures"]:
        cells = "; ".join(f"{cell}: {why}" for cell, why in told["failures"].items())
        raise ValueError(f"{path}: {len(told['failures'])} cells failed: {cells}")
    if not told["samples"]:
        raise ValueError(f"{path}: nothing was measured")
    return told
