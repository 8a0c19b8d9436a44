"""Runs the benchmark: cells in rounds, interleaved, medians with spread. Started by run.sh.

A cell is one measurement on tables and topics of its own. Ratios hold within a run: every round
runs every cell once, so that whatever else happens on the machine hits them alike.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import charts
from confluent_kafka import KafkaException
from stack import REPOSITORY, Offsets, Servers, Site, own_cpu, peak_mib, until

Result = dict[str, float]

# The CPU time of a backend that has ended shows once the postmaster has taken notice.
REAPED_S = 0.3

# A service runs for weeks: that a JVM is slow at first does not count. Its share of a full topic,
# and how much longer it gets single commands beforehand.
JVM_WARMUP_SHARE, JVM_WARMUP_S = 0.25, 10

# One row per mix: its name in the programs.
MIXES = {
    "a": "A: issue keys",
    "b-uniform": "B: usage, uniform",
    "b-zipf": "B: usage, Zipf 0.99",
    "b-ten": "B: usage, ten hot keys",
    "c": "C: user upserts, half new",
    "d": "D: everything",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--peer-go", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer-java", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--quick", action="store_true", help="small and short: does it still measure?"
    )
    parser.add_argument(
        "--mix", action="append", choices=MIXES, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--minutes", type=float, default=20, help="as many rounds as fit (default 20)"
    )
    parser.add_argument(
        "--librdkafka", action="append", choices=("debian", "current"), help="only on this one"
    )
    parser.add_argument("--only", action="append", choices=("throughput", "batches", "latency"))
    parser.add_argument("--commands", type=int, help="per cell; default 200000, --quick 20000")
    parser.add_argument("--charts", type=Path, help="write the plots into this folder")
    return parser.parse_args()


def java_command(home: Path | None) -> list[str]:
    settings = REPOSITORY / "tests" / "bench" / "peer_java" / "jvm.options"
    return ["java", f"@{settings}", "-cp", f"{home}/classes:{home}/jars/*", "peer.Main"]


class Bench:
    def __init__(self, options: argparse.Namespace, servers: Servers, current: Path | None):
        self.options = options
        self.servers = servers
        self.current = current  # the newer librdkafka
        self.programs = options.build / "tests" / "bench"
        self.worker = options.build / "worker" / "catalyst-worker"
        self.logs = options.build / "logs"
        self.logs.mkdir(exist_ok=True)
        self.samples: dict[str, list[Result]] = {}
        self.failures: dict[str, str] = {}

    # --- a cell ----------------------------------------------------------------------------------

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

    def preload(self, library: str) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.current)} if library == "current" else {}

    def in_memory(self, program: str, mix: str, count: int, *extra: str) -> Result:
        """Programs without Kafka: they time themselves, the server's side is added here."""
        site = Site(self.servers, self.worker, mix)
        try:
            wal, cpu = self.servers.wal_position(), self.servers.postgres_cpu()
            options = ["--conninfo", self.servers.database_url, "--schema", site.name]
            options += ["--commands", str(count), *extra]
            done = subprocess.run(
                [self.programs / program, *options], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
            told = json.loads(done.stdout)
            time.sleep(REAPED_S)
            return {
                "commands_per_s": count / told["seconds"],
                "process_us": told["cpu_us_per_command"],
                "postgres_us": (self.servers.postgres_cpu() - cpu) * 1e6 / count,
                "wal_bytes": (self.servers.wal_position() - wal) / count,
            }
        finally:
            site.remove()

    def fill(self, site: Site, mix: str, count: int) -> None:
        subprocess.run(
            [
                self.programs / "bench_load",
                "--brokers",
                self.servers.brokers,
                "--topic",
                site.topic,
                "--mix",
                mix,
                "--commands",
                str(count),
                "--seed",
                "2",  # not that of `pace`, whose keys would be the same again
                "fill",
            ],
            check=True,
            capture_output=True,
        )

    def service(
        self, site: Site, kind: str, library: str, lanes: int, batch: int
    ) -> subprocess.Popen:
        environment = site.environment() | self.preload(library)
        plain = ["--conninfo", self.servers.database_url, "--schema", site.name]
        plain += ["--brokers", self.servers.brokers, "--topic", site.topic]
        plain += ["--audit-topic", site.audit, "--group", site.name]
        commands = {
            "worker": [self.worker, "run"],
            "service": [self.programs / "bench_service", *plain],
            "floor": [self.programs / "bench_floor", *plain],
            "go": [self.options.peer_go, *plain],
            "java": [*java_command(self.options.peer_java), *plain],
        }
        environment |= {"CATALYST_LANES": str(lanes), "CATALYST_BATCH_MAX_MESSAGES": str(batch)}
        log = (self.logs / f"{site.name}-{kind}.log").open("wb")
        return subprocess.Popen(commands[kind], env=environment, stdout=log, stderr=log)

    @staticmethod
    def stop(process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError("did not stop within 30 s of SIGTERM") from None
        if code != 0:
            raise RuntimeError(f"ended with exit code {code}")

    def drain(
        self, kind: str, mix: str, count: int, library: str, lanes: int = 2, batch: int = 2000
    ) -> Result:
        """The topic is full at the start. The clock runs from the first commit that is seen to the
        last, so that joining the group does not count."""
        site = Site(self.servers, self.worker, mix)
        process = None
        try:
            self.fill(site, mix, count)
            offsets = Offsets(self.servers, site.name, site.topic)
            total = offsets.total()
            skipped = total * JVM_WARMUP_SHARE if kind == "java" else 0
            wal = self.servers.wal_position()
            born = time.monotonic()
            process = self.service(site, kind, library, lanes, batch)
            begun = None
            for _ in until(60 + count / 300):
                done = offsets.committed()
                if begun is None and done > skipped:
                    begun = (time.monotonic(), done, self.cpu(process))
                if done >= total:
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"ended early, exit code {process.returncode}")
            ended, cpu = time.monotonic(), self.cpu(process)
            offsets.close()
            peak = peak_mib(process.pid)
            wal = self.servers.wal_position() - wal
            self.stop(process)
            rows = self.servers.count(site.name, "auth_audit_events")
            # Every command has its row; repeated ones (1 % of mix d) have none of their own.
            if not count * (0.98 if mix == "d" else 1) <= rows <= count:
                raise RuntimeError(f"{rows} audit rows for {count} commands")
            work = total - begun[1]
            return {
                "commands_per_s": work / (ended - begun[0]),
                "process_us": (cpu[0] - begun[2][0]) * 1e6 / work,
                "postgres_us": (cpu[1] - begun[2][1]) * 1e6 / work,
                "broker_us": (cpu[2] - begun[2][2]) * 1e6 / work,
                "wal_bytes": wal / total,
                "peak_mib": peak,
                "first_commit_s": begun[0] - born,
            }
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            site.remove()

    def cpu(self, process: subprocess.Popen) -> tuple[float, float, float]:
        return own_cpu(process.pid), self.servers.postgres_cpu(), self.servers.kafka_cpu()

    def pace(self, kind: str, rate: int, seconds: int, library: str) -> Result:
        """A steady stream of single commands; the latency is that of their audit events. The
        generator keeps to Debian's librdkafka, so that only what is measured changes."""
        site = Site(self.servers, self.worker, "a")
        process = None
        try:
            process = self.service(site, kind, library, lanes=2, batch=2000)
            self.await_group(site)
            warmup = 1 if seconds <= 5 else 3
            if kind == "java":
                warmup, seconds = warmup + JVM_WARMUP_S, seconds + JVM_WARMUP_S
            before, began = self.cpu(process), time.monotonic()
            done = subprocess.run(
                [
                    self.programs / "bench_load",
                    "--brokers",
                    self.servers.brokers,
                    "--topic",
                    site.topic,
                    "--audit-topic",
                    site.audit,
                    "--mix",
                    "a",
                    "--rate",
                    str(rate),
                    "--seconds",
                    str(seconds),
                    "--warmup",
                    str(warmup),
                    "pace",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            took, after = time.monotonic() - began, self.cpu(process)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
            told = json.loads(done.stdout)
            if told["missing"] > 0:
                raise RuntimeError(f"{told['missing']} commands were not answered")
            self.stop(process)
            return {
                "p50_ms": told["p50_ms"],
                "p90_ms": told["p90_ms"],
                "p99_ms": told["p99_ms"],
                "max_ms": told["max_ms"],
                "cores": (after[0] - before[0]) / took,
                "postgres_cores": (after[1] - before[1]) / took,
                "broker_cores": (after[2] - before[2]) / took,
                "generator_us": told["cpu_us_per_command"],
            }
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            site.remove()

    def idle(self, seconds: int, library: str) -> Result:
        site = Site(self.servers, self.worker, "a")
        process = self.service(site, "worker", library, lanes=2, batch=2000)
        try:
            self.await_group(site)
            before, began = own_cpu(process.pid), time.monotonic()
            time.sleep(seconds)
            cores = (own_cpu(process.pid) - before) / (time.monotonic() - began)
            self.stop(process)
            return {"cores": cores}
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            site.remove()

    def await_group(self, site: Site) -> None:
        """Until the members hold all partitions; one command through it warms the rest up."""
        for _ in until(30, 0.1):
            try:
                group = self.servers.admin.describe_consumer_groups([site.name])[site.name].result()
            except KafkaException:  # the first group makes the coordinator load itself
                continue
            held = sum(len(member.assignment.topic_partitions) for member in group.members)
            if held == 4:
                break
        self.fill(site, "a", 20)
        offsets = Offsets(self.servers, site.name, site.topic)
        for _ in until(30):
            if offsets.committed() >= 20:
                break
        offsets.close()

    # --- rounds ----------------------------------------------------------------------------------

    def throughput_round(self, mixes: list[str], libraries: list[str], quick: bool) -> None:
        count = self.options.commands or (20_000 if quick else 200_000)
        small = max(count // 13, 1_000)  # the service takes one by one
        if "a" in mixes:
            self.cell("copy a", lambda: self.in_memory("bench_copy", "a", count))
        for mix in mixes:
            self.cell(
                f"apply {mix}",
                lambda mix=mix: self.in_memory("bench_apply", mix, count, "--mix", mix),
            )
        for library in libraries:
            for mix in mixes:
                self.cell(
                    f"worker {mix} {library}",
                    lambda mix=mix, library=library: self.drain("worker", mix, count, library),
                )
            for mix in [mix for mix in mixes if mix in ("a", "c")]:
                self.cell(
                    f"service {mix} {library}",
                    lambda mix=mix, library=library: self.drain("service", mix, small, library),
                )
        if self.options.peer_go and "a" in mixes:
            self.cell("go a", lambda: self.drain("go", "a", count, "debian"))
        if self.options.peer_java and "a" in mixes:
            self.cell("java a", lambda: self.drain("java", "a", count, "debian"))

    def batch_round(self, library: str, quick: bool) -> None:
        for size in (100, 2000) if quick else (1, 10, 100, 500, 1000, 2000, 5000):
            count = min(20_000 if quick else 100_000, 2_000 if size == 1 else size * 2_000)
            self.cell(
                f"batch {size} apply",
                lambda size=size, count=count: self.in_memory(
                    "bench_apply", "a", count, "--batch", str(size)
                ),
            )
            self.cell(
                f"batch {size} worker",
                lambda size=size, count=count: self.drain(
                    "worker", "a", count, library, batch=size
                ),
            )

    def latency_round(self, libraries: list[str], quick: bool) -> None:
        seconds = 4 if quick else 15
        for library in libraries:
            for rate in (200,) if quick else (50, 200, 2000):
                for kind in ("floor", "worker"):
                    self.cell(
                        f"latency {rate} {kind} {library}",
                        lambda kind=kind, rate=rate, library=library: self.pace(
                            kind, rate, seconds, library
                        ),
                    )
            if (most := self.median(f"worker a {library}", "commands_per_s")) and not quick:
                rate = round(0.8 * most, -2)
                self.cell(
                    f"latency 80% worker {library}",
                    lambda rate=int(rate), library=library: self.pace(
                        "worker", rate, seconds, library
                    ),
                )
            self.cell(f"idle worker {library}", lambda library=library: self.idle(seconds, library))
        if self.options.peer_go and not quick:
            self.cell("latency 200 go", lambda: self.pace("go", 200, seconds, "debian"))
        if self.options.peer_java and not quick:
            self.cell("latency 200 java", lambda: self.pace("java", 200, seconds, "debian"))

    # --- what came out ---------------------------------------------------------------------------

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


SHOWN = ("commands_per_s", "p50_ms", "p90_ms", "p99_ms", "cores", "process_us", "postgres_us")


def goals(bench: Bench, libraries: list[str]) -> list[tuple[str, float | None, str]]:
    """What was measured beside what is wanted. Told, never asserted."""
    library = libraries[0]
    newest = libraries[-1]
    speed = "commands_per_s"
    return [
        ("worker A / raw COPY", bench.ratio(f"worker a {newest}", speed, "copy a"), ">= 0.60"),
        ("apply A / raw COPY", bench.ratio("apply a", speed, "copy a"), ">= 0.85"),
        (
            "worker A / per-message service",
            bench.ratio(f"worker a {library}", speed, f"service a {library}"),
            ">= 15",
        ),
        ("worker A / Go peer", bench.ratio(f"worker a {newest}", speed, "go a"), "> 1"),
        ("worker A / Java peer", bench.ratio(f"worker a {newest}", speed, "java a"), "> 1"),
        ("worker CPU per command, us", bench.median(f"worker a {newest}", "process_us"), "<= 12"),
        ("resident memory, MiB", bench.median(f"worker a {newest}", "peak_mib"), "<= 96"),
        (
            "Zipf usage / uniform usage",
            bench.ratio(f"worker b-zipf {newest}", speed, f"worker b-uniform {newest}"),
            ">= 1.0",
        ),
        (
            "ten hot keys / uniform usage",
            bench.ratio(f"worker b-ten {newest}", speed, f"worker b-uniform {newest}"),
            ">= 1.0",
        ),
        *[
            (
                f"p50 at 200/s / floor, {name}",
                bench.ratio(f"latency 200 worker {name}", "p50_ms", f"latency 200 floor {name}"),
                "<= 1.05",
            )
            for name in libraries
        ],
        *[
            (
                f"p90 at 200/s / floor, {name}",
                bench.ratio(f"latency 200 worker {name}", "p90_ms", f"latency 200 floor {name}"),
                "<= 1.1",
            )
            for name in libraries
        ],
        # Java's client is compared with a librdkafka of its own age.
        *[
            (
                f"{figure} at 200/s / Java peer, current",
                bench.ratio("latency 200 worker current", f"{figure}_ms", "latency 200 java"),
                wanted,
            )
            for figure, wanted in (("p50", "<= 1.1"), ("p99", "<= 0.5"))
            if "current" in libraries
        ],
        (
            f"cores at 200/s, {newest}",
            bench.median(f"latency 200 worker {newest}", "cores"),
            "<= 0.25",
        ),
        (f"cores idle, {newest}", bench.median(f"idle worker {newest}", "cores"), "<= 0.01"),
    ]


def print_table(bench: Bench, libraries: list[str]) -> None:
    base = bench.median("copy a", "commands_per_s")
    print(
        f"\n{'cell':<34}{'commands/s':>18}{'/COPY':>7}{'CPU us: process':>17}"
        f"{'postgres':>9}{'broker':>8}{'WAL B':>8}{'MiB':>6}{'n':>3}"
    )
    for name, samples in bench.samples.items():
        if "commands_per_s" not in samples[0]:
            continue
        speeds = bench.values(name, "commands_per_s")
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
            value = bench.median(name, figure)
            row += f"{value:>{width},.{digits}f}" if value is not None else " " * (width - 1) + "-"
        print(f"{row}{len(samples):>3}")
    if any("p50_ms" in samples[0] for samples in bench.samples.values()):
        print(f"\n{'latency, ms':<34}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}{'cores':>8}{'n':>3}")
        for name, samples in bench.samples.items():
            if "p50_ms" in samples[0]:
                figures = [
                    bench.median(name, figure)
                    for figure in ("p50_ms", "p90_ms", "p99_ms", "max_ms")
                ]
                print(
                    f"{name:<34}"
                    + "".join(f"{value:>9.2f}" for value in figures)
                    + f"{bench.median(name, 'cores'):>8.3f}{len(samples):>3}"
                )
    print(f"\n{'goal':<34}{'measured':>10}  wanted")
    for name, value, wanted in goals(bench, libraries):
        print(
            f"{name:<34}{value:>10.3f}  {wanted}"
            if value is not None
            else f"{name:<34}{'-':>10}  {wanted}"
        )


def machine() -> dict[str, Any]:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def find_current() -> Path | None:
    """The librdkafka that confluent-kafka's wheel carries: same ABI, years newer."""
    found = sorted(
        Path(sys.prefix).glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so*")
    )
    return found[0] if found else None


def main() -> int:
    # As an interrupt does: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    mixes = options.mix or (["a", "d"] if options.quick else list(MIXES))
    libraries = options.librdkafka or ["debian", "current"]
    parts = options.only or ["throughput", "batches", "latency"]
    current = find_current()
    if "current" in libraries and current is None:
        print(
            "bench: the tests' Python environment has no librdkafka: deploy/local/install.sh test",
            file=sys.stderr,
        )
        return 1
    facts = machine()
    servers = Servers(options.build / "stack", ["shared_buffers=1GB", "max_wal_size=4GB"])
    bench = Bench(options, servers, current)
    began = time.monotonic()
    rounds = 0
    try:
        # The broker's code is slow until it is compiled, and its first coordinators take a while.
        bench.drain("worker", "a", 5_000 if options.quick else 50_000, libraries[0])
        while True:
            rounds += 1
            print(f"round {rounds}, {time.monotonic() - began:.0f} s", flush=True)
            if "throughput" in parts:
                bench.throughput_round(mixes, libraries, options.quick)
            if "batches" in parts:
                bench.batch_round(libraries[-1], options.quick)
            if "latency" in parts:
                bench.latency_round(libraries, options.quick)
            spent = time.monotonic() - began
            if options.quick or spent + spent / rounds > options.minutes * 60:
                break
    finally:
        servers.close()

    print_table(bench, libraries)
    results = options.build / "results"
    results.mkdir(exist_ok=True)
    name = "quick" if options.quick else facts["date"].replace(":", "").replace("+0000", "Z")
    path = results / f"{name}.json"
    told = {
        **facts,
        "rounds": rounds,
        "mixes": mixes,
        "libraries": libraries,
        "samples": bench.samples,
        "failures": bench.failures,
        "goals": [
            {"name": goal, "measured": value, "wanted": wanted}
            for goal, value, wanted in goals(bench, libraries)
        ],
    }
    path.write_text(json.dumps(told, indent=1) + "\n")
    folder = options.charts or results
    charts.write_all(told, folder)
    print(f"\nresults: {path.relative_to(REPOSITORY)}, plots: {folder}")
    for cell, why in bench.failures.items():
        print(f"not measured: {cell}: {why}")
    measured = len(bench.samples.keys() - bench.failures.keys())
    print(f"{measured} passed, {len(bench.failures)} failed")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
