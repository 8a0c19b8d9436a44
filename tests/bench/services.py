"""The processes that are measured: started on a site, watched, stopped."""

import argparse
import http.client
import re
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from stack import REPOSITORY, Servers, Site

# A service runs for weeks: that a JVM is slow at first does not count. Its share of a full topic,
# and how much longer it gets single commands beforehand.
JVM_WARMUP_SHARE, JVM_WARMUP_S = 0.25, 10


@dataclass(frozen=True)
class Shape:
    """What runs: `kind` is worker, service, floor, go or java; `library` debian or current."""

    kind: str
    library: str
    processes: int = 1
    lanes: int = 2
    batch: int = 2000

    @property
    def members(self) -> int:
        """Of the consumer group: each lane of the worker is one, the others are single loops."""
        return self.processes * (self.lanes if self.kind == "worker" else 1)


class Service:
    """One process on a site."""

    def __init__(self, process: subprocess.Popen[bytes], address: str):
        self.process = process
        self.address = address  # "address:port" of the worker's pages; "": it has none
        self.pid = process.pid

    def check(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"ended early, exit code {self.process.returncode}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("did not stop within 30 s of SIGTERM") from None
        if code != 0:
            raise RuntimeError(f"ended with exit code {code}")

    def suspend(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def page(self, path: str) -> tuple[int, str]:
        """Status and body. Raises OSError when nobody answers."""
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def is_started(self) -> bool:
        try:
            return self.page("/health/started")[0] == 200
        except OSError:  # it does not listen yet
            return False

    def step_seconds(self) -> dict[str, float]:
        """How long its lanes have been in each step of their way, all lanes together."""
        found = re.findall(
            r'^catalyst_step_duration_seconds_sum\{step="(\w+)"\} (\S+)$',
            self.page("/metrics")[1],
            re.MULTILINE,
        )
        if not found:
            raise RuntimeError("/metrics tells no durations of steps")
        return {step: float(seconds) for step, seconds in found}


def java_command(home: Path | None) -> list[str]:
    settings = REPOSITORY / "tests" / "bench" / "peer_java" / "jvm.options"
    return ["java", f"@{settings}", "-cp", f"{home}/classes:{home}/jars/*", "peer.Main"]


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Services:
    """Knows the programs and how each is started."""

    def __init__(self, options: argparse.Namespace, servers: Servers, current: Path | None):
        self.servers = servers
        self.current = current  # the newer librdkafka
        self.interval = options.partitioned
        self.peer_go = options.peer_go
        self.peer_java = options.peer_java
        self.programs = options.programs / "tests" / "bench"
        self.worker = options.programs / "worker" / "catalyst-worker"
        self.logs = options.build / "logs"
        self.logs.mkdir(exist_ok=True)

    def site(self, mix: str, schema: str | None = None) -> Site:
        return Site(self.servers, self.worker, mix, schema, self.interval)

    def start(self, site: Site, shape: Shape, *, pages: bool = False) -> list[Service]:
        return [self.start_one(site, shape, nth, pages) for nth in range(shape.processes)]

    def start_one(self, site: Site, shape: Shape, nth: int, pages: bool) -> Service:
        plain = ["--conninfo", self.servers.database_url, "--schema", site.schema]
        plain += ["--brokers", self.servers.brokers, "--topic", site.topic]
        plain += ["--audit-topic", site.audit, "--group", site.name]
        commands = {
            "worker": [self.worker, "run"],
            "service": [self.programs / "bench_service", *plain],
            "floor": [self.programs / "bench_floor", *plain],
            "go": [self.peer_go, *plain],
            "java": [*java_command(self.peer_java), *plain],
        }
        address = free_address() if pages else ""
        environment = site.environment() | {
            "CATALYST_LANES": str(shape.lanes),
            "CATALYST_BATCH_MAX_MESSAGES": str(shape.batch),
            "CATALYST_INSTANCE_ID": f"bench{nth}",
            "CATALYST_HTTP_LISTEN": address,
        }
        if shape.library == "current":
            environment["LD_PRELOAD"] = str(self.current)
        with (self.logs / f"{site.name}-{shape.kind}-{nth}.log").open("wb") as log:
            process = subprocess.Popen(commands[shape.kind], env=environment, stdout=log, stderr=log)
        return Service(process, address)

    def are_assigned(self, site: Site, members: int) -> bool:
        """Whether so many members hold all partitions, and none of them has nothing to do."""
        try:
            group = self.servers.admin.describe_consumer_groups([site.name])[site.name].result()
        except KafkaException:  # the first group makes the coordinator load itself
            return False
        held = [len(member.assignment.topic_partitions) for member in group.members]
        return len(held) == members and min(held) > 0 and sum(held) == site.partitions
