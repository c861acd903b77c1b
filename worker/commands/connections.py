"""Commands about connections: accounts at providers, which send us webhooks or are read."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from uuid import UUID

import typer

from worker import ids
from worker.commands.context import (
    CredentialFiles,
    DataDir,
    Json,
    Organization,
    SecretInputs,
    WebhookSecretFiles,
    database,
    organization_id,
    show,
    transaction,
    webhook_url,
)
from worker.commands.groups import group, later
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from connectors.reader import Subscriber
    from worker.store.connections import ConnectionRow
    from worker.store.db import Tx

app = group("Connections: accounts at providers.")
app.add_typer(group("Add a connection."), cls=later("worker.commands.connection_add"), name="add")

ConnectionId = Annotated[str, typer.Argument(help="con_…")]
Secrets = Annotated[
    list[str] | None, typer.Option("--webhook-secret", help="Secret that signs webhooks; repeat for old ones.")
]


@app.command("list")
def list_connections(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the connections of an organization."""
    from worker.store import connections

    with transaction(data_dir, organization) as tx:
        rows = connections.of_organization(tx)
    show(as_json, [connections.describe(row) for row in rows])


@app.command("show")
def show_connection(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Show one connection."""
    from worker.store import connections

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
    show(as_json, {**connections.describe(row), "webhook_url": webhook_url(row.id)})


@app.command("pause")
def pause(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Keep what arrives, but work on none of it until it is resumed."""
    from worker.store import ready

    _change(data_dir, organization, connection_id, as_json, "paused", ready.hold)


@app.command("resume")
def resume(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Work on a paused connection again."""
    from worker.store import ready

    _change(data_dir, organization, connection_id, as_json, "active", ready.unhold)


@app.command("remove")
def remove(
    connection_id: ConnectionId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Refuse its webhooks from now on and forget its secrets; what it said stays."""
    from worker.store import ready

    _change(data_dir, organization, connection_id, as_json, "removed", ready.unhold)


@app.command("rotate-secret")
def rotate_secret(
    connection_id: ConnectionId,
    webhook_secret: Secrets = None,
    webhook_secret_file: WebhookSecretFiles = None,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Stop accepting the earlier secrets.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Accept new webhook secrets beside the old ones: a provider may sign with the oldest for an hour."""
    from worker.store import connections
    from worker.store.db import Tx

    new = SecretInputs().all("--webhook-secret", webhook_secret, webhook_secret_file)
    if not new or not all(secret.strip() for secret in new):
        raise ConfigError("--webhook-secret: expected a secret, by this option or by --webhook-secret-file")
    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        kept = [] if drop_old else [secret for secret in row.secrets() if secret not in new]
        connections.set_secrets(Tx(conn, row.organization_id), row.id, [*new, *kept])
    show(as_json, {"connection_id": connection_id, "webhook_secrets": len(new) + len(kept)})


@app.command("authorize")
def authorize(
    connection_id: ConnectionId,
    credential: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, as access_token=…; replaces what was there.")
    ] = None,
    credential_file: CredentialFiles = None,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give a connection new credentials for its provider's API, as after the app was installed again."""
    from connectors import can_read, reader_of
    from worker.store import connections
    from worker.store.db import Tx

    given = SecretInputs().named("--credential", credential, credential_file)
    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        if not can_read(row.connector):
            raise ConfigError(f"{row.connector} cannot be read, so it takes no credentials")
        missing = [name for name in reader_of(row.connector).CREDENTIALS if not given.get(name, "").strip()]
        if missing:
            raise ConfigError(f"--credential: {missing[0]}=… is needed to read the provider")
        connections.set_credentials(Tx(conn, row.organization_id), row.id, given, is_new=True)
    show(as_json, {"connection_id": connection_id, "credentials": sorted(given)})


@app.command("subscribe")
def subscribe(
    connection_id: ConnectionId,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Register our webhooks at the provider, and repair those that were removed."""
    from connectors import connector
    from connectors.contract import MalformedPayloadError
    from connectors.reader import ReadingError
    from worker.providers.session import job_of, provider_session
    from worker.store import db

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
    if not row.can_be_read or not hasattr(connector(row.connector), "subscribe"):
        raise ConfigError(f"{connection_id} has no credentials, or {row.connector} has no API for webhooks")
    subscriber = cast("Subscriber", connector(row.connector))
    try:
        with provider_session(db.engine(), row) as fetch:
            done = subscriber.subscribe(job_of(row, "full"), webhook_url(row.id), fetch)
    except (ReadingError, MalformedPayloadError) as error:
        raise ConfigError(f"the webhooks could not be registered: {error}") from None
    show(as_json, {"connection_id": connection_id, "webhook_url": webhook_url(row.id), "topics": dict(done)})


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
    from connectors import connector
    from worker.store import connections
    from worker.store.db import Tx

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        known = connector(row.connector).PROTECTED_FIELDS
        approved = known if everything else frozenset(fields or ())
        if unknown := approved - known:
            raise ConfigError(f"unknown fields {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}")
        connections.set_approved_fields(Tx(conn, row.organization_id), row.id, sorted(approved))
    show(as_json, {"connection_id": connection_id, "approved_fields": sorted(approved)})


@app.command("set-option")
def set_option(
    connection_id: ConnectionId,
    name: Annotated[str, typer.Argument(help="Such as consent_words of WooCommerce.")],
    value: Annotated[str, typer.Argument(help="Empty to take the option back.")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Set an option of the connector. To apply it to events that were kept before, replay them."""
    from connectors import connector
    from worker.commands.connection_add import settled_options
    from worker.store import connections
    from worker.store.db import Tx

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        known = getattr(connector(row.connector), "OPTIONS", {})
        if name not in known:
            raise ConfigError(f"unknown option {name}; expected {', '.join(sorted(known)) or 'none'}")
        options = {**row.options, name: value.strip()}
        options = settled_options(connector(row.connector), {name: given for name, given in options.items() if given})
        connections.set_options(Tx(conn, row.organization_id), row.id, options)
    show(as_json, {"connection_id": connection_id, "options": options})


def find(conn: "Connection", organization: str, shown_id: str) -> "ConnectionRow":
    """Return the connection with an id such as ``con_…``; raises ConfigError if the organization has none."""
    from worker.store import connections

    id_ = ids.parse(ids.CONNECTION, shown_id)
    row = None if id_ is None else connections.by_id(conn, id_)
    # Edits through the API belong to an internal connection, which operators must not change.
    if row is None or row.connector == API_SOURCE or row.organization_id != organization_id(conn, organization):
        raise ConfigError(f"no connection {shown_id} in organization {organization!r}")
    return row


def _change(
    data_dir: Path | None,
    organization: str,
    connection_id: str,
    as_json: bool,
    state: str,
    queue: Callable[["Tx", UUID], None],
) -> None:
    from worker.store import connections
    from worker.store.db import Tx

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        if row.state == "removed" and state != "removed":
            raise ConfigError(f"{connection_id} was removed; add the connection again")
        tx = Tx(conn, row.organization_id)
        connections.set_state(tx, row.id, state)
        queue(tx, row.id)
    show(as_json, {"connection_id": connection_id, "state": state})
