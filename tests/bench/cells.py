"""A cell is one measurement on tables and topics of its own: how each kind of cell is measured."""

import argparse
import json
import signal
import subprocess
import time
from pathlib import Path

from confluent_kafka import KafkaException
from procfs import own_cpu, peak_mib
from results import Result
from stack import REPOSITORY, Offsets, Servers, Site, until

# The CPU time of a backend that has ended shows once the postmaster has taken notice.
REAPED_S = 0.3

# A service runs for weeks: that a JVM is slow at first does not count. Its share of a full topic,
# and how much longer it gets single commands beforehand.
JVM_WARMUP_SHARE, JVM_WARMUP_S = 0.25, 10


def java_command(home: Path | None) -> list[str]:
    settings = REPOSITORY / "tests" / "bench" / "peer_java" / "jvm.options"
    return ["java", f"@{settings}", "-cp", f"{home}/classes:{home}/jars/*", "peer.Main"]


class Cells:
    def __init__(self, options: argparse.Namespace, servers: Servers, current: Path | None):
        self.options = options
        self.servers = servers
        self.current = current  # the newer librdkafka
        self.programs = options.build / "tests" / "bench"
        self.worker = options.build / "worker" / "catalyst-worker"
        self.logs = options.build / "logs"
        self.logs.mkdir(exist_ok=True)

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
