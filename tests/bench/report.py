"""What came out, as tables."""

import statistics

from goals import Goal
from results import Results

COLUMNS = (
    ("process_us", 17, 1),
    ("postgres_us", 9, 1),
    ("broker_us", 8, 1),
    ("sum_us", 7, 1),
    ("wal_bytes", 8, 0),
    ("peak_mib", 6, 0),
)


def print_all(results: Results, goals: list[Goal]) -> None:
    print_throughput(results)
    print_latency(results)
    print_growth(results)
    print_scaling(results)
    print_goals(goals)


def with_figure(results: Results, figure: str) -> list[str]:
    return [name for name, samples in results.samples.items() if figure in samples[0]]


def shown(results: Results, name: str, figure: str, width: int, digits: int) -> str:
    value = results.median(name, figure)
    return f"{value:>{width},.{digits}f}" if value is not None else f"{'-':>{width}}"


def print_throughput(results: Results) -> None:
    names = with_figure(results, "commands_per_s")
    if not names:
        return
    base = results.median("copy a", "commands_per_s")
    print(
        f"\n{'cell':<40}{'commands/s':>18}{'/COPY':>7}{'CPU us: process':>17}"
        f"{'postgres':>9}{'broker':>8}{'sum':>7}{'WAL B':>8}{'MiB':>6}{'n':>3}"
    )
    for name in names:
        speeds = results.values(name, "commands_per_s")
        middle = statistics.median(speeds)
        spread = (max(speeds) - min(speeds)) / middle / 2 * 100
        share = f"{middle / base:.2f}" if base else "-"
        figures = "".join(shown(results, name, *column) for column in COLUMNS)
        print(f"{name:<40}{middle:>11,.0f} ±{spread:>3.0f} %{share:>7}{figures}{len(speeds):>3}")


def print_latency(results: Results) -> None:
    names = with_figure(results, "p50_ms")
    if names:
        print(
            f"\n{'latency, ms':<34}{'rate/s':>9}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}{'cores':>8}{'n':>3}"
        )
    for name in names:
        figures = shown(results, name, "rate", 9, 0)
        for figure in ("p50_ms", "p90_ms", "p99_ms", "max_ms"):
            figures += shown(results, name, figure, 9, 2)
        figures += shown(results, name, "cores", 8, 3)
        print(f"{name:<34}{figures}{len(results.samples[name]):>3}")
    for name in with_figure(results, "started_ms"):
        print(
            f"{name:<34}{shown(results, name, 'started_ms', 0, 0)} ms,"
            f" slowest {shown(results, name, 'started_max_ms', 0, 0)} ms"
        )


def print_growth(results: Results) -> None:
    names = with_figure(results, "slices")
    if names:
        print(
            f"\n{'growth':<40}{'first tenth/s':>14}{'last':>8}{'WAL B: first':>14}{'last':>7}"
            f"{'checkpoints':>12}{'MiB: a third in':>16}{'at the end':>11}{'peak':>6}"
        )
    for name in names:
        figures = (
            ("first_per_s", 14, 0),
            ("last_per_s", 8, 0),
            ("first_wal_bytes", 14, 0),
            ("last_wal_bytes", 7, 0),
            ("checkpoints", 12, 0),
            ("resident_third_mib", 16, 1),
            ("resident_end_mib", 11, 1),
            ("peak_mib", 6, 0),
        )
        print(f"{name:<40}" + "".join(shown(results, name, *figure) for figure in figures))
    for name in with_figure(results, "rows"):
        loaded = results.samples[name][0]
        print(f"{name}: {loaded['rows']:,} keys in {loaded['seconds']:.0f} s")


def average(samples: list[dict[str, float]]) -> list[tuple[str, float]]:
    """The mean of each share over the rounds, the largest first."""
    names = {name for sample in samples for name in sample}
    means = {name: sum(sample.get(name, 0.0) for sample in samples) / len(samples) for name in names}
    return sorted(means.items(), key=lambda pair: -pair[1])


def print_scaling(results: Results) -> None:
    names = with_figure(results, "waits")
    if names:
        print(
            f"\n{'processes x lanes':<18}{'commands/s':>11}{'/ 1x1':>7}{'cores: process':>15}"
            f"{'postgres':>9}{'broker':>8}{'machine':>8}  the backends; the lanes' steps"
        )
    for name in names:
        samples = results.samples[name]
        one = f"{name.rpartition(' ')[0]} 1x1"
        gain = results.ratio(name, "commands_per_s", one)
        cores = "".join(
            f"{statistics.median(s[figure] * s['commands_per_s'] / 1e6 for s in samples):>{width}.2f}"
            for figure, width in (("process_us", 15), ("postgres_us", 9), ("broker_us", 8))
        )
        said = [
            ", ".join(f"{what} {share:.0%}" for what, share in average(shares)[:4])
            for shares in (
                [sample["waits"] for sample in samples],
                [sample["steps"] for sample in samples],
            )
        ]
        print(
            f"{name.removeprefix('scaling '):<18}{shown(results, name, 'commands_per_s', 11, 0)}"
            f"{f'{gain:.2f}' if gain else '-':>7}{cores}{shown(results, name, 'busy_cores', 8, 2)}"
            f"  {said[0]}; {said[1]}"
        )


def print_goals(goals: list[Goal]) -> None:
    print(f"\n{'goals':<54}{'measured':>10}  wanted")
    for goal in goals:
        verdict = "" if goal.met else "  not met"
        print(f"{goal.name:<54}{goal.measured:>10.3f}  {goal.wanted}{verdict}")
    if not goals:
        print("none was measured")
