"""SVG plots of a benchmark's results, drawn by hand: no plotting library is worth its weight."""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

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


def plot(title: str, x_label: str, y_label: str, series: Series) -> str:
    """Both axes logarithmic."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points) * 0.8, max(y for _, y in points) * 1.25
    if x_low == x_high:
        x_low, x_high = x_low / 2, x_high * 2

    def place(value: float, low: float, high: float, start: float, end: float) -> float:
        return start + (end - start) * math.log(value / low) / math.log(high / low)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            place(x, x_low, x_high, LEFT, WIDTH - RIGHT),
            place(y, y_low, y_high, HEIGHT - BOTTOM, TOP),
        )

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for tick in ticks(y_low, y_high):
        y = at(x_low, tick)[1]
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in sorted({x for x, _ in points}):
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
        out += [
            f'<circle cx="{at(*p)[0]:.1f}" cy="{at(*p)[1]:.1f}" r="3" fill="{colour}"/>'
            for p in line
        ]
        y = TOP + 12 + 18 * index
        out.append(
            f'<path d="M{WIDTH - RIGHT + 12} {y - 4}h16" stroke="{colour}" stroke-width="2"/>'
        )
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
            if words[1].isdigit() and words[2] in ("worker", "floor") and words[3] == library:
                series.setdefault(f"{words[2]} {share}", []).append((float(words[1]), value))
    return dict(sorted(series.items()))


def write_all(told: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    batches = batch_series(told)
    if batches:
        svg = plot(
            "Throughput against batch size, mix A",
            "commands per transaction at most",
            "commands/s",
            batches,
        )
        (folder / "throughput-by-batch.svg").write_text(svg)
    for library in told["libraries"]:
        latencies = latency_series(told, library)
        if latencies:
            title = f"Latency against load, {library} librdkafka"
            svg = plot(title, "commands/s", "milliseconds to the audit event", latencies)
            (folder / f"latency-{library}.svg").write_text(svg)


if __name__ == "__main__":
    write_all(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
