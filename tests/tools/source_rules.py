"""Rules of the house that no compiler knows, checked on the files that git tracks.

usage: source_rules.py layering|banned|placeholders|portable FILE...

Prints one line per violation and exits 1 if there is any. tests/lint.sh runs it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

# The rooms of the house. A file may include headers of its own room and of the rooms named here:
# all arrows point down. A path belongs to the longest room that it begins with.
ROOMS: dict[str, set[str]] = {
    "base": set(),
    "config": {"base"},
    "events/wire": {"base"},
    "events": {"events/wire", "base"},
    "repo/pg": {"base"},
    "repo/schema": {"repo/pg", "base"},
    "repo/audit": {"repo/schema", "repo/pg", "base"},
    "repo": {"repo/audit", "repo/schema", "repo/pg", "base"},
    "repo/testing": {"repo", "repo/audit", "repo/schema", "repo/pg", "base"},
    "worker/lane": {"events", "base"},
    "worker/seal": {"events", "base"},
    "worker/kafka": {"worker/lane", "worker/seal", "config", "events", "base"},
    "worker/apply": {"worker/lane", "repo", "repo/audit", "repo/pg", "events", "base"},
}
ROOMS["worker/daemon"] = set(ROOMS) - {"repo/testing"}
ROOMS["worker/cli"] = ROOMS["worker/daemon"] | {"worker/daemon"}
ROOMS["worker"] = {"worker/cli"}
FOLDERS = {room.split("/", maxsplit=1)[0] for room in ROOMS}


def room_of(path: str) -> str:
    parents = [str(parent) for parent in PurePath(path).parents]
    return next((parent for parent in parents if parent in ROOMS), "")


# Which product files may see a library: each stays behind one adapter.
LIBRARY_HOMES = {
    r"libpq-fe\.h|libpq/.*|pg_config.*": r"repo/pg/(executor_)?pq(_\w+)?\.[ch]",
    r"librdkafka/.*|rdkafka\w*\.h": r"worker/kafka/\w+\.[ch]",
    r"msgpack(/.*)?\.h": r"events/.*",
    r"jansson\.h": r"(events|worker/cli)/.*",
    r"microhttpd\.h": r"worker/(daemon|cli)/.*",
    r"ini\.h": r"config/.*",
}

# Function -> what to use. Tests are held to the first group too.
BANNED = {
    "strcpy": "memcpy with a known length",
    "strcat": "a buffer that knows its size",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "stpcpy": "memcpy with a known length",
    "strtok": "strtok_r, or a scan",
    "atoi": "strtol with its checks",
    "atol": "strtol with its checks",
    "atoll": "strtoll with its checks",
    "atof": "strtod with its checks",
    "alloca": "the arena",
    "gets": "fgets",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "setjmp": "enum outcome",
    "longjmp": "enum outcome",
}
# Only main may end the process.
EXIT_HOME = "worker/main.c"

# A table without its schema is not found: the sessions' search path is pg_catalog alone
# (repo/pg/sql_schema.h). Tables that only a migration or one transaction has are named old and new.
BARE_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN|COPY) ((?:auth|catalyst)_(?!old|new)\w+)")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Comments, then string and character literals, so that neither is read as code.
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

PLACEHOLDER = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b")
# In prose the words may be spoken of; a placeholder is followed by what is missing.
PLACEHOLDER_IN_PROSE = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\s*[:(]")

NOT_PORTABLE = [
    (re.compile(r"(?<![\w./$})-])/work/"), "a path of one machine"),
    (re.compile(r"(?<![\w./$})-])/home/\w"), "a path of one machine"),
    (re.compile(r"(?<![\w./$})-])/root/[\w.]"), "a path of one machine"),
    (re.compile(r"\.\./shared\b"), "a path outside the repository"),
    (
        re.compile(
            r"\b(repo1?[.]maven[.](apache[.])?org|pypi[.]org|pypi[.]python[.]org"
            r"|files[.]pythonhosted[.]org|registry[.]npmjs[.]org|proxy[.]golang[.]org"
            r"|sum[.]golang[.]org|(index[.]|static[.])?crates[.]io"
            r"|(deb|security|snapshot)[.]debian[.]org)\b"
        ),
        "the host of a package registry: clients know theirs",
    ),
]


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def numbered(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.split("\n"), start=1)


def layering(path: str, text: str) -> Iterator[tuple[int, str]]:
    room = room_of(path)
    if not room:
        return
    may_include = ROOMS[room] | {room}
    comments_out = re.sub(r"//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)
    for number, line in numbered(comments_out):
        found = INCLUDE.match(line)
        if not found:
            continue
        quote, header = found.groups()
        if quote == '"':
            target = room_of(header)
            if not target:
                yield number, f'"{header}" is not rooted at a folder of the product'
            elif ".." in PurePath(header).parts or target not in may_include:
                allowed = ", ".join(sorted(may_include))
                yield number, f'{room} must not include "{header}"; it may include {allowed}'
        for library, home in LIBRARY_HOMES.items():
            if re.fullmatch(library, header) and not re.fullmatch(home, path):
                yield number, f"<{header}> stays in {home}"


def banned(path: str, text: str) -> Iterator[tuple[int, str]]:
    code = NOT_CODE.sub(blank, text)
    product = PurePath(path).parts[0] in FOLDERS
    for number, line in numbered(code):
        for name in re.findall(r"(?<![\w.>])(\w+)\s*\(", line):
            if name in BANNED:
                yield number, f"{name} is banned; use {BANNED[name]}"
            elif name == "exit" and product and path != EXIT_HOME:
                yield number, f"only {EXIT_HOME} ends the process; return an outcome"
    for number, line in numbered(text) if product else ():
        if found := BARE_TABLE.search(line):
            yield number, f"{found.group(1)} lacks its schema; write {{schema}}.{found.group(1)}"


def placeholders(path: str, text: str) -> Iterator[tuple[int, str]]:
    pattern = PLACEHOLDER_IN_PROSE if path.endswith((".md", ".txt")) else PLACEHOLDER
    for number, line in numbered(text):
        if found := pattern.search(line):
            yield number, f"{found.group()} marks unfinished work"


def portable(path: str, text: str) -> Iterator[tuple[int, str]]:
    del path
    for number, line in numbered(text):
        for pattern, what in NOT_PORTABLE:
            if found := pattern.search(line):
                yield number, f"{found.group()}: {what}"


RULES = {f.__name__: f for f in (layering, banned, placeholders, portable)}


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[1] not in RULES:
        print(__doc__, file=sys.stderr)
        return 64
    rule = RULES[sys.argv[1]]
    violations = 0
    for path in sys.argv[2:]:
        data = Path(path).read_bytes()
        if b"\0" in data:  # binary
            continue
        for number, message in rule(path, data.decode(errors="replace")):
            print(f"{path}:{number}: {message}")
            violations += 1
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
