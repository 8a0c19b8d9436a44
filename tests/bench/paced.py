"""Latency under a steady load, rest, and the start of the process."""

import contextlib
import json
import statistics
import subprocess
import time
from collections.abc import Iterator

from cells import Cells, Mix
from procfs import own_cpu
from results import Result
from services import JVM_WARMUP_S, Service, Shape
from stack import Offsets, Site, until

STARTED_WITHIN_S = 30
# Not the keys of `pace` again.
OTHERS = Mix("a", ("--seed", "2"))


def ready(cells: Cells, site: Site, shape: Shape) -> None:
    """Until the members hold all partitions; a few commands through them warm the rest up."""
    for _ in until(30, 0.1):
        if cells.services.are_assigned(site, shape.members):
            break
    cells.fill(site, OTHERS, 20)
    offsets = Offsets(cells.servers, site.name, site.topic)
    for _ in until(30):
        if offsets.committed() >= 20:
            break
    offsets.close()


@contextlib.contextmanager
def at_work(cells: Cells, shape: Shape) -> Iterator[tuple[Site, Service]]:
    """A site of its own and a service that is ready; whatever happens, both are gone afterwards."""
    with contextlib.ExitStack() as stack:
        site = cells.services.site("a")
        stack.callback(site.remove)
        (service,) = cells.services.start(site, shape)
        stack.callback(service.kill)
        ready(cells, site, shape)
        yield site, service


def pace(cells: Cells, shape: Shape, rate: int, seconds: int) -> Result:
    """A steady stream of single commands; the latency is that of their audit events. The generator
    keeps to Debian's librdkafka, so that only what is measured changes."""
    servers = cells.servers
    warmup = 1 if seconds <= 5 else 3
    if shape.kind == "java":
        warmup, seconds = warmup + JVM_WARMUP_S, seconds + JVM_WARMUP_S
    with at_work(cells, shape) as (site, service):
        command = [str(cells.programs / "bench_load"), "--brokers", servers.brokers]
        command += ["--topic", site.topic, "--audit-topic", site.audit, *Mix("a").arguments]
        command += ["--rate", str(rate), "--seconds", str(seconds)]
        command += ["--warmup", str(warmup), "pace"]
        before = cells.read([service], {})
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = cells.read([service], {})
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        told = json.loads(done.stdout)
        if told["missing"] > 0:
            raise RuntimeError(f"{told['missing']} commands were not answered")
        service.stop()
        took = after.time_s - before.time_s
        return {
            "rate": rate,
            "p50_ms": told["p50_ms"],
            "p90_ms": told["p90_ms"],
            "p99_ms": told["p99_ms"],
            "max_ms": told["max_ms"],
            "cores": (after.process - before.process) / took,
            "postgres_cores": (after.postgres - before.postgres) / took,
            "broker_cores": (after.broker - before.broker) / took,
            "generator_us": told["cpu_us_per_command"],
        }


def idle(cells: Cells, shape: Shape, seconds: int) -> Result:
    with at_work(cells, shape) as (_, service):
        before, began = own_cpu(service.pid), time.monotonic()
        time.sleep(seconds)
        cores = (own_cpu(service.pid) - before) / (time.monotonic() - began)
        service.stop()
        return {"cores": cores}


def start(cells: Cells, shape: Shape, times: int) -> Result:
    """From the making of the process to /health/started: every lane's first poll has answered.
    Joining the group is not in it. A first start does not count: the broker has only just made the
    topics."""
    with contextlib.ExitStack() as stack:
        site = cells.services.site("a")
        stack.callback(site.remove)
        took = []
        for _ in range(times + 1):
            began = time.monotonic()
            (service,) = cells.services.start(site, shape, pages=True)
            stack.callback(service.kill)
            for _ in until(STARTED_WITHIN_S, 0.001):
                service.check()
                if service.is_started():
                    break
            took.append((time.monotonic() - began) * 1e3)
            service.stop()
        return {"started_ms": statistics.median(took[1:]), "started_max_ms": max(took[1:])}
