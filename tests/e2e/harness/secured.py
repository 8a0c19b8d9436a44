"""A broker that asks everybody for a name and lets nobody do what no ACL allows.

Beside the one of the local stack, with KRaft's own authorizer. The tests come by a listener without
names as super users; users come by the other one, with SASL/PLAIN.
"""

import os
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from .kafka import Kafka
from .program import free_port
from .stack import REPOSITORY
from .wait import wait_until

LOCAL = REPOSITORY / "deploy" / "local"
JARS = Path(os.environ.get("CATALYST_CACHE", REPOSITORY / "build")) / "kafka"
JAVA = (
    *("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
    f"-Dlog4j2.configurationFile={LOCAL / 'log4j2.properties'}",
    *("-cp", f"{JARS}/*"),
)
START_S = 240

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listener.security.protocol.map=DIRECT:PLAINTEXT,NAMED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class Right:
    """An operation on a topic, a group or transactional ids; `prefixed`: on all that begin so."""

    def __init__(self, operation: str, kind: str, name: str, prefixed: bool = False):
        self.operation = AclOperation[operation]
        self.kind = ResourceType[kind]
        self.name = name
        self.pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL

    def __str__(self) -> str:
        return f"{self.operation.name} on {self.kind.name} {self.name}"

    def binding(self, user: str) -> AclBinding:
        return AclBinding(*self._fields(user))

    def filter(self, user: str) -> AclBindingFilter:
        return AclBindingFilter(*self._fields(user))

    def _fields(self, user: str) -> tuple[Any, ...]:
        who = (f"User:{user}", "*")
        return self.kind, self.name, self.pattern, *who, self.operation, AclPermissionType.ALLOW


class SecuredBroker:
    def __init__(self, directory: Path, users: list[str]):
        self.directory = directory
        self.users = users
        self.direct, self.named, controller = free_port(), free_port(), free_port()
        self._controller = controller
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> "SecuredBroker":
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = self.directory / "server.properties"
        settings.write_text(self._settings())
        formatted = subprocess.run(
            [*JAVA, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", settings],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert formatted.returncode == 0, formatted.stdout + formatted.stderr
        self._log = (self.directory / "broker.log").open("wb")
        self._process = subprocess.Popen(
            [*JAVA, "kafka.Kafka", settings],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_until("the broker is admitted", self._started, START_S)
        self.kafka = Kafka(f"127.0.0.1:{self.direct}")
        return self

    def _settings(self) -> str:
        names = "".join(f' user_{user}="{user}-secret"' for user in self.users)
        login = f"org.apache.kafka.common.security.plain.PlainLoginModule required{names};"
        own = {
            "listeners": f"DIRECT://127.0.0.1:{self.direct},NAMED://127.0.0.1:{self.named}"
            f",CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"DIRECT://127.0.0.1:{self.direct},NAMED://127.0.0.1:{self.named}",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listener.name.named.plain.sasl.jaas.config": login,
            "log.dirs": str(self.directory / "data"),
        }
        common = (LOCAL / "broker.properties").read_text()
        return SETTINGS + common + "".join(f"{name}={value}\n" for name, value in own.items())

    def _started(self) -> bool:
        assert self._process is not None
        log = (self.directory / "broker.log").read_text(errors="replace")
        assert self._process.poll() is None, log[-4000:]
        return "Kafka Server started" in log

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
        if self._log is not None:
            self._log.close()

    def login(self, user: str) -> dict[str, str]:
        """The worker's settings to come as this user."""
        return {
            "CATALYST_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.named}",
            "CATALYST_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "CATALYST_KAFKA_SASL_MECHANISMS": "PLAIN",
            "CATALYST_KAFKA_SASL_USERNAME": user,
            "CATALYST_KAFKA_SASL_PASSWORD": f"{user}-secret",
        }

    # --- rights --------------------------------------------------------------------------------

    def grant(self, user: str, *rights: Right) -> None:
        made = self.kafka.admin.create_acls([right.binding(user) for right in rights])
        for future in made.values():
            future.result(30)
        self._await(user, rights, held=True)

    def revoke(self, user: str, *rights: Right) -> None:
        gone = self.kafka.admin.delete_acls([right.filter(user) for right in rights])
        for right, future in zip(rights, gone.values(), strict=True):
            assert len(future.result(30)) == 1, f"{user} does not have {right}"
        self._await(user, rights, held=False)

    def _await(self, user: str, rights: Sequence[Right], held: bool) -> None:
        """The controller has answered; the broker's authorizer learns it a moment later."""
        for right in rights:

            def known(right: Right = right) -> bool:
                return bool(self.kafka.admin.describe_acls(right.filter(user)).result(30)) == held

            wait_until(f"the broker knows of {right}: {held}", known)
