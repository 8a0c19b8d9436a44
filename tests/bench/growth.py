"""Growth: the same commands on tables of R keys and R audit rows, and on empty ones, in turn."""

import contextlib
from dataclasses import dataclass
from functools import partial

from cells import Mix
from load import Ids, Tables, check_disk
from observers import Growth
from parts import Bench
from services import Shape
from stack import KEYS

# Ids of commands and keys that begin with their time, and such that do not.
KINDS = ("ordered", "random")

# Times as many commands as in a cell: is memory still flat, and what is left of the speed over a
# whole turn from checkpoint to checkpoint?
BACKLOG = 10


@dataclass
class Sizes:
    rows: int
    commands: int
    rounds: int
    batch: int
    kinds: tuple[str, ...]

    @property
    def few_keys(self) -> int:
        return min(KEYS, self.rows)


def sizes(bench: Bench) -> Sizes:
    quick, options = bench.options.quick, bench.options
    return Sizes(
        rows=options.rows or (20_000 if quick else 10_000_000),
        commands=options.commands or (20_000 if quick else 100_000),
        rounds=options.rounds or (1 if quick else 3),
        batch=500 if quick else 2000,
        kinds=tuple(options.ids or (KINDS[:1] if quick else KINDS)),
    )


def check(bench: Bench) -> None:
    check_disk(bench.cells.servers, sizes(bench).rows)


@dataclass
class Growing:
    """The tables of one kind of ids: full ones, and such that hold keys to use but no audit row."""

    bench: Bench
    library: str
    sizes: Sizes
    ids: Ids
    full: Tables
    few: Tables
    seed: int = 100

    def mix(self, name: str, state: str) -> Mix:
        """Never the same commands twice: their ids are in the full tables afterwards."""
        self.seed += 1
        options = [*self.ids.options, "--seed", str(self.seed)]
        if name == "b-uniform":
            options += ["--keys", str(self.sizes.rows if state == "full" else self.sizes.few_keys)]
        return Mix(name, tuple(options))

    def schema(self, name: str, state: str) -> str | None:
        """None: new and empty. Others know published offsets of topics that are gone."""
        if state == "empty" and name == "a":
            return None
        schema = self.full.schema if state == "full" else self.few.schema
        tables = [f"{schema}.catalyst_consumer_offsets"]
        if state == "empty":
            tables.append(f"{schema}.auth_audit_events")
        self.bench.cells.servers.sql.execute(f"TRUNCATE {', '.join(tables)}")
        return schema

    def apply(self, name: str, state: str) -> None:
        cells = self.bench.cells
        self.bench.results.cell(
            f"growth apply {name} {self.ids.name} {state}",
            lambda: cells.in_memory(
                "bench_apply",
                self.mix(name, state),
                self.sizes.commands,
                "--batch",
                str(self.sizes.batch),
                schema=self.schema(name, state),
                observer=Growth(cells.servers),
            ),
        )

    def worker(self, name: str, state: str, cell: str = "worker", times: int = 1) -> None:
        cells = self.bench.cells
        self.bench.results.cell(
            f"growth {cell} {name} {self.ids.name} {state}",
            lambda: cells.drain(
                Shape("worker", self.library, batch=self.sizes.batch),
                self.mix(name, state),
                self.sizes.commands * times,
                schema=self.schema(name, state),
                observer=Growth(cells.servers),
            ),
        )

    def round(self, nth: int) -> None:
        states = ["empty", "full"] if nth % 2 else ["full", "empty"]
        for name in ("a", "b-uniform"):
            for state in states:
                self.apply(name, state)
            for state in states:
                self.worker(name, state)


def run(bench: Bench, library: str) -> None:
    """Ids of one kind after the other, so that one pair of tables at a time takes disk and cache."""
    wanted = sizes(bench)
    for kind in wanted.kinds:
        print(f"growth, {kind} ids, {wanted.rows:,} rows", flush=True)
        with contextlib.ExitStack() as stack:
            full, few = Tables(bench.cells, Ids(kind)), Tables(bench.cells, Ids(kind))
            stack.callback(full.remove)
            stack.callback(few.remove)
            bench.results.round = 1
            cell = bench.results.cell
            loaded = cell(f"growth load {kind} full", partial(full.load, wanted.rows, wanted.rows))
            if not loaded or not cell(f"growth load {kind} few", partial(few.load, wanted.few_keys, 0)):
                continue
            growing = Growing(bench, library, wanted, Ids(kind), full, few)
            for nth in range(1, wanted.rounds + 1):
                bench.results.round = nth
                print(f"growth, {kind} ids, round {nth} of {wanted.rounds}", flush=True)
                growing.round(nth)
            if kind == "ordered":
                for state in ("empty", "full"):
                    growing.worker("a", state, "backlog", BACKLOG)
