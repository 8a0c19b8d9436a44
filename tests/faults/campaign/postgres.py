"""Two PostgreSQL 15 servers on loopback: a primary and a synchronous streaming standby."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .disk import Disk
from .network import Network
from .processes import (
    Process,
    Servers,
    answers,
    as_user,
    free_port,
    server_environment,
    wait_port_free,
    wait_until,
)

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"
START_S = 120
STOP_S = 30

# Alike on both servers, and copied from one to the other when a standby is made. What differs
# (port, name, upstream) stands on the command line.
SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = '128MB'
max_connections = 60
max_wal_size = '1GB'
log_line_prefix = '%m [%p] %q%a '

# For pg_rewind: hint bits in the WAL, and enough of it kept to find where the two parted.
wal_log_hints = on
wal_keep_size = '512MB'

# A standby that was away is back within a second, and an upstream that hangs is given up.
wal_retrieve_retry_interval = '500ms'
wal_receiver_status_interval = '1s'
wal_receiver_timeout = '10s'
wal_sender_timeout = '30s'
"""


class Server:
    """One server: its port and its data, whichever part it plays."""

    def __init__(self, name: str, home: Path, logs: Path, disk_mb: int, network: Network | None):
        self.name = name
        self.network = network
        self.home = home
        self.port = free_port()
        self.client_port = self.port
        self.disk = Disk(home / "disk", disk_mb)
        self.data = self.disk.path / "data"
        # Not on the disk that gets full: a server that cannot write WAL panics, which is another
        # fault than a table that cannot grow.
        self.wal = home / "wal"
        self.process = Process(name, logs / f"{name}.log")

    def make_home(self) -> None:
        self.home.mkdir(parents=True)
        self.disk.make()
        for each in (self.home, self.disk.path):
            each.chmod(0o755)
        if os.geteuid() == 0:
            for each in (self.home, self.disk.path):
                shutil.chown(each, USER, USER)

    def initdb(self) -> None:
        self.run(
            *("initdb", "-D", self.data, f"--waldir={self.wal}", "-U", USER, "--auth=trust"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
        )
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)

    def copy_from(self, primary: "Server") -> None:
        """A fresh copy, whatever was here before."""
        for each in (self.data, self.wal):
            shutil.rmtree(each, ignore_errors=True)
        self.run(
            *("pg_basebackup", "-D", self.data, f"--waldir={self.wal}", "-d", primary.conninfo()),
            *("--checkpoint=fast", "--wal-method=stream", "--no-sync"),
        )

    def rewind_to(self, primary: "Server") -> bool:
        """Gives up what this server wrote alone. False: it cannot be done."""
        try:
            self.run(
                *("pg_rewind", f"--target-pgdata={self.data}", "--no-sync"),
                f"--source-server={primary.conninfo()}",
            )
        except AssertionError:
            return False
        return True

    def start(self, upstream: "Server", standby: bool) -> None:
        """upstream: whom it follows, as long as it is a standby."""
        signal_file = self.data / "standby.signal"
        if standby:
            signal_file.touch()
            if os.geteuid() == 0:
                shutil.chown(signal_file, USER, USER)
        else:
            signal_file.unlink(missing_ok=True)
        wait_port_free(self.port)
        self.process.start(
            [
                *(BINARIES / "postgres", "-D", self.data),
                *("-c", f"port={self.port}"),
                *("-c", f"cluster_name={self.name}"),
                *("-c", f"primary_conninfo={upstream.conninfo(dbname='')}"),
            ],
            user=USER,
        )
        wait_until(f"{self.name} listens", self._listens, START_S)
        self._tell_network(True)
        wait_until(f"{self.name} answers", self.answers, START_S)

    def stop(self, number: signal.Signals) -> None:
        self.process.stop(number, STOP_S)
        self._tell_network(False)

    def kill(self) -> None:
        self.process.kill()
        self._tell_network(False)

    def answers(self) -> bool:
        assert self.process.alive(), f"{self.name} ended; see {self.process.log_path}"
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def _listens(self) -> bool:
        assert self.process.alive(), f"{self.name} ended; see {self.process.log_path}"
        return answers(self.port)

    def _tell_network(self, up: bool) -> None:
        if self.network is not None:
            self.network.upstream(self.name, up)

    def conninfo(self, dbname: str = "postgres", user: str = USER) -> str:
        database = f" dbname={dbname}" if dbname else ""
        return f"host=127.0.0.1 port={self.port} user={user}{database}"

    def connect(self, dbname: str = "postgres", user: str = USER) -> psycopg.Connection[Any]:
        """An administrator's session, on which no fault and no missing standby has an effect."""
        unaffected = "statement_timeout=0", "default_transaction_read_only=off"
        settings = (*unaffected, "synchronous_commit=local") if user == USER else ()
        return psycopg.connect(
            self.conninfo(dbname, user),
            autocommit=True,
            connect_timeout=10,
            options=" ".join(f"-c {setting}" for setting in settings),
            application_name="campaign",
        )

    def ask(self, query: str, *parameters: Any, dbname: str = "postgres") -> Any:
        """The first column of the first row; None: no row."""
        with self.connect(dbname) as db:
            row = db.execute(query, parameters).fetchone()
            return row[0] if row else None

    def run(self, program: str, *arguments: str | Path) -> None:
        command = [str(BINARIES / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd="/",
            env=server_environment({}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **as_user(USER),
        )
        with self.process.log_path.open("a") as log:
            log.write(done.stdout + done.stderr)
        assert done.returncode == 0, f"{program} for {self.name}: {done.stderr.strip()}"


class PostgresPair(Servers):
    """Role and database catalyst on two servers. Who is primary changes with fail_over(); url leads
    to whoever it is."""

    def __init__(self, directory: Path, network: Network | None = None, disk_mb: int = 4096):
        self.network = network
        self.directory = directory
        self.home = directory / "postgres"
        self._disk_mb = disk_mb
        self.servers: list[Server] = []

    @property
    def url(self) -> str:
        """For the worker: through the proxies, when there is a network."""
        return self._url([server.client_port for server in self.servers])

    @property
    def direct_url(self) -> str:
        """For whoever checks: past every fault of the network."""
        return self._url([server.port for server in self.servers]) + "&connect_timeout=10"

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Makes both servers; returns when the standby is synchronous."""
        logs = self.directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.home = _reachable_home(self.directory / "postgres")
        self.servers = [
            Server(name, self.home / name, logs, self._disk_mb, self.network)
            for name in ("postgres-a", "postgres-b")
        ]
        self.primary, self.standby = self.servers
        for server in self.servers:
            server.make_home()
            if self.network is not None:
                server.client_port = self.network.proxy(server.name, server.port)
        self.primary.initdb()
        self.primary.start(self.standby, standby=False)
        with self.primary.connect() as db:
            db.execute("CREATE ROLE catalyst LOGIN CREATEDB")
            db.execute("CREATE DATABASE catalyst OWNER catalyst")
        self.standby.copy_from(self.primary)
        self.start_standby()
        self._want_standby()

    def destroy(self) -> None:
        """Ends both and deletes their data; the logs stay."""
        for server in self.servers:
            server.process.stop(signal.SIGQUIT, STOP_S)
        for server in self.servers:
            server.disk.destroy()
        shutil.rmtree(self.home, ignore_errors=True)

    def stop_immediate(self) -> None:
        """Ends the primary as a crash would: sessions end, recovery runs at the next start."""
        self.primary.stop(signal.SIGQUIT)

    def kill_primary(self) -> None:
        """SIGKILL of the postmaster; its sessions end by themselves."""
        self.primary.kill()

    def start_primary(self) -> None:
        self.primary.start(self.standby, standby=False)

    def stop_standby(self) -> None:
        """From now on every COMMIT waits."""
        self.standby.stop(signal.SIGQUIT)

    def start_standby(self) -> None:
        self.standby.start(self.primary, standby=True)

    def pause_standby(self) -> None:
        """SIGSTOP: COMMITs are on the primary's disk and wait, unanswered, for resume_standby()."""
        self.standby.process.pause()

    def resume_standby(self) -> None:
        self.standby.process.resume()

    def pause_primary(self) -> None:
        """A database that hangs: connections stay open and nothing is answered."""
        self.primary.process.pause()

    def resume_primary(self) -> None:
        self.primary.process.resume()

    # --- replication ---------------------------------------------------------------------------

    def synchronous(self) -> bool:
        state = self.primary.ask(
            "SELECT sync_state FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'",
            self.standby.name,
        )
        return bool(state == "sync")

    def wait_synchronous(self, deadline_s: float = 120) -> None:
        wait_until("the standby is synchronous", self.synchronous, deadline_s)

    def waiting_for_standby(self, application_name_prefix: str = "") -> int:
        """Sessions whose COMMIT is on the primary's disk and not on the standby's."""
        return int(
            self.primary.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                " AND starts_with(application_name, %s)",
                application_name_prefix,
            )
        )

    def fail_over(self, orderly: bool = False) -> None:
        """The standby becomes primary; the other is down until rebuild(). orderly: the primary is
        stopped fast, not immediately. It takes a synchronous standby: only that has everything that
        was answered."""
        self.wait_synchronous()
        old, new = self.primary, self.standby
        old.stop(signal.SIGINT if orderly else signal.SIGQUIT)
        assert new.ask("SELECT pg_promote(true, 120)"), f"{new.name} was not promoted"
        self.primary, self.standby = new, old
        wait_until(f"{new.name} is primary", lambda: not new.ask("SELECT pg_is_in_recovery()"))
        # What it had when it was primary last, if pg_rewind found nothing to copy meanwhile: COMMITs
        # would wait for a standby that rebuild() has yet to make.
        self.reset("synchronous_standby_names")

    def rebuild(self) -> str:
        """Makes the server that is down the synchronous standby of the other, and answers with the
        program that did it: pg_rewind, or pg_basebackup where the two have parted too far."""
        # Until this checkpoint the primary's control file still names the timeline before.
        with self.primary.connect() as db:
            db.execute("CHECKPOINT")
        rewound = self.standby.rewind_to(self.primary)
        if not rewound:
            self.standby.copy_from(self.primary)
        self.start_standby()
        self._want_standby()
        return "pg_rewind" if rewound else "pg_basebackup"

    # --- settings and sessions -----------------------------------------------------------------

    def set(self, name: str, value: str) -> None:
        """ALTER SYSTEM and reload, on the primary."""
        self._alter(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))

    def reset(self, name: str) -> None:
        """Back to what it was before set()."""
        self._alter(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))

    def read_only(self) -> None:
        """Every transaction that begins from now on may only read (25006)."""
        self.set("default_transaction_read_only", "on")

    def read_write(self) -> None:
        self.reset("default_transaction_read_only")

    def fill_disk(self) -> None:
        """No table of the primary can grow (53100). Raises Unavailable where we may not mount."""
        self.primary.disk.fill()

    def free_disk(self) -> None:
        for server in self.servers:
            server.disk.free()

    def terminate_backends(self, application_name_prefix: str = "") -> int:
        """Ends clients' sessions (57P01); how many."""
        return self._signal_backends("pg_terminate_backend", application_name_prefix)

    def cancel_backends(self, application_name_prefix: str = "") -> int:
        """Ends what they are executing (57014); how many were asked."""
        return self._signal_backends("pg_cancel_backend", application_name_prefix)

    # --- within --------------------------------------------------------------------------------

    def _url(self, ports: list[int]) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://catalyst@{hosts}/catalyst?target_session_attrs=read-write"

    def _want_standby(self) -> None:
        """From now on a COMMIT is answered when the standby has it too."""
        self.set("synchronous_standby_names", f'"{self.standby.name}"')
        self.wait_synchronous()

    def _alter(self, statement: sql.Composed) -> None:
        """Returns when a new session has it: the postmaster has read the file."""
        loaded = "SELECT pg_conf_load_time()"
        before = self.primary.ask(loaded)
        with self.primary.connect() as db:
            db.execute(statement)
            db.execute("SELECT pg_reload_conf()")
        wait_until("the settings are loaded", lambda: self.primary.ask(loaded) > before)

    def _signal_backends(self, function: str, prefix: str) -> int:
        query = sql.SQL(
            "SELECT count(*) FROM (SELECT {}(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> 'campaign'"
            " AND starts_with(application_name, %s)) AS signalled"
        ).format(sql.Identifier(function))
        with self.primary.connect() as db:
            row = db.execute(query, [prefix]).fetchone()
            return int(row[0]) if row else 0


def _reachable_home(wanted: Path) -> Path:
    """The directory wanted, unless the servers' user cannot get there: below root's home, say."""
    above = [parent for parent in wanted.resolve().parents if parent.exists()]
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in above):
        return wanted
    home = Path(tempfile.mkdtemp(prefix="catalyst-faults.", dir="/var/tmp"))
    home.chmod(0o755)
    return home
