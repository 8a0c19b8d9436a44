"""One installation of the worker on the campaign's servers: schema, topics, group, settings."""

import random
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from harness import program
from harness.kafka import Kafka
from harness.wire import IDENTITY, KEYS

from .cluster import Cluster
from .postgres import PostgresPair

SESSION_TIMEOUT_MS = 3000
TRANSACTION_TIMEOUT_MS = 2500
PARTITIONS = 3
BATCHES = (50, 100, 200, 500)


@dataclass(frozen=True)
class Names:
    schema: str = "campaign"
    group: str = "campaign"
    audit: str = "campaign.audit"
    identity: str = "campaign.identity"
    keys: str = "campaign.keys"
    # A command topic on which nothing is sent but by the faults that need a topic to themselves.
    spare: str = "campaign.spare"

    @property
    def commands(self) -> dict[str, str]:
        """By the harness's names for the two command topics."""
        return {IDENTITY: self.identity, KEYS: self.keys}

    @property
    def dead_letters(self) -> list[str]:
        return [f"{topic}.dlq" for topic in self.commands.values()]

    @property
    def spare_dead_letters(self) -> str:
        return f"{self.spare}.dlq"


class Installation:
    """How big its batches are depends on the seed: small ones, so that many transactions are under
    way whenever something happens."""

    def __init__(self, cluster: Cluster, pair: PostgresPair, seed: int):
        self.cluster = cluster
        self.pair = pair
        self.names = Names()
        self.batch = random.Random(seed).choice(BATCHES)
        self.kafka = Kafka(cluster.direct)

    @property
    def env(self) -> dict[str, str]:
        """What an operator may set, and nothing else."""
        names = self.names
        return {
            "CATALYST_DATABASE_URL": self.pair.url,
            "CATALYST_DATABASE_SCHEMA": names.schema,
            "CATALYST_KAFKA_BOOTSTRAP_SERVERS": self.cluster.servers,
            "CATALYST_COMMAND_TOPICS": f"{names.identity},{names.keys},{names.spare}",
            "CATALYST_AUDIT_TOPIC": names.audit,
            "CATALYST_GROUP_ID": names.group,
            "CATALYST_LANES": "1",
            "CATALYST_BATCH_MAX_MESSAGES": str(self.batch),
            # A replica that begins while a server is away waits for it.
            "CATALYST_STARTUP_DEADLINE": "600s",
            "CATALYST_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "CATALYST_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
            # How long a group coordinator that has lost its timers holds a join up; see
            # docs/operations.md, "The group hangs".
            "CATALYST_KAFKA_MAX_POLL_INTERVAL_MS": "60000",
            "CATALYST_KAFKA_TRANSACTION_TIMEOUT_MS": str(TRANSACTION_TIMEOUT_MS),
            "CATALYST_KAFKA_RECONNECT_BACKOFF_MAX_MS": "1000",
        }

    def create(self) -> None:
        names = self.names
        wanted = [*names.commands.values(), *names.dead_letters, names.audit]
        self.cluster.create_topics(dict.fromkeys(wanted, PARTITIONS))
        self.cluster.create_topics({names.spare: 1, names.spare_dead_letters: 1})
        program.run_ok("migrate", "up", env=self.env | {"CATALYST_HTTP_LISTEN": ""})

    def transactional_id(self, instance: str) -> str:
        """Of the instance's only lane."""
        return f"{self.names.group}.{instance}.0"

    def members(self) -> int | None:
        """Of the group; None: nobody says so now. A client of its own each time: an older one may go
        on asking a coordinator that has moved."""
        admin = AdminClient({"bootstrap.servers": self.cluster.direct, "log_level": 0})
        asked = admin.describe_consumer_groups([self.names.group], request_timeout=5)
        try:
            return len(asked[self.names.group].result(10).members)
        except (KafkaException, FutureTimeout):
            return None

    def backlog(self) -> dict[tuple[str, int], int]:
        """Commands behind the group's stable offsets, by partition; empty: none is left."""
        topics = self.names.commands.values()
        ends = self.kafka.end_offsets(topics)
        committed = self.kafka.committed(self.names.group, topics)
        return {
            partition: end - committed[partition]
            for partition, end in ends.items()
            if committed[partition] < end
        }
