"""clang-tidy over C files, two at a time, skipping what is known to be clean.

usage: tidy.py BUILD_DIR FILE...

BUILD_DIR holds compile_commands.json. What a file looks like to the compiler (preprocessed, comments
kept), the settings and the tool's version make a key; the keys of clean files are kept in
BUILD_DIR/tidy-clean, so that a second run looks only at what changed. Exit 1 if anything is found.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

# The compilation database may come from gcc, whose own flags clang reports.
EXTRA = ["-Wno-unknown-warning-option", "-Wvla"]


def commands(build: Path) -> dict[str, tuple[str, list[str]]]:
    """File -> (directory, arguments), real paths."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        arguments = entry.get("arguments") or shlex.split(entry["command"])
        path = str(Path(entry["directory"], entry["file"]).resolve())
        found.setdefault(path, (entry["directory"], arguments))
    return found


def without_output(arguments: list[str]) -> list[str]:
    """The compile command, less what names or makes the object file."""
    kept = []
    skip = False
    for argument in arguments[1:]:
        if skip:
            skip = False
        elif argument in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        elif argument not in ("-c", "-MD", "-MMD"):
            kept.append(argument)
    return kept


def key(path: str, directory: str, arguments: list[str], salt: bytes) -> str | None:
    kept = without_output(arguments)
    text = subprocess.run(
        ["clang", "-E", "-C", "-w", *EXTRA, *kept], cwd=directory, capture_output=True, check=False
    )
    if text.returncode != 0:
        return None
    return hashlib.sha256(salt + repr((path, kept)).encode() + text.stdout).hexdigest()


def check(path: str, build: Path, known: dict[str, tuple[str, list[str]]], salt: bytes) -> str:
    real = os.path.realpath(path)
    stamp = None
    if real in known:
        digest = key(real, *known[real], salt)
        stamp = build / "tidy-clean" / digest if digest else None
        if stamp and stamp.exists():
            return ""
    run = subprocess.run(
        ["clang-tidy", "--quiet", "-p", str(build), *(f"--extra-arg={e}" for e in EXTRA), path],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0 and not run.stdout.strip():
        if stamp:
            stamp.touch()
        return ""
    return run.stdout.strip() or run.stderr.strip() or f"{path}: clang-tidy exited {run.returncode}"


def blocks(text: str) -> list[str]:
    """One block per finding: its line and the notes, source lines and carets below it."""
    return re.split(r"\n(?=\S+:\d+:\d+: (?:error|warning): )", text)


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 64
    build = Path(sys.argv[1])
    files = sys.argv[2:]
    known = commands(build)
    (build / "tidy-clean").mkdir(exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    salt = version + Path(".clang-tidy").read_bytes()
    seen = set()
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for found in pool.map(lambda path: check(path, build, known, salt), files):
            for block in blocks(found) if found else []:
                if block not in seen:  # one in a header turns up in every file that includes it
                    seen.add(block)
                    print(block)
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
