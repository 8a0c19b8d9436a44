"""SVG plots of a benchmark's results, drawn by hand: no plotting library is worth its weight."""

import math
import statistics
import sys
from pathlib import Path
from typing import Any

from results import read

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 160, 40, 60
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")

Series = dict[str, list[tuple[float, float]]]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten."""
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [step * 10.0**power for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    return found


def even_ticks(high: float) -> list[float]:
    """From 0, five to ten of them."""
    step = 10.0 ** math.floor(math.log10(high))
    step = next(step * share for share in (0.2, 0.5, 1) if high / (step * share) <= 10)
    return [step * nth for nth in range(int(high / step) + 1)]


def plot(title: str, x_label: str, y_label: str, series: Series, *, log: bool = True) -> str:
    """Both axes logarithmic, or both even and from 0."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points) * 0.8, max(y for _, y in points) * 1.25
    if x_low == x_high:
        x_low, x_high = x_low / 2, x_high * 2
    if not log:
        x_low, y_low, y_high = 0.0, 0.0, max(y_high, 1e-9)
    x_ticks = sorted({x for x, _ in points}) if log else even_ticks(x_high)
    y_ticks = ticks(y_low, y_high) if log else even_ticks(y_high)

    def place(value: float, low: float, high: float, start: float, end: float) -> float:
        if not log:
            return start + (end - start) * (value - low) / (high - low)
        return start + (end - start) * math.log(value / low) / math.log(high / low)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            place(x, x_low, x_high, LEFT, WIDTH - RIGHT),
            place(y, y_low, y_high, HEIGHT - BOTTOM, TOP),
        )

    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            ' font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for tick in y_ticks:
        y = at(x_low, tick)[1]
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in x_ticks:
        x = at(tick, y_low)[0]
        out.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#57606a"/>')
        place_x = f'x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}"'
        out.append(f'<text {place_x} text-anchor="middle">{number(tick)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 15}" text-anchor="middle">{x_label}</text>')
    turned = f'transform="translate(16 {HEIGHT / 2}) rotate(-90)"'
    out.append(f'<text {turned} text-anchor="middle">{y_label}</text>')
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in sorted(line)))
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at(*p)[0]:.1f}" cy="{at(*p)[1]:.1f}" r="3" fill="{colour}"/>' for p in line]
        y = TOP + 12 + 18 * index
        out.append(f'<path d="M{WIDTH - RIGHT + 12} {y - 4}h16" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 34}" y="{y}">{name}</text>')
    return "\n".join([*out, "</svg>", ""])


def medians(told: dict[str, Any], figure: str) -> dict[str, float]:
    return {
        name: statistics.median(sample[figure] for sample in samples)
        for name, samples in told["samples"].items()
        if figure in samples[0]
    }


def batch_series(told: dict[str, Any]) -> Series:
    series: Series = {}
    for name, speed in medians(told, "commands_per_s").items():
        words = name.split()
        if words[0] == "batch":
            label = {"apply": "apply path", "worker": "end to end"}[words[2]]
            series.setdefault(label, []).append((float(words[1]), speed))
    return series


def latency_series(told: dict[str, Any], library: str) -> Series:
    series: Series = {}
    for figure, share in (("p50_ms", "p50"), ("p90_ms", "p90"), ("p99_ms", "p99")):
        for name, value in medians(told, figure).items():
            words = name.split()
            if (
                words[0] == "latency"
                and words[1].isdigit()
                and words[2] in ("worker", "floor")
                and words[3] == library
            ):
                series.setdefault(f"{words[2]} {share}", []).append((float(words[1]), value))
    return dict(sorted(series.items()))


def growth_series(told: dict[str, Any], what: str, mix: str, figure: str) -> Series:
    """A line per kind of ids and state of the tables: the median of each slice over the rounds."""
    series: Series = {}
    for name, samples in told["samples"].items():
        words = name.split()
        if words[:3] == ["growth", what, mix] and "slices" in samples[0]:
            series[" ".join(words[3:])] = [
                (
                    statistics.median(cut["at_s"] for cut in cuts),
                    statistics.median(cut[figure] for cut in cuts),
                )
                for cuts in zip(*(sample["slices"] for sample in samples), strict=True)
            ]
    return series


def growth_charts(told: dict[str, Any]) -> dict[str, str]:
    made = {}
    seconds = "seconds since the first commit after the checkpoint"
    for what, how in (("apply", "apply path"), ("worker", "end to end"), ("backlog", "a backlog")):
        for mix, label in (("a", "A"), ("b-uniform", "B")):
            for figure, unit in (("commands_per_s", "commands/s"), ("wal_bytes", "WAL bytes")):
                series = growth_series(told, what, mix, figure)
                if series:
                    per = "" if figure == "commands_per_s" else " per command"
                    title = f"Growth: {unit}{per} over time, mix {label}, {how}"
                    name = f"growth-{what}-{label.lower()}-{figure.partition('_')[0]}"
                    made[name] = plot(title, seconds, unit + per, series, log=False)
    resident: Series = {
        name.removeprefix("growth backlog a "): samples[0]["resident"]
        for name, samples in told["samples"].items()
        if name.startswith("growth backlog a ")
    }
    if resident:
        title = "Resident memory over a backlog, mix A"
        made["growth-memory"] = plot(title, "seconds", "MiB", resident, log=False)
    return made


def scaling_series(told: dict[str, Any]) -> Series:
    series: Series = {}
    for name, speed in medians(told, "commands_per_s").items():
        words = name.split()
        if words[0] != "scaling":
            continue
        processes, lanes = (int(word) for word in words[2].split("x"))
        point = (float(processes * lanes), speed)
        mix = words[1].upper()
        if processes == 1:
            series.setdefault(f"{mix}, one process", []).append(point)
        if lanes == 1:
            series.setdefault(f"{mix}, a lane each", []).append(point)
        if processes > 1 and lanes > 1:
            series.setdefault(f"{mix}, {processes} of {lanes}", []).append(point)
    return series


def write_all(told: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = growth_charts(told)
    scaling = scaling_series(told)
    if scaling:
        title = "Throughput against lanes, in one process and in several"
        made["scaling"] = plot(title, "lanes in all", "commands/s", scaling, log=False)
    batches = batch_series(told)
    if batches:
        title = "Throughput against batch size, mix A"
        label = "commands per transaction at most"
        made["throughput-by-batch"] = plot(title, label, "commands/s", batches)
    for library in told["libraries"]:
        latencies = latency_series(told, library)
        if latencies:
            title = f"Latency against load, {library} librdkafka"
            label = "milliseconds to the audit event"
            made[f"latency-{library}"] = plot(title, "commands/s", label, latencies)
    for name, svg in made.items():
        (folder / f"{name}.svg").write_text(svg)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: charts.py RESULTS.json FOLDER", file=sys.stderr)
        return 64
    try:
        write_all(read(Path(sys.argv[1])), Path(sys.argv[2]))
    except (OSError, ValueError) as error:
        print(f"charts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
