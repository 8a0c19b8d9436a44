"""A file system of its own for a database cluster, which can become full and be freed again."""

import atexit
import os
import shutil
import subprocess
from pathlib import Path


class Unavailable(Exception):
    """This machine does not let us do it."""


class Disk:
    """A tmpfs, which takes root and a mount. Where that is refused, a directory like any other, and
    only fill() fails."""

    def __init__(self, path: Path, size_mb: int):
        self.path = path
        self.size_mb = size_mb
        self.limited = False

    def make(self) -> None:
        self.path.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m,mode=0755"]
        self.limited = os.geteuid() == 0 and _run([*mount, "catalyst-faults", str(self.path)]) == ""
        if self.limited:
            atexit.register(self._unmount)

    def used_bytes(self) -> int:
        state = os.statvfs(self.path)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def fill(self) -> None:
        """Not one more page can be had from now on; what is there can be written over."""
        if not self.limited:
            raise Unavailable("no file system of our own: mounting takes root")
        for _ in range(100):
            # Refused as long as somebody has taken a page in between.
            refused = self._resize(f"{self.used_bytes()}")
            if refused == "":
                return
        raise Unavailable(f"the file system cannot be made smaller: {refused}")

    def free(self) -> None:
        if self.limited:
            refused = self._resize(f"{self.size_mb}m")
            assert refused == "", f"the file system cannot be made larger: {refused}"

    def destroy(self) -> None:
        self._unmount()
        atexit.unregister(self._unmount)
        shutil.rmtree(self.path, ignore_errors=True)

    def _unmount(self) -> None:
        if self.limited and os.path.ismount(self.path):
            _run(["umount", "-l", str(self.path)])

    def _resize(self, size: str) -> str:
        return _run(["mount", "-o", f"remount,size={size}", str(self.path)])


def _run(command: list[str]) -> str:
    """Empty, or why it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"
