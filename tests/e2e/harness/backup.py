"""A backup of one installation's schema, and its restore while replicas run: the database goes back."""

import subprocess
from pathlib import Path

import psycopg

from .site import Site

# Of the database's sessions, those of replicas: a restore ends them.
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name LIKE 'catalyst-worker lane%' AND pid <> pg_backend_pid();\n"
)


class Backup:
    def __init__(self, site: Site, directory: Path):
        self.site = site
        self.path = directory / f"{site.name}.sql"
        self._run("pg_dump", "--no-owner", f"--schema={site.schema}", f"--file={self.path}")

    def restore(self) -> None:
        """In one transaction: a replica that connects meanwhile waits for it."""
        script = self.path.with_suffix(".restore.sql")
        drop = f'DROP SCHEMA "{self.site.schema}" CASCADE;\n'
        script.write_text(drop + END_SESSIONS + self.path.read_text())
        self._run("psql", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--file={script}")
        with psycopg.connect(self.site.stack.database_url, autocommit=True) as db:
            db.execute(END_SESSIONS.encode())

    def _run(self, *command: str) -> None:
        name, *options = command
        done = subprocess.run(
            [name, f"--dbname={self.site.stack.database_url}", *options],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
