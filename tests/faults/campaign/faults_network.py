"""Faults of the network, each towards the brokers and towards the database."""

from collections.abc import Callable

from .faults import NETWORK_BACK, RECOVERY_S, Fault, Stage

SERVERS = {"kafka": "kafka-*", "postgres": "postgres-*"}


def _latency(stage: Stage, name: str) -> str:
    each_way, jitter = stage.chance.randrange(50, 400), stage.chance.randrange(0, 50)
    stage.network.latency(name, each_way, jitter)
    stage.hold(3, 8)
    stage.network.restore(name)
    return f"{each_way} ± {jitter} ms each way"


def _bandwidth(stage: Stage, name: str) -> str:
    rate = stage.chance.randrange(8, 40)
    stage.network.bandwidth(name, rate)
    stage.hold(3, 8)
    stage.network.restore(name)
    return f"{rate} kB/s"


def _reset(stage: Stage, name: str) -> str:
    times = stage.chance.randrange(4, 9)
    for _ in range(times):
        stage.network.reset_peers(name, stage.chance.randrange(0, 300))
        stage.hold(0.1, 0.6)
        stage.network.restore(name)
        stage.hold(0.2, 1)
    return f"{times} times"


def _half_open(stage: Stage, name: str) -> str:
    direction = stage.chance.choice(["upstream", "downstream", None])
    stage.network.half_open(name, direction)
    lasted = stage.hold(3, 8)
    stage.network.restore(name)
    back = stage.watch.mark()
    said = stage.measure(NETWORK_BACK, stage.watch.served(back, RECOVERY_S))
    return f"{direction or 'both ways'} for {lasted:.1f} s, {said}"


def _partition(stage: Stage, name: str) -> str:
    stage.network.cut(name)
    lasted = stage.hold(2, 8)
    stage.network.restore(name)
    back = stage.watch.mark()
    said = stage.measure(NETWORK_BACK, stage.watch.served(back, RECOVERY_S))
    return f"{lasted:.1f} s, {said}"


def _slices(stage: Stage, name: str) -> str:
    stage.network.toxic(name, "slicer", "downstream", average_size=200, size_variation=150, delay=500)
    stage.hold()
    stage.network.restore(name)
    return "answers in pieces"


KINDS: dict[str, tuple[str, Callable[[Stage, str], str]]] = {
    "latency": ("answers are late", _latency),
    "bandwidth": ("little gets through", _bandwidth),
    "reset": ("connections are reset, again and again", _reset),
    "half-open": ("connections stay, nothing arrives", _half_open),
    "partition": ("connections end, new ones are refused", _partition),
    "slices": ("data arrives in pieces", _slices),
}


def _fault(kind: str, server: str) -> Fault:
    what, act = KINDS[kind]
    return Fault(f"network-{server}-{kind}", what, lambda stage: act(stage, SERVERS[server]))


FAULTS = [_fault(kind, server) for server in SERVERS for kind in KINDS]
