"""Commands about connections: accounts at providers whose webhooks are kept and worked on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from connectors import connector
from worker import ids, settings
from worker.commands.session import (
    DataDir,
    Json,
    Organization,
    country,
    database,
    group,
    organization_id,
    show,
)
from worker.errors import ConfigError
from worker.resolve import API_SOURCE
from worker.store import connections, organizations, ready
from worker.store.connections import ConnectionRow

app = group("Connections: accounts at providers.")
add = group("Add a connection.")
app.add_typer(add, name="add")

_SHOP_DOMAIN = ".myshopify.com"

ConnectionId = Annotated[str, typer.Argument(help="con_…")]
Secrets = Annotated[
    list[str], typer.Option("--webhook-secret", help="Secret that signs webhooks; repeat for old ones.")
]


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
    home = None if region is None else country("--region", region)
    if not source or not all(secret.strip() for secret in webhook_secret):
        raise ConfigError("--source and --webhook-secret must not be empty")
    if source == API_SOURCE:
        raise ConfigError("--source: 'api' is the name under which edits through the API are kept")
    with database(data_dir) as conn:
        try:
            id_ = connections.insert(
                conn,
                organizations.ensure(conn, organization),
                connector="shopify",
                source=source,
                options={"shop_domain": domain},
                region=home,
                priority=priority,
                webhook_secrets=webhook_secret,
                access_token=access_token,
            )
        except IntegrityError:
            raise ConfigError(f"--source: {source!r} is taken; each connection needs a name of its own") from None
    show(as_json, {"connection_id": ids.show(ids.CONNECTION, id_), "webhook_url": _webhook_url(id_)})


@app.command("list")
def list_connections(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the connections of an organization."""
    with database(data_dir) as conn:
        rows = connections.of_organization(conn, organization_id(conn, organization))
    show(as_json, [connections.describe(row) for row in rows])


@app.command("show")
def show_connection(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Show one connection."""
    with database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
    show(as_json, {**connections.describe(row), "webhook_url": _webhook_url(row.id)})


@app.command("pause")
def pause(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Keep what arrives, but work on none of it until it is resumed."""
    _change(data_dir, organization, connection_id, as_json, "paused", ready.hold)


@app.command("resume")
def resume(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Work on a paused connection again."""
    _change(data_dir, organization, connection_id, as_json, "active", ready.unhold)


@app.command("remove")
def remove(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Refuse its webhooks from now on and forget its secrets; what it said stays."""
    _change(data_dir, organization, connection_id, as_json, "removed", ready.unhold)


@app.command("rotate-secret")
def rotate_secret(
    connection_id: ConnectionId,
    webhook_secret: Secrets,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Stop accepting the earlier secrets.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Accept new webhook secrets beside the old ones: a provider may sign with the oldest for an hour."""
    with database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        kept = [] if drop_old else [secret for secret in row.secrets() if secret not in webhook_secret]
        connections.set_secrets(conn, row.organization_id, row.id, [*webhook_secret, *kept])
    show(as_json, {"connection_id": connection_id, "webhook_secrets": len(webhook_secret) + len(kept)})


@app.command("approve-fields")
def approve_fields(
    connection_id: ConnectionId,
    fields: Annotated[list[str] | None, typer.Argument(help="Protected fields the app may read.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All protected fields.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Name the protected fields the provider shows us: there, null means empty; elsewhere, not shown."""
    with database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        known = connector(row.connector).PROTECTED_FIELDS
        wanted = known if everything else frozenset(fields or ())
        if unknown := wanted - known:
            raise ConfigError(f"unknown fields {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}")
        connections.set_approved_fields(conn, row.organization_id, row.id, sorted(wanted))
    show(as_json, {"connection_id": connection_id, "approved_fields": sorted(wanted)})


def _connection(conn: Connection, organization: str, shown_id: str) -> ConnectionRow:
    id_ = ids.read(ids.CONNECTION, shown_id)
    row = None if id_ is None else connections.by_id(conn, id_)
    # Edits through the API are kept under a connection that nobody made, and nobody must touch.
    if row is None or row.connector == API_SOURCE or row.organization_id != organization_id(conn, organization):
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
    with database(data_dir) as conn:
        row = _connection(conn, organization, connection_id)
        if row.state == "removed" and state != "removed":
            raise ConfigError(f"{connection_id} was removed; add the shop again")
        connections.set_state(conn, row.organization_id, row.id, state)
        queue(conn, row.organization_id, row.id)
    show(as_json, {"connection_id": connection_id, "state": state})


def _webhook_url(id_: UUID) -> str:
    origin = settings.settings().public_url or f"http://127.0.0.1:{settings.settings().port}"
    return f"{origin.rstrip('/')}/webhooks/{ids.show(ids.CONNECTION, id_)}"
