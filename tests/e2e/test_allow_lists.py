"""Allow-lists of command topics: what they refuse leaves nothing but a dead letter."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import make
from harness.model import Model
from harness.program import run
from harness.site import Site
from harness.wire import IDENTITY, KEYS, TYPES, Record

EXIT_CONFIG = 78


@dataclass
class Seen:
    site: Site
    file: Path
    letters: dict[str, Record]  # by ce_id


def _file(path: Path, site: Site, more: str) -> Path:
    path.write_text(f"[topic {site.topics[KEYS]}]\n{more}")
    return path


@pytest.fixture(scope="module")
def seen(new_module_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    site = new_module_site(partitions=1)
    lists = f"types = {TYPES['key.revoke']}, {TYPES['key.record_usage']}\nsources = billing\n"
    file = _file(tmp_path_factory.mktemp("lists") / "worker.ini", site, lists)
    site.arguments = ["--config", str(file)]
    worker = site.start()
    forged = make.revoke("k1", id="later", source="attacker")
    taken = make.revoke("k1", id="later", source="billing")
    other = make.user("u1")
    issue = make.issue("k1", {"secret": "s3cr3t"}, id="issue", source="billing")
    site.process([issue.record(), forged.record(), taken, other])
    yield Seen(site, file, {letter.text("ce_id") or "": letter for letter in site.dead_letters(KEYS)})
    assert worker.alive()
    site.check(Model().take_all([taken, other]))


@pytest.mark.key
def test_a_type_that_the_list_does_not_hold(seen: Seen) -> None:
    letter = seen.letters["issue"]

    assert letter.text("__connect.errors.class.name") == "policy"
    assert letter.text("__connect.errors.stage") == "VALUE_CONVERTER"
    assert "ce_type: this topic's allow-list" in (letter.text("__connect.errors.exception.message") or "")


def test_a_source_that_the_list_does_not_hold_takes_nobodys_id(seen: Seen) -> None:
    letter = seen.letters["later"]

    assert letter.text("__connect.errors.class.name") == "policy"
    assert "ce_source: this topic's allow-list" in (letter.text("__connect.errors.exception.message") or "")
    assert set(seen.letters) == {"issue", "later"}


def test_publish_refuses_such_a_line(seen: Seen) -> None:
    line = json.dumps({"type": TYPES["key.revoke"], "id": "1", "source": "x", "data": {"id": "k1"}})

    done = run("publish", "--config", str(seen.file), env=seen.site.env, stdin=line)

    assert done.returncode == 65
    assert "line 1: ce_source: this topic's allow-list does not hold it" in done.stderr


def test_redrive_publishes_its_event_where_it_may(seen: Seen, tmp_path: Path) -> None:
    none = _file(tmp_path / "none.ini", seen.site, "sources = billing\n")
    none.write_text(none.read_text() + f"[topic {seen.site.topics[IDENTITY]}]\nsources = billing\n")

    done = run("dlq", "redrive", "--all", "--dry-run", "--config", str(none), env=seen.site.env)
    assert done.returncode == EXIT_CONFIG, done.stderr
    assert "no command topic takes audit.append of source catalyst-worker/dlq" in done.stderr

    done = run("dlq", "redrive", "--all", "--dry-run", "--config", str(seen.file), env=seen.site.env)
    assert "no command topic" not in done.stderr


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("types = dev.catalyst.key.isue.v1", "types: one of them is no ce_type of the contract"),
        ("types =", "types: must be all, or ce_types of the contract with commas between them"),
        ("sources = a,,b", "sources: must be all, or sources of 1 to 256 bytes"),
        ("sources = a, a", "sources: must be all, or sources of 1 to 256 bytes"),
        ("types = all\ntypes = all", "types: given twice"),
        ("type = all", "no such setting: type; [topic NAME] has types and sources"),
        ("[topic other]\ntypes = all", "[topic other]: is not one of worker.command_topics"),
    ],
)
def test_check_names_the_line_and_the_rule(seen: Seen, tmp_path: Path, lines: str, says: str) -> None:
    file = _file(tmp_path / "worker.ini", seen.site, lines)

    done = run("check", "--config", str(file), "--output", "table", env=seen.site.env)

    assert done.returncode == EXIT_CONFIG
    assert says in " ".join((done.stdout + done.stderr).split())
    assert "isue" not in done.stdout + done.stderr


def test_the_lists_stand_in_the_file_only(seen: Seen) -> None:
    done = run("check", "--set", f"topic {seen.site.topics[KEYS]}.types=all", env=seen.site.env)

    assert done.returncode == EXIT_CONFIG
    assert "no such section" in done.stdout + done.stderr
