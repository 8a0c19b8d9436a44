"""Proves the means of the campaign on themselves: every server and every fault once, for real.

usage: python -m campaign.infrastructure_selftest [--dir DIR] [--only WORD]...

One line a check, "N passed, N failed" at the end. Nothing is left running.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from . import infrastructure_kafka as kafka
from . import infrastructure_network as network
from . import infrastructure_postgres as postgres
from .infrastructure_world import World
from .processes import Process, end_with_this_program, libfaketime, running


def clock_shift(world: World) -> None:
    library = libfaketime()
    assert library is not None, "libfaketime is missing: run deploy/local/install.sh test"
    done = subprocess.run(
        ["date", "+%s"],
        env={"PATH": os.environ["PATH"], "LD_PRELOAD": str(library), "FAKETIME": "+1h"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 3500 < int(done.stdout) - time.time() < 3700
    assert world.directory.is_dir()


def end_by_signal(world: World) -> None:
    """A program that gets SIGTERM ends what it has started."""
    program = (
        "import time; from pathlib import Path; from campaign.processes import *;"
        "end_with_this_program(); p = Process('sleep', Path('sleep.log'));"
        "p.start(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=world.directory,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    server = int(child.stdout.readline())
    assert running(server)
    child.terminate()
    assert child.wait(30) == 128 + 15
    assert not running(server)


CHECKS: list[Callable[[World], None]] = [
    clock_shift,
    end_by_signal,
    kafka.kafka_transaction,
    kafka.kafka_aborted_transaction,
    kafka.kafka_internal_partition,
    kafka.kafka_kill_leader,
    kafka.kafka_kill_coordinators,
    kafka.kafka_pause,
    kafka.kafka_orderly_stop,
    kafka.kafka_two_of_three_down,
    kafka.kafka_move_leaders,
    kafka.kafka_restart_rolling,
    kafka.kafka_restart_all,
    kafka.kafka_broken_coordinator,
    kafka.kafka_message_size,
    kafka.kafka_topic_missing,
    postgres.postgres_commit,
    network.network_latency,
    network.network_bandwidth,
    network.network_half_open,
    network.network_answer_lost,
    network.network_reset,
    network.network_other_toxics,
    network.network_cut,
    postgres.postgres_stop_immediate,
    postgres.postgres_kill,
    postgres.postgres_fail_over,
    postgres.postgres_switch_over,
    postgres.postgres_rebuild_from_copy,
    postgres.postgres_standby_away,
    postgres.postgres_lost_commit_answers,
    postgres.postgres_pause_primary,
    postgres.postgres_terminate,
    postgres.postgres_cancel,
    postgres.postgres_read_only,
    postgres.postgres_settings,
    postgres.postgres_full_disk,
    postgres.postgres_crowd,
    postgres.postgres_locks,
    postgres.postgres_deadlock,
    postgres.postgres_failing,
]
# What others stand on.
FIRST = {"kafka_transaction", "postgres_commit"}


def _run(world: World, check: Callable[[World], None]) -> bool:
    since = time.monotonic()
    try:
        check(world)
    except Exception:
        print(f"FAIL  {check.__name__} ({time.monotonic() - since:.1f} s)", flush=True)
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"ok    {check.__name__} ({time.monotonic() - since:.1f} s)", flush=True)
    return True


def _nothing_left(servers: list[Process], directory: Path) -> bool:
    alive = [server.name for server in servers if server.alive()]
    mounts = Path("/proc/mounts").read_text()
    return not alive and str(directory) not in mounts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaign.infrastructure_selftest")
    parser.add_argument("--dir", type=Path, help="logs stay there; default: a temporary directory")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    options = parser.parse_args()
    end_with_this_program()
    directory = options.dir or Path(tempfile.mkdtemp(prefix="catalyst-faults-selftest."))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    wanted = [
        check
        for check in CHECKS
        if not options.only or check.__name__ in FIRST or any(word in check.__name__ for word in options.only)
    ]
    world = World(directory.resolve())
    since = time.monotonic()
    outcomes: list[bool] = []
    with world.network, world.cluster, world.pair:
        print(f"ok    start ({time.monotonic() - since:.1f} s)", flush=True)
        outcomes += [_run(world, check) for check in wanted]
        servers = [
            world.network.process,
            *(broker.process for broker in world.cluster.brokers.values()),
            *(server.process for server in world.pair.servers),
        ]
    outcomes.append(_nothing_left(servers, world.directory))
    print(f"{'ok   ' if outcomes[-1] else 'FAIL '} nothing left")
    if all(outcomes) and options.dir is None:
        shutil.rmtree(directory)
    else:
        print(f"logs: {directory / 'logs'}")
    print(f"{sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
