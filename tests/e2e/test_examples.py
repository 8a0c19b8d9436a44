"""The examples of docs/examples, which the README shows, run as a stranger would run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.site import Site
from harness.stack import REPOSITORY
from harness.wire import KEYS

EXAMPLES = REPOSITORY / "docs" / "examples"
NODE_MODULES = REPOSITORY / "build" / "node"


def _node() -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node and npm, "node and npm are missing: deploy/local/install.sh test"
    NODE_MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "publish_command.mjs"):
        shutil.copy(EXAMPLES / name, NODE_MODULES / name)
    if not (NODE_MODULES / "node_modules" / "kafkajs").is_dir():
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=NODE_MODULES, check=True, timeout=120
        )
    return [node, str(NODE_MODULES / "publish_command.mjs")]


@pytest.mark.parametrize("language", ["python", "node"])
def test_example_publishes_a_command_that_is_applied(site: Site, language: str) -> None:
    command = _node() if language == "node" else [sys.executable, str(EXAMPLES / "publish_command.py")]
    site.start()

    done = subprocess.run(
        command,
        env={
            "PATH": os.environ["PATH"],
            "BOOTSTRAP_SERVERS": site.stack.servers,
            "TOPIC": site.topics[KEYS],
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site.wait_done()

    (key,) = site.table("auth_keys").values()
    assert key["owner_kind"] == "user" and key["scopes"] == ["orders:read", "orders:write"]
    assert len(key["hash"]) == 64
    (record,) = site.audit_records()
    assert record.text("ce_type") == "dev.catalyst.audit.key.issued.v1"
    assert record.key == key["id"].encode()
    assert site.dead_letters(KEYS) == []
    assert key["id"] in done.stdout


def test_examples_are_shown_in_the_readme_as_they_are() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for name in ("publish_command.py", "publish_command.mjs"):
        assert f"docs/examples/{name}" in readme, f"the README does not name {name}"


def test_examples_need_nothing_of_this_repository() -> None:
    for path in (EXAMPLES / "publish_command.py", EXAMPLES / "publish_command.mjs"):
        assert "harness" not in Path(path).read_text()
