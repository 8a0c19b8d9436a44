"""The worker's processes: each replica has a name of its own and is started again when it ends."""

import contextlib
import http.client
import random
import re
import resource
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.program import BINARY

from .installation import Installation
from .processes import Process, Timeout, free_port, libfaketime, wait_until

STOP_S = 60
COUNTERS = (
    "catalyst_duplicates_total",
    "catalyst_redeliveries_total",
    "catalyst_id_conflicts_total",
    "catalyst_batches_total",
    "catalyst_batches_dropped_total",
    "catalyst_batch_bisections_total",
    "catalyst_database_transaction_retries_total",
    "catalyst_database_connects_total",
    "catalyst_kafka_transactions_aborted_total",
    "catalyst_kafka_transactions_lost_total",
    "catalyst_kafka_producers_reopened_total",
)
SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Death:
    instance: str
    code: int
    last_words: str


class Replica:
    """held: whoever holds it decides when it runs, and with what."""

    def __init__(self, installation: Installation, number: int, directory: Path):
        self.installation = installation
        self.instance = f"replica-{number}"
        self.directory = directory
        self.process = Process(self.instance, directory / "logs" / f"{self.instance}.log")
        self.port = free_port()
        self.wanted = False
        self.held = False
        self.paused = False
        # An end that we brought about: by a signal, or by what we took away.
        self.end_expected = True
        self.restart_at = 0.0
        self.log_since = 0
        self.seen: Counter[str] = Counter()

    @property
    def clock_file(self) -> Path:
        return self.directory / f"{self.instance}.clock"

    def start(self, shifted: bool = False) -> None:
        env = self.installation.env | {
            "CATALYST_INSTANCE_ID": self.instance,
            "CATALYST_HTTP_LISTEN": f"127.0.0.1:{self.port}",
        }
        if shifted:
            library = libfaketime()
            assert library is not None, "libfaketime is missing: run deploy/local/install.sh test"
            self.set_clock(0)
            env |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
                "FAKETIME_CACHE_DURATION": "1",
                # What a step of the clock leaves alone.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self.seen = Counter()
        self.paused = False
        self.end_expected = False
        self.log_since = self.process.log_size()
        self.process.start([BINARY, "run"], env)

    def set_clock(self, seconds: int) -> None:
        """In one step, for whoever reads the file at this moment."""
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(self.clock_file)

    def alive(self) -> bool:
        return self.process.alive()

    def kill(self) -> None:
        self.end_expected = True
        self.process.kill()

    def terminate(self) -> int:
        """SIGTERM; the exit code, -9 when it had to be killed.

        On a loaded machine the signal may come while the program is still being loaded, when
        nobody can catch it: it had nothing in hand, so that counts as a stop in order."""
        self.end_expected = True
        self.process.stop(signal.SIGTERM, STOP_S)
        code = self.process.exit_code
        if code == -signal.SIGTERM and self.process.log_size() == self.log_since:
            return 0
        return -9 if code is None else code

    def pause(self) -> None:
        self.paused = True
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()
        self.paused = False

    def address_space(self) -> int:
        """Bytes; 0: it has just ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        size = re.search(r"^VmSize:\s+(\d+) kB", status, re.MULTILINE)
        return 0 if size is None else int(size[1]) * 1024

    def limit_memory(self, limit_bytes: int) -> None:
        """Of its address space; what it does for want of it is its own affair."""
        self.end_expected = True
        with contextlib.suppress(ProcessLookupError):
            limits = (limit_bytes, resource.RLIM_INFINITY)
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, limits)

    def get(self, path: str, timeout_s: float = 2) -> tuple[int, str]:
        """Status and body; 0 and why: no answer."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def ready(self) -> bool:
        return self.alive() and self.get("/health/ready")[0] == 200

    def scrape(self) -> None:
        samples: Counter[str] = Counter()
        for name, value in SAMPLE.findall(self.get("/metrics", 1)[1]):
            if name in COUNTERS:
                samples[name] += int(float(value))
        if samples:
            self.seen = samples

    def last_words(self) -> str:
        """Its latest error, from the end of its log."""
        end = self.process.log_from(max(0, self.process.log_size() - 20_000))
        errors = [line for line in end.splitlines() if " level=error " in line]
        return errors[-1].partition(" level=error ")[2] if errors else "no error in its log"

    def stacks(self) -> str:
        """Of all threads, as gdb sees them."""
        command = ["gdb", "-p", str(self.process.pid), "-batch", "-ex", "thread apply all bt"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no stacks: {error}"
        return done.stdout


class Fleet:
    """As many replicas as are wanted, each started again a moment after its end."""

    def __init__(self, installation: Installation, directory: Path, size: int, seed: int):
        self.replicas = [Replica(installation, n, directory) for n in range(1, size + 1)]
        self.kills = 0
        self.ends: Counter[int] = Counter()
        self.unexpected: list[Death] = []
        self.lock = threading.RLock()
        self._chance = random.Random(seed)
        self._totals: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, daemon=True),
            threading.Thread(target=self._scrape, daemon=True),
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Ends every replica without ceremony."""
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)
        with self.lock:
            for replica in self.replicas:
                if replica.alive():
                    replica.scrape()
                    replica.kill()
                self._count(replica)

    def running(self) -> list[Replica]:
        return [each for each in self.replicas if each.wanted and each.alive()]

    def free(self) -> list[Replica]:
        """Those that nobody holds."""
        return [each for each in self.running() if not each.held]

    def wanted(self) -> int:
        return sum(each.wanted for each in self.replicas)

    def resize(self, count: int) -> list[int]:
        """The exit codes of those that had to go, by SIGTERM."""
        leaving: list[Replica] = []
        with self.lock:
            for number, replica in enumerate(self.replicas):
                wanted = number < count
                if replica.wanted and not wanted and replica.alive():
                    leaving.append(replica)
                replica.wanted = wanted
                replica.restart_at = 0.0
                if leaving and leaving[-1] is replica:
                    replica.held = True
        codes = [replica.terminate() for replica in leaving]
        for replica in leaving:
            self._count(replica)
            replica.held = False
        return codes

    def kill_one(self, chance: random.Random) -> str | None:
        """SIGKILL of any that nobody holds."""
        with self.lock:
            if not (free := self.free()):
                return None
            replica = chance.choice(free)
            self.kill(replica)
            return replica.instance

    def kill(self, replica: Replica) -> None:
        with self.lock:
            replica.kill()
            self.kills += 1
            self._count(replica)
            replica.restart_at = time.monotonic() + self._delay()

    @contextlib.contextmanager
    def hold(self, replica: Replica) -> Iterator[Replica]:
        """Nobody else touches it; afterwards it runs again as ever."""
        with self.lock:
            assert replica.wanted
            replica.held = True
        try:
            yield replica
        finally:
            with self.lock:
                replica.held = False

    def any_free(self, chance: random.Random) -> Replica:
        """One that runs and that nobody holds; waits for it."""
        found = wait_until("a replica that runs", self.free, 60)
        return chance.choice(found)

    def wait_ready(self, deadline_s: float = 120) -> None:
        """All that are wanted."""

        def ready() -> bool:
            return all(each.ready() for each in self.replicas if each.wanted)

        wait_until("all replicas are ready", ready, deadline_s, 0.2)

    def totals(self) -> Counter[str]:
        """Of all processes there were: what each had counted when it was last asked."""
        with self.lock:
            found = self._totals.copy()
            for replica in self.replicas:
                if replica.alive():
                    found += replica.seen
            return found

    def log_lines(self, mark: str) -> int:
        """In the logs of all replicas."""
        count = 0
        for replica in self.replicas:
            if replica.process.log_path.exists():
                with replica.process.log_path.open(errors="replace") as log:
                    count += sum(mark in line for line in log)
        return count

    # --- within --------------------------------------------------------------------------------

    def _delay(self) -> float:
        """At once, as a service manager does it, or after the session is over."""
        return self._chance.choice((0.1, 0.5, 1.0, 2.0, 5.0))

    def _count(self, replica: Replica) -> None:
        self._totals += replica.seen
        replica.seen = Counter()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            with self.lock:
                for replica in self.replicas:
                    self._tend(replica)

    def _tend(self, replica: Replica) -> None:
        if replica.held or not replica.wanted or replica.alive():
            return
        code = replica.process.exit_code
        now = time.monotonic()
        if code is not None and not replica.end_expected:
            replica.end_expected = True
            self.ends[code] += 1
            self.unexpected.append(Death(replica.instance, code, replica.last_words()))
            self._count(replica)
            replica.restart_at = now + self._delay()
        if now >= replica.restart_at:
            replica.start()

    def _scrape(self) -> None:
        while not self._over.wait(0.5):
            for replica in self.replicas:
                if replica.alive() and not replica.paused:
                    replica.scrape()


__all__ = ["Death", "Fleet", "Replica", "Timeout"]
