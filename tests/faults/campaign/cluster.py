"""Three Kafka brokers on loopback, each a controller too (KRaft): a small production cluster."""

import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from harness.stack import REPOSITORY

from . import kafka_requests
from .kafka_requests import Metadata, Partition, RequestError
from .network import CACHE, Network
from .processes import (
    Process,
    Servers,
    Timeout,
    free_port,
    server_environment,
    wait_port_free,
    wait_until,
)

T = TypeVar("T")

JARS = CACHE / "kafka"
LOCAL = REPOSITORY / "deploy" / "local"
LOG_SETTINGS = LOCAL / "log4j2.properties"
COMMON_SETTINGS = LOCAL / "broker.properties"
OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
INTERNAL_PARTITIONS = 5
START_S = 120
STOP_S = 30

# The C1 compiler alone: a broker is up in half the time, and on two cores the optimising one would
# compete with what is measured.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"]

SETTINGS = f"""\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT

default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.num.partitions={INTERNAL_PARTITIONS}
offsets.topic.replication.factor=3
transaction.state.log.num.partitions={INTERNAL_PARTITIONS}
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
# Compacted often, so that coordinators are loaded in a moment.
offsets.topic.segment.bytes=1048576
transaction.state.log.segment.bytes=1048576
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2

# A broker that says nothing for this long is fenced and led past: 9 s by default.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
replica.socket.timeout.ms=5000
controller.socket.timeout.ms=5000
"""

# Kafka 4.2.0 says so when the leader of the partition changed while it was being loaded: the
# coordinator goes on with a state of any age, with members, generations and open transactions that
# are long gone, and without timers.
BROKEN_COORDINATOR = "Ignored load completion from __consumer_offsets"


class Broker:
    """One node: its ports, its data, its process. number: 1, 2, 3."""

    def __init__(self, number: int, home: Path, logs: Path):
        self.number = number
        self.home = home
        self.direct_port = free_port()
        self.listen_port = free_port()
        self.controller_port = free_port()
        self.client_port = self.listen_port
        self.process = Process(f"kafka-{number}", logs / f"kafka-{number}.log")
        self.paused = False
        self._log_offset = 0
        self._judged = 0

    def make(self, cluster_id: str, voters: str) -> None:
        self.home.mkdir(parents=True)
        settings = self.home / "server.properties"
        local = "127.0.0.1"
        settings.write_text(
            f"node.id={self.number}\n"
            f"controller.quorum.voters={voters}\n"
            f"listeners=DIRECT://{local}:{self.direct_port},PROXIED://{local}:{self.listen_port}"
            f",CONTROLLER://{local}:{self.controller_port}\n"
            f"advertised.listeners=DIRECT://{local}:{self.direct_port}"
            f",PROXIED://{local}:{self.client_port}\n"
            f"log.dirs={self.home / 'data'}\n" + SETTINGS + COMMON_SETTINGS.read_text()
        )
        formatted = subprocess.run(
            [
                *("java", "-Xmx128m", *JVM),
                f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
                *("-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format"),
                *("-t", cluster_id, "-c", str(settings)),
            ],
            env=server_environment({}),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        said = formatted.stdout + formatted.stderr
        assert formatted.returncode == 0, f"StorageTool format: {said}"

    def start(self) -> None:
        for port in (self.direct_port, self.listen_port, self.controller_port):
            wait_port_free(port)
        self.paused = False
        self._log_offset = self.process.log_size()
        self.process.start(
            [
                *("java", "-Xms128m", "-Xmx384m", *JVM),
                f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
                *("-cp", f"{JARS}/*", "kafka.Kafka", self.home / "server.properties"),
            ]
        )

    def up(self) -> bool:
        """Neither ended nor stopped by a signal; not necessarily admitted yet."""
        return self.process.alive() and not self.paused

    def started(self) -> bool:
        """Logged once the controllers' quorum has admitted the broker."""
        assert self.process.alive(), f"{self.process.name} ended; see {self.process.log_path}"
        return "Kafka Server started" in self.process.log_from(self._log_offset)

    def coordinator_broke(self) -> bool:
        """Whether its log says so since it was last asked."""
        since, self._judged = self._judged, self.process.log_size()
        return BROKEN_COORDINATOR in self.process.log_from(since)


class Cluster(Servers):
    def __init__(self, directory: Path, brokers: int = 3, network: Network | None = None):
        self.directory = directory
        self.network = network
        logs = directory / "logs"
        self.brokers = {
            number: Broker(number, directory / f"kafka-{number}", logs) for number in range(1, brokers + 1)
        }
        self.coordinators_broken = 0
        self._admin: AdminClient | None = None

    @property
    def servers(self) -> str:
        """For the worker: through the proxies, when there is a network."""
        return ",".join(f"127.0.0.1:{broker.client_port}" for broker in self.brokers.values())

    @property
    def direct(self) -> str:
        """For whoever checks: past every fault of the network."""
        return ",".join(f"127.0.0.1:{broker.direct_port}" for broker in self.brokers.values())

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(
                {"bootstrap.servers": self.direct, "reconnect.backoff.max.ms": 500, "log_level": 0}
            )
        return self._admin

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Makes the nodes the first time; returns when the cluster is healthy and both
        coordinators have their topics."""
        assert list(JARS.glob("kafka_2.13-*.jar")), f"no jars in {JARS}: run install.sh"
        made = [broker for broker in self.brokers.values() if not broker.home.exists()]
        if made:
            for broker in made:
                if self.network is not None:
                    broker.client_port = self.network.proxy(f"kafka-{broker.number}", broker.listen_port)
            # As base64 it might begin with a dash, which StorageTool takes for a flag.
            cluster_id = uuid.uuid4().hex[:22]
            voters = ",".join(
                f"{broker.number}@127.0.0.1:{broker.controller_port}" for broker in self.brokers.values()
            )
            self._each(lambda broker: broker.make(cluster_id, voters))
        self._start_all()
        self.group_coordinator("campaign")
        self.transaction_coordinator("campaign")
        self.wait_healthy()

    def destroy(self) -> None:
        """Ends the brokers without ceremony and deletes their data; the logs stay."""
        self._admin = None
        for broker in self.brokers.values():
            broker.process.kill()
        for broker in self.brokers.values():
            shutil.rmtree(broker.home, ignore_errors=True)

    def up(self) -> list[int]:
        return [number for number, broker in self.brokers.items() if broker.up()]

    def wait_healthy(self, deadline_s: float = 120) -> None:
        """Until every broker is admitted and every replica of every partition is in sync."""
        end = time.monotonic() + deadline_s
        while ailments := self.ailments():
            if time.monotonic() > end:
                raise Timeout(f"cluster not healthy within {deadline_s:g} s: {ailments[:5]}")
            time.sleep(0.1)

    def restart_broken_coordinators(self) -> list[int]:
        """Brokers whose group coordinator broke, as an operator would; which ones."""
        broken = [number for number, broker in self.brokers.items() if broker.coordinator_broke()]
        for number in broken:
            self.coordinators_broken += 1
            self.stop_broker(number)
            self.start_broker(number)
            self.wait_healthy()
        return broken

    def ailments(self) -> list[str]:
        """What is wrong, in words; empty: nothing."""
        found = [f"kafka-{number} is not up" for number in self.brokers if number not in self.up()]
        try:
            metadata = self._metadata_once()
        except RequestError as error:
            return [*found, str(error)]
        if missing := self.brokers.keys() - metadata.brokers:
            found.append(f"not admitted: {sorted(missing)}")
        found += [
            f"{each.topic}-{each.number} is not in sync"
            for each in metadata.partitions
            if each.leader < 0 or set(each.isr) != set(each.replicas)
        ]
        return found

    # --- faults of brokers ---------------------------------------------------------------------

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self.brokers[number].process.kill()
        self._tell_network(number, False)

    def stop_broker(self, number: int) -> None:
        """Orderly: it hands over what it leads first. Needs the other two."""
        assert self.brokers[number].process.stop(signal.SIGTERM, STOP_S), (
            f"kafka-{number} did not stop within {STOP_S} s and was killed"
        )
        self._tell_network(number, False)

    def start_broker(self, number: int, wait: bool = True) -> None:
        """With wait: until it is admitted, which takes a majority of controllers."""
        broker = self.brokers[number]
        broker.start()
        self._tell_network(number, True)
        if wait:
            wait_until(f"kafka-{number} is up", broker.started, START_S)

    def pause(self, number: int) -> None:
        """SIGSTOP: to the others a broker that hangs, fenced after broker.session.timeout.ms."""
        self.brokers[number].paused = True
        self.brokers[number].process.pause()

    def resume(self, number: int) -> None:
        self.brokers[number].process.resume()
        self.brokers[number].paused = False

    def restart_rolling(self) -> None:
        """One after the other, each only when all are in sync again, as an operator does it."""
        for number in self.brokers:
            self.stop_broker(number)
            self.start_broker(number)
            self.wait_healthy()

    def restart_all(self) -> None:
        """All at once, as a rack does. The last ones find no majority any more that would take over
        from them, and end by SIGKILL when their time is up, as under any service manager."""
        self._each(lambda broker: broker.process.stop(signal.SIGTERM, 10))
        for number in self.brokers:
            self._tell_network(number, False)
        self._start_all()
        self.wait_healthy()

    # --- who leads what ------------------------------------------------------------------------

    def leader(self, topic: str, partition: int) -> int:
        """Waits until it is one that is up."""
        found = wait_until(
            f"{topic}-{partition} has a leader that is up",
            lambda: self._leader(topic, partition),
            interval_s=0.1,
        )
        assert found is not None
        return found

    def group_coordinator(self, group: str) -> int:
        return self._coordinator(group, kafka_requests.GROUP)

    def transaction_coordinator(self, transactional_id: str) -> int:
        return self._coordinator(transactional_id, kafka_requests.TRANSACTION)

    def controller(self) -> int:
        """The active controller; waits until it is one that is up."""
        return self._patiently(
            "an active controller", lambda ports: self._if_up(kafka_requests.quorum_leader(ports))
        )

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """By preference and election; the new leader must be up, and soon in sync."""
        where = f"{topic}-{partition}"
        replicas = self._partition(topic, partition).replicas
        assert to in replicas, f"{where} has no replica on {to}: {replicas}"
        order = [to, *(replica for replica in replicas if replica != to)]

        def moved(ports: list[int]) -> bool:
            kafka_requests.set_replicas(ports, topic, partition, order)
            kafka_requests.elect_preferred(ports, [(topic, partition)])
            return True

        self._patiently(f"{where} prefers {to}", moved)
        wait_until(f"{to} leads {where}", lambda: self._leader(topic, partition) == to, 60, 0.1)

    def move_group_coordinator(self, group: str, to: int) -> None:
        self.move_leader(OFFSETS, internal_partition(group), to)

    def move_transaction_coordinator(self, transactional_id: str, to: int) -> None:
        self.move_leader(TRANSACTIONS, internal_partition(transactional_id), to)

    def elect_all_preferred(self) -> None:
        """After a broker's return: leaders where they were first, so that load is even again."""

        def elected(ports: list[int]) -> bool:
            partitions = kafka_requests.metadata(ports).partitions
            wanted = [(each.topic, each.number) for each in partitions]
            kafka_requests.elect_preferred(ports, wanted)
            return True

        self._patiently("preferred leaders", elected)

    # --- topics --------------------------------------------------------------------------------

    def create_topics(self, partitions: dict[str, int], **config: str) -> None:
        """With a replica on every broker. Settings in Kafka's names, dots as underscores."""
        settings = {name.replace("_", "."): value for name, value in config.items()}
        wanted = [
            NewTopic(name, count, len(self.brokers), config=settings) for name, count in partitions.items()
        ]
        for future in self.admin.create_topics(wanted, operation_timeout=30).values():
            future.result(60)
        for topic, count in partitions.items():
            for partition in range(count):
                self.leader(topic, partition)

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
        wait_until(
            f"{topic} is gone",
            lambda: all(each.topic != topic for each in self._metadata_once().partitions),
            interval_s=0.1,
        )

    def limit_message_size(self, topic: str, max_bytes: int | None) -> None:
        """max.message.bytes of a topic; None: the broker's default again."""
        self.set_topic_config(topic, "max.message.bytes", None if max_bytes is None else str(max_bytes))

    def set_topic_config(self, topic: str, name: str, value: str | None) -> None:
        """None: what it is without. Each broker follows in its own time, moments later."""
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value or "", incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(60)
        wait_until(
            f"{name} of {topic} is {value}",
            lambda: value is None or self.topic_config(topic)[name] == value,
        )

    def topic_config(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        described = self.admin.describe_configs([resource])[resource].result(60)
        return {name: entry.value for name, entry in described.items()}

    # --- within --------------------------------------------------------------------------------

    def _tell_network(self, number: int, up: bool) -> None:
        if self.network is not None:
            self.network.upstream(f"kafka-{number}", up)

    def _ports_up(self) -> list[int]:
        return [self.brokers[number].direct_port for number in self.up()]

    def _each(self, act: Callable[[Broker], Any]) -> None:
        """For all brokers side by side; the first failure is the caller's."""
        failures: list[BaseException] = []

        def guarded(broker: Broker) -> None:
            try:
                act(broker)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(broker,)) for broker in self.brokers.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _start_all(self) -> None:
        down = [broker for broker in self.brokers.values() if not broker.process.alive()]
        for broker in down:
            broker.start()
            self._tell_network(broker.number, True)
        for broker in down:
            wait_until(f"kafka-{broker.number} is up", broker.started, START_S)

    def _patiently(self, what: str, ask: Callable[[list[int]], T | None]) -> T:
        """Until the cluster answers: while leaders move it says that it cannot, and then it can."""

        def asked() -> tuple[T] | None:
            try:
                answer = ask(self._ports_up())
            except RequestError:
                return None
            return None if answer is None else (answer,)

        answered = wait_until(what, asked, interval_s=0.2)
        assert answered is not None
        return answered[0]

    def _coordinator(self, key: str, key_type: int) -> int:
        return self._patiently(
            "a coordinator that is up",
            lambda ports: self._if_up(kafka_requests.find_coordinator(ports, key, key_type)),
        )

    def _if_up(self, number: int) -> int | None:
        return number if number in self.up() else None

    def _metadata_once(self) -> Metadata:
        return kafka_requests.metadata(self._ports_up())

    def _partition(self, topic: str, partition: int) -> Partition:
        def found(ports: list[int]) -> Partition | None:
            for each in kafka_requests.metadata(ports).partitions:
                if (each.topic, each.number) == (topic, partition):
                    return each
            return None

        return self._patiently(f"{topic}-{partition}", found)

    def _leader(self, topic: str, partition: int) -> int | None:
        return self._if_up(self._partition(topic, partition).leader)


def internal_partition(key: str) -> int:
    """Where a group or a transactional id is kept: Java's String.hashCode, without its sign."""
    code = 0
    data = key.encode("utf-16-be")
    for high, low in zip(data[::2], data[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % INTERNAL_PARTITIONS
