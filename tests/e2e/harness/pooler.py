"""The real PgBouncer in front of the stack's PostgreSQL."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from .program import free_port
from .wait import wait_until

SETTINGS = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
max_client_conn = 100
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
logfile = {log}
pidfile = {pid}
"""


class Pooler:
    """auth_type any: every client is the user that its database entry or the URL names."""

    def __init__(self, database_url: str, mode: str, port: int = 0):
        url = urlsplit(database_url)
        self.port = port or free_port()
        self.url = f"postgresql://{url.username}@127.0.0.1:{self.port}{url.path}"
        directory = Path(tempfile.mkdtemp(prefix="catalyst-pooler-"))
        directory.chmod(0o777)  # PgBouncer refuses to run as root
        self._settings = directory / "pgbouncer.ini"
        self._log = directory / "pgbouncer.log"
        entry = SETTINGS.format(
            host=url.hostname,
            port=url.port,
            listen=self.port,
            mode=mode,
            log=self._log,
            pid=directory / "pgbouncer.pid",
        ).replace("\n\n[pgbouncer]", f" user={url.username}\n\n[pgbouncer]")
        self._settings.write_text(entry)

    def __enter__(self) -> "Pooler":
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
        assert program is not None, "pgbouncer is not installed: deploy/local/install.sh --tests"
        self._process = subprocess.Popen(
            [program, "-q", "-u", "nobody", str(self._settings)], stderr=subprocess.DEVNULL
        )
        wait_until("PgBouncer listens", self._listens, 10)
        return self

    def _listens(self) -> bool:
        assert self._process.poll() is None, self._log.read_text() if self._log.exists() else "ended at once"
        return self._log.exists() and "process up" in self._log.read_text()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
