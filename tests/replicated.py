"""An embedded Postgres that another one follows: a primary and its streaming replica, each on a port of its own."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg

from worker.stack.embedded import _POSTGRES_SETTINGS, EmbeddedPostgres, _as_options
from worker.stack.processes import until

#: what a server needs for others to follow it; a replica may have no less of the last three than its primary
_SETTINGS = {"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "512MB", "max_connections": "150"}


class _Replicated(EmbeddedPostgres):
    def _spawn(self) -> subprocess.Popen[bytes]:
        self._clear_cluster()
        options = _as_options(_POSTGRES_SETTINGS | _SETTINGS | {"port": str(self._port)})
        return self._start_program("postgres", "-D", str(self._cluster), *options)

    def plain_url(self) -> str:
        """Return the URL as libpq takes it."""
        return self.url.replace("+psycopg", "")

    def execute(self, statement: str):
        """Run a statement, and return its first value if there is one."""
        with psycopg.connect(self.plain_url(), autocommit=True) as conn:
            cursor = conn.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


class Primary(_Replicated):
    """A Postgres that takes writes, and sends its log to whoever follows."""

    def _create_cluster(self) -> None:
        super()._create_cluster()
        options = _as_options(_POSTGRES_SETTINGS | {"exit_on_error": "on"})
        # Functions belong to a database. Ours may pause the replay, so that a test can make the replica lag.
        self._run_to_end(
            *("postgres", "--single", "-D", str(self._cluster), *options),
            "contactsync",
            stdin="ALTER ROLE contactsync REPLICATION\n"
            "GRANT EXECUTE ON FUNCTION pg_wal_replay_pause() TO contactsync\n"
            "GRANT EXECUTE ON FUNCTION pg_wal_replay_resume() TO contactsync\n"
            "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO contactsync\n",
        )


class Replica(_Replicated):
    """A Postgres that follows a primary, and only answers reads. The primary has to run when it starts first."""

    name = "replica"

    def __init__(self, data_dir: Path, primary: Primary) -> None:
        super().__init__(data_dir, may_create_databases=True)
        self._primary = primary

    def _read_state(self) -> None:
        super()._read_state()
        self._password = self._primary._password
        self._keep(password=self._password)

    def _create_cluster(self) -> None:
        copy = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        source = f"{self._primary.plain_url()}?application_name=replica"
        self._run_to_end("pg_basebackup", "-D", str(self._cluster), "-d", source, *copy)

    @contextmanager
    def paused(self):
        """Replay nothing meanwhile: the replica stays as it is and falls behind."""
        self.execute("SELECT pg_wal_replay_pause()")
        assert until(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == "paused", timeout_s=10)
        try:
            yield
        finally:
            self.execute("SELECT pg_wal_replay_resume()")

    def caught_up(self) -> bool:
        """Whether everything that the primary has written by now is to be seen here."""
        position = self._primary.execute("SELECT pg_current_wal_lsn()")
        return until(lambda: self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"), timeout_s=10)
