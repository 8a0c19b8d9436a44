"""Checks of the network, on cluster and database."""

import psycopg

from .infrastructure_world import TOPIC, World, in_thread, lost, took
from .processes import wait_until


def network_latency(world: World) -> None:
    with world.database() as db:
        db.execute("SELECT 1")
        world.network.latency("postgres-*", 200)
        assert took(lambda: db.execute("SELECT 1")) >= 0.4
        world.network.restore()
        assert took(lambda: db.execute("SELECT 1")) < 0.4
    world.network.latency("kafka-*", 100)
    world.produce_and_check("latency")
    world.network.restore("kafka-*")


def network_bandwidth(world: World) -> None:
    large = "SELECT repeat('x', 100000)"
    with world.database() as db:
        world.network.bandwidth("postgres-*", 100)
        assert took(lambda: db.execute(large)) >= 0.8
        world.network.restore()
        assert took(lambda: db.execute(large)) < 0.8


def network_half_open(world: World) -> None:
    with world.database() as db:
        world.network.half_open(world.pair.primary.name)
        thread, failures = in_thread(lambda: db.execute("SELECT 1"))
        thread.join(2)
        assert thread.is_alive(), "an answer came through"
        world.network.restore()
        thread.join(10)
        assert isinstance(failures[0], psycopg.OperationalError)


def network_answer_lost(world: World) -> None:
    """Half open towards the client: the statement is carried out."""
    db = world.database()
    world.network.half_open(world.pair.primary.name, "downstream")
    world.rows += 1
    thread, failures = in_thread(
        lambda: db.execute("INSERT INTO rows (id, note) VALUES (%s, 'x')", [str(world.rows)])
    )
    wait_until("the row is there", lambda: world.count_rows() == world.rows, 10)
    assert thread.is_alive()
    world.network.restore()
    thread.join(10)
    assert failures


def network_reset(world: World) -> None:
    db = world.database()
    world.network.reset(world.pair.primary.name)
    with lost():
        db.execute("SELECT 1")
    world.insert()
    world.network.reset_peers("postgres-*")
    with lost():
        world.database()
    world.network.restore()
    world.insert()


def network_other_toxics(world: World) -> None:
    for kind in ("slow_close", "slicer"):
        world.network.toxic("postgres-*", kind)
        world.insert()
    world.network.restore()
    with world.database() as db:
        world.network.toxic("postgres-*", "limit_data", bytes=1000)
        with lost():
            db.execute("SELECT repeat('x', 100000)")
    assert not world.network.healthy()
    world.network.restore()
    assert world.network.healthy()


def network_cut(world: World) -> None:
    """Clients lose a broker that the others still see."""
    cluster = world.cluster
    producer = world.producer()
    leader = cluster.leader(TOPIC, 0)
    world.network.cut(f"kafka-{leader}")
    thread, failures = in_thread(lambda: world.commit(producer, "cut"))
    thread.join(2)
    assert thread.is_alive(), "committed without the leader of a partition"
    assert not cluster.ailments()
    world.network.restore()
    thread.join(120)
    assert not thread.is_alive() and not failures, failures
    world.check_topic()
    world.network.cut("postgres-*")
    with lost():
        world.database()
    world.network.restore()
    world.insert()
