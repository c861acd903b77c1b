"""Commands about channels: accounts on messaging platforms, for looking up profiles."""

from typing import Annotated

import typer

from connectors.channels import CHANNELS
from connectors.channels.contract import Platform
from worker import ids
from worker.commands.context import (
    DataDir,
    Json,
    Organization,
    SecretInputs,
    database,
    organization_id,
    show,
    transaction,
)
from worker.commands.groups import group
from worker.errors import ConfigError

app = group("")  # its help stands in `worker.cli`: this module is imported when one of its commands is asked for

_MAX_NAME = 100
_PLATFORMS = ", ".join(sorted(CHANNELS))


@app.command("add")
def add_channel(
    platform: Annotated[str, typer.Argument(help=f"One of {_PLATFORMS}.")],
    name: Annotated[str | None, typer.Option(help="Unique per organization; without it, the platform's.")] = None,
    token: Annotated[str | None, typer.Option(help="What the platform gave for its API; not for all of them.")] = None,
    token_file: Annotated[str | None, typer.Option(help="The same from a file; - is stdin.")] = None,
    api_url: Annotated[str | None, typer.Option(help="Origin of the platform's API, if it is another one.")] = None,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="It is in a private network.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Connect an account on a messaging platform."""
    from sqlalchemy.exc import IntegrityError

    from worker.store import channels, organizations
    from worker.store.db import Tx

    known = CHANNELS.get(platform)
    if known is None:
        raise ConfigError(f"PLATFORM: expected {_PLATFORMS}")
    shown = platform if name is None else name.strip()
    if not (0 < len(shown) <= _MAX_NAME and shown.isprintable()):
        raise ConfigError(f"--name: expected 1 to {_MAX_NAME} characters on one line")
    secret = _token(known, SecretInputs().one("--token", token, token_file))
    origin = _origin(known.API_URL if api_url is None else api_url, is_private_allowed=api_url is None or allow_private)
    with database(data_dir) as conn:
        tx = Tx(conn, organizations.ensure(conn, organization))
        try:
            id_ = channels.insert_new(
                tx,
                platform=platform,
                name=shown,
                api_url=origin,
                options={},
                token=secret,
            )
        except IntegrityError:
            raise ConfigError(f"--name: {shown!r} is taken; each channel needs a name of its own") from None
    show(as_json, {"channel_id": ids.show(ids.CHANNEL, id_), "platform": platform, "name": shown})


@app.command("list")
def list_channels(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the connected channels of an organization, without their tokens."""
    from worker.store import channels

    with transaction(data_dir, organization) as tx:
        rows = channels.of_organization(tx)
    found = [
        {
            "channel_id": ids.show(ids.CHANNEL, row.id),
            "platform": row.platform,
            "name": row.name,
            "api_url": row.api_url,
            "created_at": row.created_at,
        }
        for row in rows
    ]
    show(as_json, found)


@app.command("remove")
def remove_channel(
    channel_id: Annotated[str, typer.Argument(help="chn_…")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Disconnect a channel and forget its token."""
    from worker.store import channels
    from worker.store.db import Tx

    id_ = ids.parse(ids.CHANNEL, channel_id)
    with database(data_dir) as conn:
        if id_ is None or not channels.remove(Tx(conn, organization_id(conn, organization)), id_):
            raise ConfigError(f"no channel {channel_id} in organization {organization!r}")
    show(as_json, {"channel_id": channel_id, "state": "removed"})


def _token(platform: Platform, given: str | None) -> str | None:
    """Return a checked token; errors do not repeat it, because they end up in logs and terminals."""
    if platform.TOKEN is None:
        if given is not None:
            raise ConfigError(f"--token: {platform.name} takes none")
        return None
    token = (given or "").strip()
    if not token:
        raise ConfigError(f"--token: {platform.name} needs {platform.TOKEN}")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(f"--token: expected {platform.TOKEN}, without spaces")
    return token


def _origin(given: str, *, is_private_allowed: bool) -> str:
    from worker.providers import allowed_origins

    try:
        origin = allowed_origins.origin(given)
        allowed_origins.require_public(origin, is_allowed=is_private_allowed)
    except ConfigError as error:
        raise ConfigError(f"--api-url: {error}") from None
    return origin
