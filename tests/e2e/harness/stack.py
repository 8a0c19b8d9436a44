"""The local stack of deploy/local: a real broker and a real database."""

import os
import shlex
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
STACK = REPOSITORY / "deploy" / "local" / "stack.sh"


class Stack:
    def __init__(self, directory: Path, keep: bool):
        self.directory = directory
        self.keep = keep
        self.servers = ""
        self.database_url = ""
        self.admin_url = ""

    def run(self, verb: str) -> str:
        command = [str(STACK), verb, "--dir", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        self.run("start")
        values = {}
        for line in self.run("env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            values[name] = shlex.split(value)[0] if value else ""
        self.servers = values["CATALYST_KAFKA_BOOTSTRAP_SERVERS"]
        self.database_url = values["CATALYST_DATABASE_URL"]
        self.admin_url = values["STACK_ADMIN_DATABASE_URL"]

    def stop(self) -> None:
        if not self.keep:
            self.run("destroy")


def stack_from_environment(default: Path) -> Stack:
    """STACK_DIR names a stack that somebody else keeps; without it the tests have one of their own."""
    given = os.environ.get("STACK_DIR")
    return Stack(Path(given) if given else default, keep=bool(given))
