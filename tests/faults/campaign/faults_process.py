"""Faults of the worker's own processes, and of the machine below them."""

import time

from .faults import RECOVERY_S, REPLICA_KILLED, Fault, Stage
from .installation import SESSION_TIMEOUT_MS
from .processes import wait_until
from .replicas import STOP_S

HOUR_S = 3600


def _kill_storm(stage: Stage) -> str:
    kills = 0
    for _ in range(6 if stage.short else 12):
        kills += stage.fleet.kill_one(stage.chance) is not None
        stage.hold(0.1, 1.5)
    return f"{kills} SIGKILLs"


def _kill_all(stage: Stage) -> str:
    """All replicas at the same moment."""
    counts = []
    for _ in range(2):
        with stage.fleet.lock:
            running = stage.fleet.free()
            for replica in running:
                stage.fleet.kill(replica)
        counts.append(len(running))
        stage.hold(0.5, 3)
    return " and ".join(f"{count} at once" for count in counts)


def _kill_one_of_two(stage: Stage) -> str:
    _settle(stage, 2)
    with stage.fleet.hold(stage.fleet.any_free(stage.chance)) as replica:
        stage.fleet.kill(replica)
        gone = stage.watch.mark()
        said = stage.measure(REPLICA_KILLED, stage.watch.served(gone, RECOVERY_S))
    return f"{replica.instance}, {said}"


def _settle(stage: Stage, count: int) -> None:
    """So many members of the group, and every partition served."""
    stage.fleet.resize(count)
    stage.fleet.wait_ready(RECOVERY_S)
    _members(stage, count)
    stage.watch.served(stage.watch.mark(), RECOVERY_S)


def _members(stage: Stage, count: int) -> None:
    wait_until(
        f"the group has {count} members",
        lambda: stage.installation.members() == count,
        RECOVERY_S,
        0.2,
    )


def _zombie(stage: Stage) -> str:
    """Stopped for longer than its session, as like as not with a batch in hand; what it does when
    it continues must be harmless, and it must rejoin by itself."""
    with stage.fleet.hold(stage.fleet.any_free(stage.chance)) as replica:
        pid = replica.process.pid
        replica.pause()
        lasted = stage.hold(SESSION_TIMEOUT_MS / 1000 + 1, SESSION_TIMEOUT_MS / 1000 + 4)
        without = stage.installation.members()
        replica.resume()
        since = time.monotonic()
        _members(stage, stage.fleet.wanted())
        wait_until(f"{replica.instance} is ready again", replica.ready, RECOVERY_S, 0.1)
        took = time.monotonic() - since
        # By itself: it is still the process that it was.
        if not replica.alive() or replica.process.pid != pid:
            stage.find("zombie", f"{replica.instance} did not survive being stopped")
    return (
        f"{replica.instance} for {lasted:.1f} s, {without} members without it,"
        f" in the group again after {took:.1f} s"
    )


def _terminate(stage: Stage) -> str:
    took: list[float] = []
    for _ in range(2 if stage.short else 3):
        with stage.fleet.hold(stage.fleet.any_free(stage.chance)) as replica:
            since = time.monotonic()
            code = replica.terminate()
            took.append(time.monotonic() - since)
            if code != 0:
                stage.find("SIGTERM", f"{replica.instance}: {code}, wanted 0 within {STOP_S} s")
        stage.hold(0.2, 2)
    return f"{len(took)} times, the slowest in {max(took):.1f} s"


def _scale(stage: Stage) -> str:
    """1, 4, 2."""
    codes: list[int] = []
    for count in (1, 4, 2):
        codes += stage.fleet.resize(count)
        stage.hold(2, 4)
    if any(codes):
        stage.find("scaling", f"exit codes of replicas that had to go: {codes}")
    return "1, 4, 2 replicas"


# Two calls of commit_transaction() in a row that time out, the second while it waits for librdkafka's
# own thread, and the brokers' answer to the first before the third: librdkafka has forgotten that it
# was a commit. Limits of 5 s take a suspended machine or a stepped clock for that; libfaketime lets
# them run out within milliseconds. The process dies, its successor finds what was committed.
COMMIT_ASSERTION = "BUG: Invalid transaction state transition attempted: CommittingTransaction"


def _clock(stage: Stage) -> str:
    """A replica whose clock is stepped by an hour while it runs, one way and then the other."""
    steps = [HOUR_S, -HOUR_S]
    stage.chance.shuffle(steps)
    with stage.fleet.hold(stage.fleet.any_free(stage.chance)) as replica:
        replica.terminate()
        replica.start(shifted=True)
        wait_until(f"{replica.instance} is ready", replica.ready, RECOVERY_S, 0.1)
        for step in [*steps, 0]:
            replica.set_clock(step)
            stage.hold(2, 4)
        note = f"{replica.instance} by {steps[0]:+d} s, then {steps[1]:+d} s"
        if not replica.alive():
            if COMMIT_ASSERTION in replica.last_words():
                note += "; it ended of librdkafka's own assertion"
            else:
                stage.find("clock", f"{replica.instance} ended: {replica.process.exit_code}")
        replica.kill()
    return note


def _memory(stage: Stage) -> str:
    """Address space runs out at any moment, in any library; the replica goes on or it ends."""
    ends: list[str] = []
    for fresh in (False, True) if stage.short else (False, True, True, True):
        with stage.fleet.hold(stage.fleet.any_free(stage.chance)) as replica:
            wait_until(f"{replica.instance} is ready", replica.ready, RECOVERY_S, 0.1)
            whole = replica.address_space()
            if fresh:
                # While it starts it needs more all the time, and most of all with its first batch.
                stage.fleet.kill(replica)
                replica.start()
                replica.limit_memory(int(whole * stage.chance.uniform(0.1, 0.4)))
            else:
                replica.limit_memory(whole)
            stage.hold(2, 4)
            code = replica.process.exit_code
            ends.append("went on" if code is None else f"ended with {code}")
            # A fresh process, as a service manager would give it.
            if replica.alive():
                stage.fleet.kill(replica)
        stage.hold(0.5, 1)
    return ", ".join(ends)


FAULTS = [
    Fault("process-kill-storm", "SIGKILL of random replicas", _kill_storm, telling=True),
    Fault("process-kill-all", "SIGKILL of all at once", _kill_all),
    Fault(
        "process-kill-one-of-two",
        "SIGKILL; the other takes over",
        _kill_one_of_two,
        telling=True,
        alone=True,
    ),
    Fault("process-zombie", "SIGSTOP beyond the session, SIGCONT", _zombie, telling=True),
    Fault("process-terminate", "SIGTERM under load", _terminate),
    Fault("process-scale", "1, 4, 2 replicas under load", _scale),
    Fault("process-clock", "stepped by an hour either way", _clock),
    Fault("process-memory", "no more address space", _memory),
]
