"""The program under test, as processes: its verbs, and its daemon."""

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .stack import REPOSITORY
from .wait import wait_until

BINARY = Path(os.environ.get("CATALYST_WORKER", REPOSITORY / "build" / "dev" / "worker" / "catalyst-worker"))
SANITIZED = "asan" in BINARY.parts or bool(os.environ.get("E2E_SANITIZED"))

# Put in front of the librdkafka that the program is linked with, when it is to be another one.
LIBRDKAFKA = os.environ.get("E2E_LIBRDKAFKA")
# How much longer something may take with it: a replica whose lane hangs in a call that never comes
# back ends after a minute (docs/operations.md), and its session has to run out.
HANG_S = 90 if LIBRDKAFKA else 0

EXIT_OK = 0
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NOT_FOUND = 66
EXIT_UNAVAILABLE = 69
EXIT_TRY_AGAIN = 75
EXIT_CONFIG = 78

# Not from the shell that runs the tests: only what a test says counts.
INHERITED = ("PATH", "LANG", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_PRELOAD")


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    if LIBRDKAFKA:
        inherited["LD_PRELOAD"] = LIBRDKAFKA
    return inherited | extra


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(
    *arguments: str, env: dict[str, str], stdin: str | bytes = b"", timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a verb to its end."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(
        [str(BINARY), *arguments],
        env=clean_environment(env),
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    result = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")
    )
    assert_sanitizers_silent(result.stderr)
    return result


def run_into(path: str, *arguments: str, env: dict[str, str], timeout_s: float = 60) -> tuple[int, str]:
    """Runs a verb whose standard output is that file. Answers the exit code and what it says."""
    with Path(path).open("wb") as out:
        done = subprocess.run(
            [str(BINARY), *arguments],
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    said = done.stderr.decode(errors="replace")
    assert_sanitizers_silent(said)
    return done.returncode, said


def run_ok(*arguments: str, env: dict[str, str], **options: Any) -> str:
    done = run(*arguments, env=env, **options)
    assert done.returncode == EXIT_OK, f"{arguments}: exit {done.returncode}\n{done.stderr}"
    return done.stdout


def run_json(*arguments: str, env: dict[str, str], **options: Any) -> Any:
    return json.loads(run_ok(*arguments, env=env, **options))


def assert_sanitizers_silent(log: str) -> None:
    for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "ThreadSanitizer"):
        assert mark not in log, log


class Worker:
    """A replica: one process of `catalyst-worker run`."""

    def __init__(
        self, env: dict[str, str], instance: str, log: Path, http: bool = True, arguments: Sequence[str] = ()
    ):
        self.instance = instance
        self.arguments = tuple(arguments)
        self.port = free_port()
        self.log_path = log
        self.env = clean_environment(
            env
            | {
                "CATALYST_INSTANCE_ID": instance,
                "CATALYST_HTTP_LISTEN": f"127.0.0.1:{self.port}" if http else "",
            }
        )
        log.parent.mkdir(parents=True, exist_ok=True)
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as output:
            return subprocess.Popen(
                [str(BINARY), "run", *self.arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def ended_hanging(self) -> bool:
        """It ended itself, since a call of a newer librdkafka's never came back. Debian's has no such
        call: there it is a failure as any other."""
        return bool(LIBRDKAFKA) and self.process.poll() == EXIT_TRY_AGAIN and "a lane hangs" in self.log

    def ended_well(self) -> bool:
        return self.process.poll() == EXIT_OK or self.ended_hanging()

    def revive(self) -> None:
        """As a service manager does."""
        self.process = self._spawn()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0: it does not listen."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, deadline_s: float = 60) -> "Worker":
        def ready() -> bool:
            assert self.alive(), f"exit {self.process.returncode} before it was ready:\n{self.log}"
            return self.get("/health/ready")[0] == 200

        wait_until(f"{self.instance} is ready", ready, deadline_s)
        return self

    def metrics(self) -> dict[str, float]:
        """Samples by name{labels} as exposed."""
        status, body = self.get("/metrics")
        assert status == 200, f"/metrics: {status}"
        samples = {}
        for line in body.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name that carry these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        found = [
            value
            for sample, value in self.metrics().items()
            if sample.partition("{")[0] == name
            and wanted <= set(sample.partition("{")[2].removesuffix("}").split(","))
        ]
        assert found, f"no metric {name} {labels} in {sorted(self.metrics())}"
        return sum(found)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline_s: float = 60) -> int:
        code = self.process.wait(deadline_s + HANG_S)
        assert_sanitizers_silent(self.log)
        return code

    def stop(self, deadline_s: float = 60) -> None:
        """A graceful stop, which must succeed."""
        self.terminate()
        code = self.wait(deadline_s)
        assert self.ended_well(), f"{self.instance}: exit {code} after SIGTERM\n{self.log[-4000:]}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
