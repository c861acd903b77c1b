"""Commands about API keys."""

from typing import Annotated

import typer

from worker import ids
from worker.commands.context import DataDir, Json, Organization, database, organization_id, show, transaction
from worker.commands.groups import group
from worker.errors import ConfigError
from worker.scopes import SCOPES

app = group("API keys.")


@app.command("create")
def create_key(
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; may be repeated.")],
    rate_limit: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Requests a minute; without it, what all keys may.")
    ] = None,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make an API key; it is shown once."""
    from worker.store import api_keys, organizations
    from worker.store.db import Tx

    if unknown := set(scope) - set(SCOPES):
        raise ConfigError(f"--scope: expected {', '.join(SCOPES)}, got {', '.join(sorted(unknown))}")
    with database(data_dir) as conn:
        tx = Tx(conn, organizations.ensure(conn, organization))
        id_, key = api_keys.insert_new(tx, scope, rate_limit=rate_limit)
    show(as_json, {"key_id": ids.show(ids.KEY, id_), "key": key})


@app.command("list")
def list_keys(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the keys of an organization, without their secrets."""
    from worker.store import api_keys

    with transaction(data_dir, organization) as tx:
        found = api_keys.of_organization(tx)
    show(as_json, [{"key_id": ids.show(ids.KEY, row.pop("id")), **row} for row in found])


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="key_…")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """End a key. Where there is no Redis, web processes take it for up to two more seconds."""
    from worker import revocations
    from worker.store import api_keys
    from worker.store.db import Tx

    id_ = ids.parse(ids.KEY, key_id)
    with database(data_dir) as conn:
        if id_ is None or not api_keys.revoke(Tx(conn, organization_id(conn, organization)), id_):
            raise ConfigError(f"no key {key_id}")
    revocations.announce()
    show(as_json, {"key_id": key_id, "revoked": True})
