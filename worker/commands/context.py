"""Shared by all commands: common options, finding the stack and the organization, and printing the result."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import orjson
import typer

from worker import ids
from worker.commands.tables import print_tables
from worker.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.store.db import Tx

DEFAULT_DATA_DIR = Path(".contactsync")
_MAX_SECRET = 65_536  #: bytes

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Directory of a stack started with `up`.")]
Organization = Annotated[str, typer.Option("--organization", help="Whose data.")]
WebhookSecretFiles = Annotated[
    list[str] | None, typer.Option("--webhook-secret-file", help="The same from a file; - is stdin.")
]
CredentialFiles = Annotated[
    list[str] | None, typer.Option("--credential-file", help="NAME=FILE: the same from a file; - is stdin.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def find_stack(data_dir: Path | None) -> None:
    """Set the settings of this process to those of a stack.

    ``data_dir`` comes first, then DATABASE_URL, then ``.contactsync``. Raises ConfigError, which says what to do, if
    no stack runs there.
    """
    from worker import settings
    from worker.stack.supervisor import secret_key, stack

    if data_dir is None and os.environ.get("DATABASE_URL"):
        if (DEFAULT_DATA_DIR / "secret.key").exists():
            os.environ.setdefault("CONTACTSYNC_SECRET_KEYS", secret_key(DEFAULT_DATA_DIR))
        settings.reload()
        return
    directory = data_dir or DEFAULT_DATA_DIR
    running = stack(directory)
    if running is None:
        raise ConfigError(
            f"no stack is running in {directory}: start one with `contactsync up --data-dir {directory}`, "
            "or set DATABASE_URL and REDIS_URL"
        )
    os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = running["database_url"], running["redis_url"]
    os.environ["BROKER_URL"] = running.get("broker_url", "")
    os.environ.setdefault("PUBLIC_URL", running["url"])
    if not os.environ.get("CONTACTSYNC_SECRET_KEYS"):
        os.environ["CONTACTSYNC_SECRET_KEYS"] = secret_key(directory)
    settings.reload()


def database(data_dir: Path | None) -> Any:
    """Open the one transaction of a command, as a context manager that yields a Connection."""
    from worker.store import db

    find_stack(data_dir)
    return db.engine().begin()


@contextmanager
def transaction(data_dir: Path | None, organization: str) -> Iterator["Tx"]:
    """Open the one transaction of a command for an organization; raises ConfigError if it does not exist."""
    from worker.store.db import Tx

    with database(data_dir) as conn:
        yield Tx(conn, organization_id(conn, organization))


def organization_id(conn: "Connection", name: str) -> UUID:
    """Return the id of an organization; raises ConfigError if there is none. The first use creates ``default``."""
    from worker.store import organizations

    found = organizations.find(conn, name)
    if found is None and name == "default":
        return organizations.ensure(conn, name)
    if found is None:
        raise ConfigError(f"no organization {name!r}; it comes with its first connection or key")
    return found


def country(option: str, text: str) -> str:
    """Return the code of a country that is given by code or name; ``option`` is named in the ConfigError."""
    from connectors.countries import code_of

    code = code_of(text)
    if code is None:
        raise ConfigError(f"{option}: expected a country, e.g. ID, IDN or Indonesia")
    return code


def webhook_url(id_: UUID) -> str:
    """Return the URL to which the provider should send a connection's webhooks."""
    from worker import settings

    url = settings.settings().public_url or f"http://127.0.0.1:{settings.settings().port}"
    return f"{url.rstrip('/')}/webhooks/{ids.show(ids.CONNECTION, id_)}"


def show(as_json: bool, found: Any) -> None:
    """Print the result of a command: one JSON document, or tables."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n")
    else:
        print_tables(found)


class SecretInputs:
    """Secrets of one command, each given by an option or, so that no list of processes shows it, by a file.

    The option for the file is that of the secret with ``-file`` behind it; ``-`` is stdin, which gives one secret only.
    Errors name the option and quote neither the secret nor the path: somebody may have given the secret as the path.
    """

    def __init__(self) -> None:
        self._stdin_is_for: str | None = None

    def one(self, option: str, given: str | None, file: str | None) -> str | None:
        """Return the secret of an option that may be given once; None if it is not given."""
        found = self.all(option, None if given is None else [given], None if file is None else [file])
        return found[0] if found else None

    def all(self, option: str, given: Sequence[str] | None, files: Sequence[str] | None) -> list[str]:
        """Return the secrets of an option that may be repeated."""
        if given and files:
            raise ConfigError(f"give {option} or {option}-file, not both")
        return [self._read(f"{option}-file", file) for file in files or ()] or list(given or ())

    def named(self, option: str, given: Sequence[str] | None, files: Sequence[str] | None) -> dict[str, str]:
        """Return the secrets of an option that takes NAME=VALUE, and whose twin takes NAME=FILE."""
        values, read = pairs(option, given), pairs(f"{option}-file", files)
        if both := values.keys() & read.keys():
            raise ConfigError(f"give {min(both)} to {option} or {option}-file, not to both")
        return values | {name: self._read(f"{option}-file", file) for name, file in read.items()}

    def _read(self, option: str, file: str) -> str:
        try:
            content = self._stdin(option) if file == "-" else _beginning(Path(file))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such file"
            raise ConfigError(f"{option}: cannot be read: {reason}") from None
        try:
            secret = content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError(f"{option}: expected text in UTF-8") from None
        if not secret.strip() or "\0" in secret or len(content) > _MAX_SECRET:
            raise ConfigError(f"{option}: expected a secret, got {'a large file' if secret.strip() else 'nothing'}")
        return secret

    def _stdin(self, option: str) -> bytes:
        if self._stdin_is_for is not None:
            raise ConfigError(f"{option}: stdin gives one secret, and {self._stdin_is_for} has it; use a file")
        self._stdin_is_for = option
        if sys.stdin is None:
            return b""
        if sys.stdin.isatty():
            return getpass(f"{option}: ", stream=sys.stderr).encode()  # not shown while it is typed
        return sys.stdin.buffer.read(_MAX_SECRET + 1)


def _beginning(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_SECRET + 1)


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Parse NAME=VALUE options; raises ConfigError, without the value, for anything else and for a second value."""
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        name = name.strip()
        if not name or not equals or not value:
            raise ConfigError(f"{option}: expected NAME=VALUE")
        if name in found:
            raise ConfigError(f"{option}: {name} is given twice")
        found[name] = value
    return found
