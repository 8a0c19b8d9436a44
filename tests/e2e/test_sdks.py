"""CloudEvents' own SDKs, with their defaults: what they publish is applied, and they read the audit
events. The programs are in tests/sdks."""

import base64
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest

from harness.site import Site
from harness.stack import REPOSITORY
from harness.wire import KEYS, TYPES

pytestmark = pytest.mark.sdks

SOURCES = REPOSITORY / "tests" / "sdks"
INSTALLED = Path(os.environ.get("CATALYST_CACHE", REPOSITORY / "build")) / "sdks"
MODES = ("default", "typed", "structured")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _program(language: str) -> tuple[list[str], dict[str, str]]:
    """The command, and what its environment needs."""
    if language == "python":
        return [sys.executable, str(SOURCES / "python" / "sdk.py")], {"PYTHONPATH": str(INSTALLED / "python")}
    if language == "node":
        # Node looks for packages beside the program.
        program = shutil.copy(SOURCES / "node" / "sdk.mjs", INSTALLED / "node" / "sdk.mjs")
        return ["node", str(program)], {}
    if language == "java":
        return ["java", "-cp", f"{INSTALLED / 'java'}/*", str(SOURCES / "java" / "Sdk.java")], {}
    return [str(INSTALLED / "go" / "sdk")], {}


def _run(language: str, *arguments: str, given: str = "") -> str:
    assert INSTALLED.is_dir(), f"{INSTALLED} is missing: deploy/local/install.sh test"
    command, env = _program(language)
    done = subprocess.run(
        [*command, *arguments],
        env=os.environ | env,
        input=given,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{language}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _commands(language: str) -> list[dict[str, Any]]:
    return [
        {
            "mode": mode,
            "id": f"{language}-{mode}",
            "source": f"sdk-{language}",
            "type": TYPES["key.issue"],
            "key": f"key-{mode}",
            "traceparent": TRACE,
            "data": {
                "id": f"key-{mode}",
                "hash": f"hash-{mode}",
                "owner": {"kind": "user", "id": "Zo\u00eb"},
                "scopes": ["a", "b"],
                "metadata": {"n": 1, "deep": {"x": [None, 1.5]}},
            },
        }
        for mode in MODES
    ]


@pytest.mark.parametrize("language", ["python", "node", "java", "go"])
def test_sdk_publishes_with_its_defaults_and_reads_the_audit_events(site: Site, language: str) -> None:
    site.start()

    lines = "".join(json.dumps(command) + "\n" for command in _commands(language))
    _run(language, "publish", site.stack.servers, site.topics[KEYS], given=lines)
    site.wait_done()

    assert [letter.text("kafka_dlt-exception-message") for letter in site.dead_letters(KEYS)] == []
    rows = site.table("auth_keys")
    assert set(rows) == {f"key-{mode}" for mode in MODES}
    for mode in MODES:
        row = rows[f"key-{mode}"]
        assert row["owner_id"] == "Zo\u00eb" and row["scopes"] == ["a", "b"]
        assert row["metadata"] == {"n": 1, "deep": {"x": [None, 1.5]}}
    events = {record.text("ce_causationid"): record for record in site.audit_records()}
    assert set(events) == {f"{language}-{mode}" for mode in MODES}
    assert all(record.text("traceparent") == TRACE for record in events.values())

    told = [
        json.loads(line) for line in _run(language, "read", site.stack.servers, site.audit, "3").splitlines()
    ]

    assert {each["causationid"] for each in told} == set(events)
    for each in told:
        record = events[each["causationid"]]
        assert (each["id"], each["subject"]) == (record.text("ce_id"), record.text("ce_subject"))
        assert each["source"] == "catalyst-worker"
        assert each["type"] == "dev.catalyst.audit.key.issued.v1"
        assert each["datacontenttype"] == "application/vnd.msgpack"
        assert datetime.fromisoformat(each["time"]) == datetime.fromisoformat(record.text("ce_time") or "")
        assert base64.b64decode(each["data"]) == record.value
        assert msgpack.unpackb(base64.b64decode(each["data"]))["outcome"] == "applied"
