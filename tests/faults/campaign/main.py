"""The campaign: load, one fault after the other, and the checker at every quiet point."""

import argparse
import contextlib
import gzip
import pickle
import random
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .checker import Checker
from .cluster import Cluster
from .evidence import Collector, Evidence
from .faults import RECOVERY_S, Finding, Stage
from .installation import Installation
from .journal import Journal
from .network import Network
from .plan import Step, chosen, long_plan, short_plan
from .postgres import PostgresPair
from .processes import Timeout, end_with_this_program, wait_until
from .replicas import Fleet
from .report import Check, Done, Report
from .sender import Sender
from .watch import Watch

FLEET = 4
RATE = 250.0
LONG_MINUTES = 60
# Each fault, and random kills, in a campaign of an hour.
AT_LEAST = 5
KILLS_AT_LEAST = 200
QUIET_EVERY_S = 240
# From the start of the load; a fault that is begun before is finished.
SHORT_LOAD_S = 110
DRAIN_S = 180
# A campaign that was to last an hour may go on for a while to do everything that is due.
OVERTIME = 1.5
FINDINGS_SHOWN = 10  # at once; the report has them all
PATIENCE = (3.0, 9.0)  # seconds between two random kills


class Load:
    """The sender in a thread of its own, which can pause."""

    def __init__(self, sender: Sender):
        self.sender = sender
        self.seconds = 0.0
        self._since = 0.0
        self._until = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def begin(self) -> None:
        self._until = threading.Event()
        self._since = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(self._until,), daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Returns when everything that was sent is acknowledged."""
        self._until.set()
        if self._thread is not None:
            self._thread.join(RECOVERY_S)
            if self._thread.is_alive():
                raise Timeout(f"the sender's last records: no answer within {RECOVERY_S} s")
            self.seconds += time.monotonic() - self._since
            self._thread = None
        self.check()

    def check(self) -> None:
        if self._failure is not None:
            raise AssertionError("the sender failed") from self._failure

    def _run(self, until: threading.Event) -> None:
        try:
            self.sender.run(until=until)
        except BaseException as error:
            self._failure = error


class Killer(threading.Thread):
    """SIGKILL of a random replica every few seconds."""

    def __init__(self, fleet: Fleet, chance: random.Random):
        super().__init__(daemon=True)
        self.fleet = fleet
        self.chance = chance
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self.chance.uniform(*PATIENCE)):
            self.fleet.kill_one(self.chance)


class Campaign:
    def __init__(self, options: argparse.Namespace, directory: Path):
        self.options = options
        self.directory = directory
        self.seed: int = options.seed
        self.network = Network(directory)
        self.cluster = Cluster(directory, network=self.network)
        self.pair = PostgresPair(directory, network=self.network)
        self.begun = time.monotonic()
        self.pending: list[Done] = []
        self.report = Report(self.seed, options.minutes, options.short, 0)

    # --- the whole -----------------------------------------------------------------------------

    def run(self) -> Report:
        with self.network, self.cluster, self.pair:
            self._prepare()
            try:
                self._perform()
            finally:
                self._finish()
        return self.report

    def _prepare(self) -> None:
        self.say("servers are up")
        self.installation = Installation(self.cluster, self.pair, self.seed)
        self.installation.create()
        self.report.batch = self.installation.batch
        names = self.installation.names
        producer = {
            "bootstrap.servers": self.cluster.direct,
            "reconnect.backoff.max.ms": "500",
            # A broker that hangs holds up the load no longer than it takes to lead past it.
            "socket.timeout.ms": "5000",
            "request.timeout.ms": "5000",
        }
        self.sender = Sender(self.seed, producer, names.commands, RATE)
        self.load = Load(self.sender)
        self.journal: Journal = self.sender.journal
        self.watch = Watch(self.installation, self.journal)
        # From one quiet point to the next they go on where they were.
        self.collector, self.checker = self._collector(), Checker(self.journal)
        self.fleet = Fleet(self.installation, self.directory, FLEET, self.seed)
        self.stage = Stage(
            *(self.network, self.cluster, self.pair, self.installation, self.fleet, self.watch),
            random.Random(self.seed),
            self.options.short,
            self._wait,
        )

    def _perform(self) -> None:
        self.fleet.begin()
        self.watch.begin()
        self.fleet.resize(2)
        self.fleet.wait_ready()
        self.load.begin()
        self.since = time.monotonic()
        self.watch.served(self.watch.mark(), RECOVERY_S)
        self.say(f"two replicas are at work, in batches of at most {self.installation.batch}")
        quiet = time.monotonic()
        for step in self._steps():
            if time.monotonic() - quiet > QUIET_EVERY_S:
                self._check()
                if self.report.findings:
                    return
                self.load.begin()
                quiet = time.monotonic()
            self._step(step)
            if self._stuck():
                break
        self._check(last=True)

    def _steps(self) -> Iterator[Step]:
        faults = chosen(self.options.only)
        if self.options.short:
            for step in short_plan(self.seed, faults):
                if time.monotonic() - self.since < SHORT_LOAD_S or step.fault.telling:
                    yield step
            return
        whole = self.options.minutes >= LONG_MINUTES and not self.options.only
        wanted = AT_LEAST if whole else 0
        end = self.since + self.options.minutes * 60
        last = self.since + self.options.minutes * 60 * OVERTIME
        for number, steps in enumerate(long_plan(self.seed, faults)):
            for step in steps:
                now = time.monotonic()
                if now > last or (now > end and number >= wanted):
                    return
                yield step

    def _finish(self) -> None:
        """Everything that can be counted, whatever happened."""
        report = self.report
        with contextlib.suppress(Timeout, AssertionError):
            self.load.pause()
        self.fleet.finish()
        self.watch.finish()
        report.took_s = time.monotonic() - self.begun
        report.load_s = self.load.seconds
        report.commands = len(self.journal.sent)
        report.doubled = self.sender.doubled
        report.coordinators_broken = self.cluster.coordinators_broken
        report.kinds = dict(Counter(sent.kind for sent in self.journal.sent))
        report.audit_events = len(self.watch.times)
        report.kills = self.fleet.kills
        report.ends = {str(code): count for code, count in self.fleet.ends.items()}
        report.metrics = dict(self.fleet.totals())
        report.fenced = self.fleet.log_lines("_FENCED")
        report.recoveries = dict(self.stage.recoveries)
        if self.options.minutes >= LONG_MINUTES and not self.options.only:
            times = Counter(done.fault for done in report.faults)
            names = (fault.name for fault in chosen([]))
            report.short_of = {
                name: f"{times[name]} times, {AT_LEAST} were due" for name in names if times[name] < AT_LEAST
            }
            if report.kills < KILLS_AT_LEAST:
                report.short_of["SIGKILL"] = f"{report.kills} times, {KILLS_AT_LEAST} were due"
        if report.findings:
            self.journal.save(self.directory / "journal")

    # --- one fault -----------------------------------------------------------------------------

    def _step(self, step: Step) -> None:
        stage = self.stage
        stage.chance = random.Random(step.seed)
        stage.alone = not step.kills
        done = Done(step.number, step.fault.name, self._elapsed(), 0, step.replicas, step.kills, "")
        since = time.monotonic()
        killer = Killer(self.fleet, random.Random(step.seed + 1))
        try:
            codes = self.fleet.resize(step.replicas)
            if any(codes):
                stage.find("SIGTERM", f"exit codes of replicas that had to go: {codes}")
            if step.kills:
                killer.start()
            done.note = step.fault.act(stage)
            done.survived = True
        except Exception as error:
            done.note = f"{type(error).__name__}: {error}"
            stage.find(step.fault.name, done.note)
            (self.directory / "trouble.log").open("a").write(traceback.format_exc())
        finally:
            killer.over.set()
            if killer.is_alive():
                killer.join()
        if done.survived:
            self._settle(done)
        self.load.check()
        done.took_s = time.monotonic() - since
        self.report.faults.append(done)
        self.pending.append(done)
        kills = ", replicas are killed meanwhile" if step.kills else ""
        self.say(f"{step.fault.name}: {done.note} ({step.replicas} replicas{kills})")
        self._take_findings()

    def _settle(self, done: Done) -> None:
        """Nothing is wrong any more, so that everything must go on."""
        try:
            self._restart_broken_coordinators(done)
            try:
                seconds = self.watch.served(self.watch.mark(), RECOVERY_S)
            except Timeout:
                if not self._restart_broken_coordinators(done):
                    raise
                seconds = self.watch.served(self.watch.mark(), RECOVERY_S)
            done.note += f"; afterwards served within {seconds:.1f} s"
        except Timeout as error:
            done.survived = False
            done.note += f"; {error}"
            self.stage.find("it goes on by itself", f"after {done.fault}: {error}")

    def _restart_broken_coordinators(self, done: Done) -> bool:
        broken = self.cluster.restart_broken_coordinators()
        if broken:
            done.note += f"; the group coordinator of {broken} broke (Kafka), restarted"
        return bool(broken)

    def _stuck(self) -> bool:
        """Whatever failed is told by the logs of now, not by what would happen next."""
        if not self.report.findings:
            return False
        self._dump()
        return True

    def _take_findings(self) -> None:
        # Out of the memory that we took away, a replica may end as it likes; else it may not.
        for death in self.fleet.unexpected:
            self.say(f"{death.instance} ended by itself, exit code {death.code}: {death.last_words}")
            # It says that it may be started again: a server or a topic was away for too long.
            if death.code not in (69, 75, 78):
                self.stage.find("a replica ended by itself", f"{death.instance}: {death.code}")
        self.fleet.unexpected.clear()
        for found in self.stage.findings[:FINDINGS_SHOWN]:
            self.say(f"FOUND {found.rule}: {found.what}")
        self.report.findings += self.stage.findings
        self.stage.findings.clear()

    # --- quiet points --------------------------------------------------------------------------

    def _collector(self) -> Collector:
        names = self.installation.names
        return Collector(
            self.cluster.direct,
            self.pair.direct_url,
            names.schema,
            names.audit,
            names.dead_letters,
            names.group,
        )

    def _check(self, last: bool = False) -> None:
        """The sender pauses, the backlog drains, the checker judges: what is new, and the last time
        everything from the beginning."""
        since = time.monotonic()
        drained = self._drain()
        took = time.monotonic() - since
        if last or not drained:
            self.collector, self.checker = self._collector(), Checker(self.journal)
        evidence = self.collector.collect()
        if drained:
            self._judge(evidence, took)
        else:
            # What is still to come would count as missing.
            self._dump()
        if self.report.findings:
            with gzip.open(self.directory / "evidence", "wb", compresslevel=3) as file:
                pickle.dump(evidence, file)
        self.report.dead_letters = sum(map(len, evidence.letters.values()))
        self.pending.clear()

    def _judge(self, evidence: Evidence, drained_s: float) -> None:
        since = time.monotonic()
        found = [Finding(each.rule, each.what) for each in self.checker.check(evidence)]
        took, sent = time.monotonic() - since, len(self.journal.sent)
        self.report.checks.append(Check(self._elapsed(), sent, drained_s, took, len(found)))
        verdict = f"{len(found)} FINDINGS" if found else "all as it must be"
        times = f"drained in {drained_s:.1f} s, judged in {took:.1f} s"
        self.say(f"check: {sent} records, {times}: {verdict}")
        for done in self.pending:
            done.judged = not found
        self.stage.findings += found
        self._take_findings()

    def _drain(self) -> bool:
        try:
            self.network.restore()
            self.load.pause()
            wait_until("the backlog drains", lambda: not self.installation.backlog(), DRAIN_S, 0.2)
            self.fleet.wait_ready(RECOVERY_S)
        except Timeout as error:
            self.stage.find("the backlog drains", str(error))
            self._take_findings()
            return False
        return True

    def _dump(self) -> None:
        """Of every replica what tells why it stands still."""
        into = self.directory / "stuck"
        into.mkdir(exist_ok=True)
        for replica in self.fleet.running():
            tail = replica.process.log_path.read_text(errors="replace")[-20_000:]
            asked = [f"{path}: {replica.get(path)}" for path in ("/health/live", "/health/ready", "/metrics")]
            parts = [tail, *asked, replica.stacks()]
            (into / f"{replica.instance}.txt").write_text("\n\n".join(map(str, parts)))
        self.say(f"logs, health and stacks of the replicas: {into}")

    # --- telling -------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        return time.monotonic() - self.begun

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self.load.check()

    def say(self, what: str) -> None:
        print(f"{self._elapsed():7.1f} s  {what}", flush=True)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/faults/run.sh", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of load; default: 10")
    parser.add_argument("--seed", type=int, help="the same seed, the same plan; default: a new one")
    parser.add_argument("--short", action="store_true", help="at most four minutes in all")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="faults whose names begin so"
    )
    parser.add_argument("--list", action="store_true", help="names the faults")
    parser.add_argument("--report", type=Path, metavar="FILE", help="the report as JSON, there too")
    parser.add_argument("--dir", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not chosen(options.only):
        parser.error(f"no fault has a name that begins with {' or '.join(options.only)}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def main() -> int:
    options = parse()
    if options.list:
        for fault in chosen(options.only):
            print(f"{fault.name:<40} {fault.what}")
        return 0
    end_with_this_program()
    directory = (options.dir / f"seed-{options.seed}").resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    print(f"seed {options.seed}; directory {directory}", flush=True)
    campaign = Campaign(options, directory)
    report = campaign.report
    try:
        campaign.run()
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        report.findings.append(Finding("the campaign itself", f"{type(error).__name__}: {error}"))
    for path in filter(None, [directory / "report.json", options.report]):
        report.write(path)
    text = report.text()
    (directory / "report.txt").write_text(text + "\n")
    print(text)
    if report.failed:
        again = " ".join(["--short"] if options.short else [f"--minutes {options.minutes:g}"])
        print(f"  again: tests/faults/run.sh {again} --seed {options.seed}; kept: {directory}")
    else:
        shutil.rmtree(directory / "logs", ignore_errors=True)
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed else 0
