"""What came out: a table of the cells, and the goals beside what was measured."""

import statistics

from results import Results


def goals(results: Results, libraries: list[str]) -> list[tuple[str, float | None, str]]:
    """What was measured beside what is wanted. Told, never asserted."""
    library = libraries[0]
    newest = libraries[-1]
    speed = "commands_per_s"
    return [
        ("worker A / raw COPY", results.ratio(f"worker a {newest}", speed, "copy a"), ">= 0.60"),
        ("apply A / raw COPY", results.ratio("apply a", speed, "copy a"), ">= 0.85"),
        (
            "worker A / per-message service",
            results.ratio(f"worker a {library}", speed, f"service a {library}"),
            ">= 15",
        ),
        ("worker A / Go peer", results.ratio(f"worker a {newest}", speed, "go a"), "> 1"),
        ("worker A / Java peer", results.ratio(f"worker a {newest}", speed, "java a"), "> 1"),
        ("worker CPU per command, us", results.median(f"worker a {newest}", "process_us"), "<= 12"),
        ("resident memory, MiB", results.median(f"worker a {newest}", "peak_mib"), "<= 96"),
        (
            "Zipf usage / uniform usage",
            results.ratio(f"worker b-zipf {newest}", speed, f"worker b-uniform {newest}"),
            ">= 1.0",
        ),
        (
            "ten hot keys / uniform usage",
            results.ratio(f"worker b-ten {newest}", speed, f"worker b-uniform {newest}"),
            ">= 1.0",
        ),
        *[
            (
                f"p50 at 200/s / floor, {name}",
                results.ratio(f"latency 200 worker {name}", "p50_ms", f"latency 200 floor {name}"),
                "<= 1.05",
            )
            for name in libraries
        ],
        *[
            (
                f"p90 at 200/s / floor, {name}",
                results.ratio(f"latency 200 worker {name}", "p90_ms", f"latency 200 floor {name}"),
                "<= 1.1",
            )
            for name in libraries
        ],
        # Java's client is compared with a librdkafka of its own age.
        *[
            (
                f"{figure} at 200/s / Java peer, current",
                results.ratio("latency 200 worker current", f"{figure}_ms", "latency 200 java"),
                wanted,
            )
            for figure, wanted in (("p50", "<= 1.1"), ("p99", "<= 0.5"))
            if "current" in libraries
        ],
        (
            f"cores at 200/s, {newest}",
            results.median(f"latency 200 worker {newest}", "cores"),
            "<= 0.25",
        ),
        (f"cores idle, {newest}", results.median(f"idle worker {newest}", "cores"), "<= 0.01"),
    ]


def print_table(results: Results, libraries: list[str]) -> None:
    base = results.median("copy a", "commands_per_s")
    print(
        f"\n{'cell':<34}{'commands/s':>18}{'/COPY':>7}{'CPU us: process':>17}"
        f"{'postgres':>9}{'broker':>8}{'WAL B':>8}{'MiB':>6}{'n':>3}"
    )
    for name, samples in results.samples.items():
        if "commands_per_s" not in samples[0]:
            continue
        speeds = results.values(name, "commands_per_s")
        middle = statistics.median(speeds)
        spread = (max(speeds) - min(speeds)) / middle / 2 * 100
        share = f"{middle / base:.2f}" if base else "-"
        row = f"{name:<34}{middle:>11,.0f} ±{spread:>3.0f} %{share:>7}"
        for figure, width, digits in (
            ("process_us", 17, 1),
            ("postgres_us", 9, 1),
            ("broker_us", 8, 1),
            ("wal_bytes", 8, 0),
            ("peak_mib", 6, 0),
        ):
            value = results.median(name, figure)
            row += f"{value:>{width},.{digits}f}" if value is not None else " " * (width - 1) + "-"
        print(f"{row}{len(samples):>3}")
    if any("p50_ms" in samples[0] for samples in results.samples.values()):
        print(f"\n{'latency, ms':<34}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}{'cores':>8}{'n':>3}")
        for name, samples in results.samples.items():
            if "p50_ms" in samples[0]:
                figures = [
                    results.median(name, figure)
                    for figure in ("p50_ms", "p90_ms", "p99_ms", "max_ms")
                ]
                print(
                    f"{name:<34}"
                    + "".join(f"{value:>9.2f}" for value in figures)
                    + f"{results.median(name, 'cores'):>8.3f}{len(samples):>3}"
                )
    print(f"\n{'goal':<34}{'measured':>10}  wanted")
    for name, value, wanted in goals(results, libraries):
        print(
            f"{name:<34}{value:>10.3f}  {wanted}"
            if value is not None
            else f"{name:<34}{'-':>10}  {wanted}"
        )
