"""CPU time and memory of processes, as the kernel tells them."""

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid: int) -> tuple[int, list[int]]:
    """Parent, and (utime, stime, cutime, cstime) in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def own_cpu(pid: int) -> float:
    """Seconds of CPU time of one process, all its threads."""
    ticks = stat(pid)[1]
    return (ticks[0] + ticks[1]) / TICKS


def tree_cpu(root: int) -> float:
    """The same for a process, its children, and the children that have ended."""
    total = sum(stat(root)[1])
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent, ticks = stat(int(entry.name))
            if parent == root:
                total += ticks[0] + ticks[1]
    return total / TICKS


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident now, and at most so far."""
    told = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            told[name] = int(rest.split()[0]) / 1024
    if len(told) != 2:
        raise ValueError(f"process {pid} tells no VmRSS and VmHWM")
    return told["VmRSS"], told["VmHWM"]


def machine_cpu() -> tuple[float, float]:
    """Seconds that all CPUs together have been busy, and idle (waiting for a disk included)."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    ticks = [int(word) for word in words[1:9]]  # user nice system idle iowait irq softirq steal
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICKS, idle / TICKS
