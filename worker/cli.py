"""The command line: start the stack, set up connections and keys, see what happens, put it right.

Every command finds its stack by ``--data-dir``, else by DATABASE_URL and REDIS_URL, else in ``.contactsync``.
With ``--json`` a command prints one JSON document and nothing else on stdout.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from connectors import connector
from worker import ids, settings, status
from worker.errors import ConfigError, SyncError
from worker.golden import API_SOURCE
from worker.store import api_keys, connections, db, organizations, ready
from worker.store.connections import ConnectionRow
from worker.supervisor import Stack, Supervisor, secret_key, stack

DEFAULT_DATA_DIR = Path(".contactsync")
_SHOP_DOMAIN = ".myshopify.com"

# What only one command needs is imported there: an operator's `status` should not wait for Alembic to load.
# Locals and payloads must not be printed with a traceback.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
keys = typer.Typer(no_args_is_help=True, help="API keys.")
connections_ = typer.Typer(no_args_is_help=True, help="Connections: accounts at providers.")
add = typer.Typer(no_args_is_help=True, help="Add a connection.")
app.add_typer(keys, name="keys")
app.add_typer(connections_, name="connections")
connections_.add_typer(add, name="add")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Directory of a stack started with `up`.")]
Organization = Annotated[str, typer.Option("--organization", help="Whose data.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ConnectionId = Annotated[str, typer.Argument(help="con_…")]
Secrets = Annotated[
    list[str], typer.Option("--webhook-secret", help="Secret that signs webhooks; repeat for old ones.")
]


def main() -> NoReturn:
    """Run a command; what the operator can put right is said in one line."""
    try:
        app()
    except SyncError as error:
        _fail(str(error))
    except OperationalError as error:
        _fail(f"the database does not answer: {type(error.orig).__name__}")
    except ProgrammingError:
        _fail("the database is not at this version; run: contactsync migrate")
    sys.exit(0)


# --- the stack ---------------------------------------------------------------------------------------------------


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option("--data-dir")] = DEFAULT_DATA_DIR,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Celery pool processes.")] = 2,
) -> None:
    """Run everything on this machine until SIGTERM; what is missing (Postgres, broker) is embedded."""
    supervisor = Supervisor(data_dir, port, workers)

    def say(running: Stack) -> None:
        print(f"contactsync is up: {running['url']}  (data in {data_dir}, logs in {data_dir / 'logs'})", flush=True)

    sys.exit(supervisor.run(on_ready=say))


@app.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End when everything has been shown.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Play a simulated shop against a real stack and show what becomes of it."""
    from worker import demo as demonstration  # noqa: PLC0415 - see above

    sys.exit(demonstration.run(port, stay=not exit_))


@app.command(name="migrate")
def migrate_(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema."""
    from worker.store import migrate  # noqa: PLC0415 - see above

    _find_stack(data_dir)
    migrate.upgrade(settings.settings().database_url)


# --- keys --------------------------------------------------------------------------------------------------------


@keys.command("create")
def create_key(
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(api_keys.SCOPES)}; may be repeated.")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make an API key; it is shown once."""
    if unknown := set(scope) - set(api_keys.SCOPES):
        raise ConfigError(f"--scope: expected {', '.join(api_keys.SCOPES)}, got {', '.join(sorted(unknown))}")
    with _database(data_dir) as conn:
        id_, key = api_keys.create(conn, organizations.ensure(conn, organization), scope)
    _print(as_json, {"key_id": ids.show(ids.KEY, id_), "key": key})


@keys.command("list")
def list_keys(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the keys of an organization, without their secrets."""
    with _database(data_dir) as conn:
        found = api_keys.of_organization(conn, _organization(conn, organization))
    _print(as_json, [{"key_id": ids.show(ids.KEY, row.pop("id")), **row} for row in found])


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="key_…")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """End a key at once."""
    id_ = ids.read(ids.KEY, key_id)
    with _database(data_dir) as conn:
        if id_ is None or not api_keys.revoke(conn, _organization(conn, organization), id_):
            raise ConfigError(f"no key {key_id}")
    _print(as_json, {"key_id": key_id, "revoked": True})


# --- connections -------------------------------------------------------------------------------------------------


@add.command("shopify")
def add_shopify(
    shop_domain: Annotated[str, typer.Option(help="s.myshopify.com")],
    webhook_secret: Secrets,
    source: Annotated[str, typer.Option(help="Name of the source, unique per organization.")] = "shopify",
    access_token: Annotated[str | None, typer.Option(help="Admin API token, for reading the shop.")] = None,
    region: Annotated[str | None, typer.Option(help="Country of numbers in national form: ID, US, …")] = None,
    priority: Annotated[int, typer.Option(help="Lower wins where sources disagree.")] = 100,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Connect a Shopify shop; prints the URL to give to its webhooks."""
    domain = shop_domain.strip().lower().removeprefix("https://").rstrip("/")
    if not domain.endswith(_SHOP_DOMAIN) or domain == _SHOP_DOMAIN:
        raise ConfigError(f"--shop-domain: expected a name like example{_SHOP_DOMAIN}")
    if region is not None and not (len(region) == 2 and region.isalpha() and region.isascii()):
        raise ConfigError("--region: expected two letters (ISO 3166-1), e.g. ID")
    if not source or not all(secret.strip() for secret in webhook_secret):
        raise ConfigError("--source and --webhook-secret must not be empty")
    if source == API_SOURCE:
        raise ConfigError("--source: 'api' is the name under which edits through the API are kept")
    with _database(data_dir) as conn:
        try:
            id_ = connections.insert(
                conn,
                organizations.ensure(conn, organization),
                connector="shopify",
                source=source,
                options={"shop_domain": domain},
                region=region.upper() if region else None,
                priority=priority,
                webhook_secrets=webhook_secret,
                access_token=access_token,
            )
        except IntegrityError:
            raise ConfigError(f"--source: {source!r} is taken; each connection needs a name of its own") from None
    _print(as_json, {"connection_id": ids.show(ids.CONNECTION, id_), "webhook_url": _webhook_url(id_)})


@connections_.command("list")
def list_connections(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the connections of an organization."""
    with _database(data_dir) as conn:
        rows = connections.of_organization(conn, _organization(conn, organization))
    _print(as_json, [connections.describe(row) for row in rows])


@connections_.command("show")
def show_connection(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Show one connection."""
    with _database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
    _print(as_json, {**connections.describe(row), "webhook_url": _webhook_url(row.id)})


@connections_.command("pause")
def pause(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Keep what arrives, but work on none of it until it is resumed."""
    _change(data_dir, organization, connection_id, as_json, "paused", ready.hold)


@connections_.command("resume")
def resume(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Work on a paused connection again."""
    _change(data_dir, organization, connection_id, as_json, "active", ready.unhold)


@connections_.command("remove")
def remove(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Refuse its webhooks from now on and forget its secrets; what it said stays."""
    _change(data_dir, organization, connection_id, as_json, "removed", ready.unhold)


@connections_.command("rotate-secret")
def rotate_secret(
    connection_id: ConnectionId,
    webhook_secret: Secrets,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Stop accepting the earlier secrets.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Accept new webhook secrets beside the old ones: a provider may sign with the oldest for an hour."""
    with _database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        kept = [] if drop_old else [secret for secret in row.secrets() if secret not in webhook_secret]
        connections.set_secrets(conn, row.organization_id, row.id, [*webhook_secret, *kept])
    _print(as_json, {"connection_id": connection_id, "webhook_secrets": len(webhook_secret) + len(kept)})


@connections_.command("approve-fields")
def approve_fields(
    connection_id: ConnectionId,
    fields: Annotated[list[str] | None, typer.Argument(help="Protected fields the app may read.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All protected fields.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Name the protected fields the provider shows us: there, null means empty; elsewhere, not shown."""
    with _database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        known = connector(row.connector).PROTECTED_FIELDS
        wanted = known if everything else frozenset(fields or ())
        if unknown := wanted - known:
            raise ConfigError(f"unknown fields {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}")
        connections.set_approved_fields(conn, row.organization_id, row.id, sorted(wanted))
    _print(as_json, {"connection_id": connection_id, "approved_fields": sorted(wanted)})


# --- what happens ------------------------------------------------------------------------------------------------


@app.command(name="status")
def status_(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the queue, the connections and what is due."""
    with _database(data_dir) as conn:
        found = status.status(conn, _organization(conn, organization))
    if as_json:
        _print(as_json, found)
    else:
        status.show(Console(), found)


@app.command()
def parked(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the envelopes that were set aside, with the reason."""
    with _database(data_dir) as conn:
        rows = status.parked(conn, _organization(conn, organization))
    _print(as_json, rows)


@app.command()
def replay(
    envelope_id: Annotated[str | None, typer.Argument(help="env_…")] = None,
    parked_: Annotated[bool, typer.Option("--parked", help="All parked envelopes.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read envelopes again, under today's connectors; what they had stated is withdrawn first."""
    if (envelope_id is None) == (not parked_):
        raise ConfigError("give one envelope id, or --parked")
    with _database(data_dir) as conn:
        replayed = status.replay(conn, _organization(conn, organization), envelope_id)
    status.nudge_all()
    _print(as_json, {"replayed": len(replayed)})


@app.command()
def export(
    canonical: Annotated[bool, typer.Option("--canonical", help="Equal stores print equal bytes.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
) -> None:
    """Print one JSON line a contact."""
    from worker import export as exporting  # noqa: PLC0415 - see above

    if not canonical:
        raise ConfigError("give --canonical: it is the one form of export so far")
    with _database(data_dir) as conn:
        organization_id = _organization(conn, organization)
    with db.snapshot(db.engine()) as conn:
        for line in exporting.canonical(conn, organization_id):
            sys.stdout.buffer.write(line)


# --- helpers -----------------------------------------------------------------------------------------------------


def _find_stack(data_dir: Path | None) -> None:
    """Point this process at a stack; raises ConfigError with what to do if there is none."""
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
    os.environ.setdefault("PUBLIC_URL", running["url"])
    if not os.environ.get("CONTACTSYNC_SECRET_KEYS"):
        os.environ["CONTACTSYNC_SECRET_KEYS"] = secret_key(directory)
    settings.reload()


def _database(data_dir: Path | None) -> Any:
    """Open the one transaction of a command."""
    _find_stack(data_dir)
    return db.engine().begin()


def _organization(conn: Connection, name: str) -> UUID:
    found = organizations.find(conn, name)
    if found is None and name == "default":
        return organizations.ensure(conn, name)
    if found is None:
        raise ConfigError(f"no organization {name!r}; it comes with its first connection or key")
    return found


def _connection(conn: Connection, organization: str, shown_id: str) -> ConnectionRow:
    id_ = ids.read(ids.CONNECTION, shown_id)
    row = None if id_ is None else connections.by_id(conn, id_)
    if row is None or row.organization_id != _organization(conn, organization):
        raise ConfigError(f"no connection {shown_id} in organization {organization!r}")
    return row


def _change(
    data_dir: Path | None,
    organization: str,
    connection_id: str,
    as_json: bool,
    state: str,
    queue: Callable[[Connection, UUID, UUID], None],
) -> None:
    with _database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        if row.state == "removed" and state != "removed":
            raise ConfigError(f"{connection_id} was removed; add the shop again")
        connections.set_state(conn, row.organization_id, row.id, state)
        queue(conn, row.organization_id, row.id)
    _print(as_json, {"connection_id": connection_id, "state": state})


def _webhook_url(id_: UUID) -> str:
    origin = settings.settings().public_url or f"http://127.0.0.1:{settings.settings().port}"
    return f"{origin.rstrip('/')}/webhooks/{ids.show(ids.CONNECTION, id_)}"


def _print(as_json: bool, found: Any) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n")
        return
    rows = found if isinstance(found, list) else [found]
    if not rows:
        print("none")
        return
    table = Table(*(str(name) for name in rows[0]), box=None)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(soft_wrap=True).print(table)


def _fail(message: str) -> NoReturn:
    print(f"contactsync: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
