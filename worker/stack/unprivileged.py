"""Unprivileged: under which user web, workers and beat run if root starts the stack."""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from worker.stack.processes import Account

_USERS = ("contactsync", "nobody")  #: the first choice first
_FIRST_FREE_PORT = 1024  #: ports below are for root
_PACKAGE = Path(__file__).resolve().parents[2]


class Choice(NamedTuple):
    """The user, or why it is root. Both are None if we are not root: the programs then run as we do."""

    account: Account | None = None
    reason: str | None = None


def choose(port: int) -> Choice:
    """Return a user that can run our programs on this port, for root to run them as."""
    account = Account.instead_of_root(_USERS)
    if os.geteuid() != 0:
        return Choice()
    if account is None:
        return Choice(reason="there is no user `contactsync` or `nobody`")
    if port < _FIRST_FREE_PORT:
        return Choice(reason=f"only root may listen on port {port}")
    name = pwd.getpwuid(account.uid).pw_name
    for needed in (Path(sys.executable).parent, Path(sys.executable).resolve().parent, _PACKAGE):
        if not account.can_enter(needed):
            return Choice(reason=f"the user `{name}` may not enter {needed}")
    if not _can_import(account):
        return Choice(reason=f"the user `{name}` cannot read our packages below {sys.prefix}")
    return Choice(account)


def environment(account: Account) -> Mapping[str, str]:
    """Return the variables that differ for the user: root's home is closed to it, at which libpq gives up."""
    entry = pwd.getpwuid(account.uid)
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}


def _can_import(account: Account) -> bool:
    """Whether the user can load our programs; permissions alone do not tell, as files may be closed or under an ACL."""
    done = subprocess.run(
        [sys.executable, "-c", "import worker.settings, celery, uvicorn, psycopg"],
        cwd=_PACKAGE,
        env={**os.environ, **environment(account)},
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
