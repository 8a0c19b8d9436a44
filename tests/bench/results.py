"""What the cells measured, round by round."""

import statistics
import time
from collections.abc import Callable

Result = dict[str, float]

SHOWN = ("commands_per_s", "p50_ms", "p90_ms", "p99_ms", "cores", "process_us", "postgres_us")


class Results:
    def __init__(self) -> None:
        self.samples: dict[str, list[Result]] = {}
        self.failures: dict[str, str] = {}

    def cell(self, name: str, measure: Callable[[], Result]) -> Result | None:
        started = time.monotonic()
        try:
            result = measure()
        except Exception as error:  # a cell that fails must not hide the others
            self.failures[name] = f"{type(error).__name__}: {error}"
            print(f"  {name:<42} FAILED: {error}", flush=True)
            return None
        self.samples.setdefault(name, []).append(result)
        shown = "  ".join(f"{key} {value:,.6g}" for key, value in result.items() if key in SHOWN)
        print(f"  {name:<42} {shown}  ({time.monotonic() - started:.0f} s)", flush=True)
        return result

    def values(self, name: str, figure: str) -> list[float]:
        return [sample[figure] for sample in self.samples.get(name, []) if figure in sample]

    def median(self, name: str, figure: str) -> float | None:
        values = self.values(name, figure)
        return statistics.median(values) if values else None

    def ratio(self, name: str, figure: str, to: str) -> float | None:
        """Median of the rounds' own ratios."""
        pairs = zip(self.values(name, figure), self.values(to, figure), strict=False)
        ratios = [value / base for value, base in pairs if base]
        return statistics.median(ratios) if ratios else None
