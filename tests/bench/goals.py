"""What is wanted of the worker, beside what a run measured. Told, never asserted."""

from dataclasses import dataclass

from results import Results


@dataclass(frozen=True)
class Goal:
    name: str
    measured: float | None
    bound: float
    least: bool  # at least the bound; otherwise at most

    @property
    def wanted(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:g}"

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.least else self.measured <= self.bound


SPEED = "commands_per_s"


def throughput(results: Results, libraries: list[str]) -> list[Goal]:
    library = libraries[-1]
    uniform = f"worker b-uniform {library}"
    return [
        Goal(
            "worker A / raw COPY",
            results.ratio(f"worker a {library}", SPEED, "copy a"),
            0.60,
            least=True,
        ),
        Goal("apply A / raw COPY", results.ratio("apply a", SPEED, "copy a"), 0.85, least=True),
        *[
            Goal(
                f"worker A / per-message service, {name}",
                results.ratio(f"worker a {name}", SPEED, f"service a {name}"),
                15,
                least=True,
            )
            for name in libraries
        ],
        *[
            Goal(
                f"worker A / {peer.capitalize()} peer",
                results.ratio(f"worker a {library}", SPEED, f"{peer} a"),
                1,
                least=True,
            )
            for peer in ("go", "java")
        ],
        Goal(
            "worker A, CPU us per command",
            results.median(f"worker a {library}", "process_us"),
            12,
            least=False,
        ),
        Goal(
            "worker A, resident MiB",
            results.median(f"worker a {library}", "peak_mib"),
            96,
            least=False,
        ),
        Goal(
            "Zipf usage / uniform usage",
            results.ratio(f"worker b-zipf {library}", SPEED, uniform),
            1,
            least=True,
        ),
        Goal(
            "ten hot keys / uniform usage",
            results.ratio(f"worker b-ten {library}", SPEED, uniform),
            1,
            least=True,
        ),
    ]


def latency(results: Results, libraries: list[str]) -> list[Goal]:
    goals = []
    for figure, bound in (("p50", 1.05), ("p90", 1.1)):
        goals += [
            Goal(
                f"{figure} at 200/s / floor, {library}",
                results.ratio(
                    f"latency 200 worker {library}",
                    f"{figure}_ms",
                    f"latency 200 floor {library}",
                ),
                bound,
                least=False,
            )
            for library in libraries
        ]
    # Java's client is compared with a librdkafka of its own age.
    goals += [
        Goal(
            f"{figure} at 200/s / Java peer, current",
            results.ratio("latency 200 worker current", f"{figure}_ms", "latency 200 java"),
            bound,
            least=False,
        )
        for figure, bound in (("p50", 1.1), ("p99", 0.5))
    ]
    library = libraries[-1]
    cells = (
        (f"cores at 200/s, {library}", f"latency 200 worker {library}", "cores", 0.25),
        (f"cores idle, {library}", f"idle worker {library}", "cores", 0.01),
        (
            f"start to first poll answered, ms, {library}",
            f"start worker {library}",
            "started_ms",
            150,
        ),
    )
    return goals + [
        Goal(name, results.median(cell, figure), bound, least=False) for name, cell, figure, bound in cells
    ]


def growth(results: Results) -> list[Goal]:
    """The bound is that of time-ordered ids; the ratios of random ones are told with it."""
    rows = results.median("growth load ordered full", "rows") or 0
    cells = [
        (what, mix, ids)
        for ids in ("ordered", "random")
        for what in ("apply", "worker", "backlog")
        for mix in ("a", "b-uniform")
    ]
    goals = [
        Goal(
            f"{what} {mix.upper()[0]}, {rows:,.0f} rows / empty, {ids} ids",
            results.ratio(f"growth {what} {mix} {ids} full", SPEED, f"growth {what} {mix} {ids} empty"),
            0.85,
            least=True,
        )
        for what, mix, ids in cells
    ]
    peak = results.median("growth backlog a ordered full", "peak_mib")
    return [*goals, Goal("resident MiB over a backlog", peak, 96, least=False)]


def measured(results: Results, libraries: list[str]) -> list[Goal]:
    """Those that the run has figures for."""
    goals = throughput(results, libraries) + latency(results, libraries) + growth(results)
    return [goal for goal in goals if goal.measured is not None]
