"""Server processes of the campaign: started here, watched by pid, ended whatever happens."""

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

from harness.wait import Timeout, wait_until

_alive: set["Process"] = set()
_given_ports: set[int] = set()
_lock = threading.Lock()


class Process:
    """One server. Its signals go to it alone; a terminal's Ctrl-C does not reach it, so that
    servers end in the order that their owner wants."""

    def __init__(self, name: str, log: Path):
        self.name = name
        self.log_path = log
        self._popen: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        assert not self.alive(), f"{self.name} runs already"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [str(word) for word in command],
                env=server_environment(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user(user),
            )
        with _lock:
            _alive.add(self)

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None: it runs, or never did. Negative: the signal that ended it."""
        return None if self._popen is None else self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        assert self.alive(), f"{self.name} does not run; see {self.log_path}"
        os.kill(self.pid, number)

    def pause(self) -> None:
        """It and everything below it, parents first: a parent that is stopped starts no more."""
        self._signal_tree(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_tree(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, which reaches a stopped process too. What it had started ends by itself, or is
        ended: a server's successor must not meet its predecessor's children."""
        children = descendants(self.pid) if self.alive() else []
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self._reap(10)
        try:
            wait_until("its children end", lambda: not any(map(running, children)), 5)
        except Timeout:
            for pid in filter(running, children):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self, number: signal.Signals, deadline_s: float) -> bool:
        """Asks it to end, and ends it once it has had its time. False: it had to be killed."""
        if not self.alive():
            self._reap(0)
            return True
        self.resume()
        self.send(number)
        try:
            self._reap(deadline_s)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def log_from(self, offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _reap(self, deadline_s: float) -> None:
        if self._popen is not None:
            self._popen.wait(deadline_s)
        with _lock:
            _alive.discard(self)

    def _signal_tree(self, number: signal.Signals) -> None:
        self.send(number)
        for pid in descendants(self.pid):
            with contextlib.suppress(ProcessLookupError):  # it ended in between
                os.kill(pid, number)


class Servers:
    """What is started as a whole and destroyed as a whole, also when starting fails half way."""

    def start(self) -> None:
        raise NotImplementedError

    def destroy(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


def descendants(root: int) -> list[int]:
    """Pids of all processes below this one, parents before their children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(root, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def running(pid: int) -> bool:
    """Neither gone nor a zombie, which holds neither port nor file."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    """State, parent and what follows; empty: no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The name may hold spaces and parentheses: fields are counted behind the last one.
    return stat.rpartition(")")[2].split()


def server_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Not what the shell happens to have exported: PGOPTIONS or LD_PRELOAD would be part of the
    experiment."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/"} | dict(extra)


def as_user(user: str | None) -> dict[str, Any]:
    """Options of subprocess for a server that refuses to run as root."""
    if user is None or os.geteuid() != 0:
        return {}
    return {"user": user, "group": user, "extra_groups": []}


def free_port() -> int:
    """A loopback port that nobody listens on, given once, and below the range from which the kernel
    takes clients' ports: a client that keeps dialling a stopped server inside that range can end up
    connected to itself and hold the port."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    top = low if low > 21000 else 61000
    while True:
        port = random.SystemRandom().randrange(20000, top)
        with _lock, socket.socket() as listener:
            if port in _given_ports:
                continue
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given_ports.add(port)
            return port


def wait_port_free(port: int, deadline_s: float = 30) -> None:
    """A process that was killed lets go of its port a little later than of its pid."""

    def free() -> bool:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

    wait_until(f"port {port} is free again", free, deadline_s)


def answers(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0


def libfaketime() -> Path | None:
    """The library that shifts the clock of a process under LD_PRELOAD; None: not installed. The
    variant for programs with threads, where there is one."""
    for name in ("libfaketimeMT.so.1", "libfaketime.so.1"):
        for folder in ("/usr/lib", "/usr/local/lib"):
            if found := sorted(Path(folder).glob(f"**/faketime/{name}")):
                return found[0]
    return None


def end_everything() -> None:
    """What still runs, by pid."""
    with _lock:
        left = list(_alive)
    for process in left:
        process.kill()


def _end_by_signal(number: int, frame: FrameType | None) -> None:
    del frame
    # As an exception: context managers and atexit then do their part.
    raise SystemExit(128 + number)


def end_with_this_program() -> None:
    """Makes SIGTERM and SIGHUP an orderly end. To be called once, from the main thread."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_by_signal)


atexit.register(end_everything)

__all__ = [
    "Process",
    "Timeout",
    "answers",
    "as_user",
    "descendants",
    "end_everything",
    "end_with_this_program",
    "free_port",
    "libfaketime",
    "running",
    "server_environment",
    "wait_port_free",
    "wait_until",
]
