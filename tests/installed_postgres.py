"""Run tests on a Postgres that this machine has installed: `python -m tests.installed_postgres 15 tests/worker/store`.

It starts the server on a temporary directory, as a user who is not root, and ends it afterwards. It installs nothing:
without that Postgres it says so and exits 0, or 1 with ``--required``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from worker.stack.embedded import EmbeddedPostgres

#: where Debian and Ubuntu, the builders of the Postgres project for Red Hat, and Homebrew put the programs
_PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")


class InstalledPostgres(EmbeddedPostgres):
    """A server like the embedded one, with the programs of another Postgres."""

    def __init__(self, data_dir: Path, programs: Path) -> None:
        super().__init__(data_dir, may_create_databases=True)
        self._programs = programs

    def _find_programs(self) -> Path:
        return self._programs


def programs_of(version: str) -> Path | None:
    """Return the directory with the programs of a major version; None if it is not installed."""
    places = (Path(place.format(version)) for place in _PLACES)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def main() -> int:
    """Run pytest with the other arguments; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="major version, for example 15")
    parser.add_argument("--required", action="store_true", help="exit 1 if it is not installed")
    known, arguments = parser.parse_known_args()
    programs = programs_of(known.version)
    if programs is None:
        package = f"postgresql-{known.version}"
        sys.stdout.write(f"skipped: no Postgres {known.version} here; on Debian: apt-get install {package}\n")
        return 1 if known.required else 0
    # Below /tmp, because Postgres runs as another user if we are root.
    directory = Path(tempfile.mkdtemp(prefix="contactsync-postgres-"))
    server = InstalledPostgres(directory, programs)
    try:
        environment = {**os.environ, "TEST_DATABASE_URL": server.start()}
        sys.stdout.write(f"on the Postgres of {programs}\n")
        sys.stdout.flush()
        return subprocess.call([sys.executable, "-m", "pytest", *arguments], env=environment)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
