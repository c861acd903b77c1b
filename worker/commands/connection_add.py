"""`connections add`: one command for each connector that we ship, built from the connector's own declarations.

A connector declares its ``OPTIONS`` (name and example) and, if it reads a provider, its ``CREDENTIALS``; it checks
options in ``settle``. For connectors of other packages there is ``connections add custom NAME``.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors import CONNECTORS, can_read, connector, reader_of
from connectors.contract import Connector
from connectors.reader import ReadingError
from worker import ids
from worker.commands.context import (
    CredentialFiles,
    DataDir,
    Json,
    Organization,
    SecretInputs,
    WebhookSecretFiles,
    country,
    database,
    pairs,
    show,
    webhook_url,
)
from worker.commands.groups import group
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError

app = group("")  # its help stands in `worker.commands.connections`

_Secrets = Annotated[
    list[str] | None, typer.Option("--webhook-secret", help="Secret that signs webhooks; repeat for old ones.")
]
_Source = Annotated[str | None, typer.Option(help="Name of the source, unique per organization.")]
_Region = Annotated[str | None, typer.Option(help="Country of numbers in national form: ID, US, …")]
_Priority = Annotated[int, typer.Option(help="Lower wins where sources disagree.")]
_ApiUrl = Annotated[str | None, typer.Option(help="Origin of the provider's API; default: the account's own.")]
_AllowPrivate = Annotated[bool, typer.Option("--allow-private", help="The provider is in a private network.")]
_Pairs = list[str] | None
_OtherCredentials = Annotated[
    _Pairs, typer.Option("--credential", help="NAME=VALUE: more for the provider's API, as a refresh_token.")
]
_OtherOptions = Annotated[_Pairs, typer.Option("--option", help="NAME=VALUE: a setting of the connector.")]


@app.command("custom")
def add_custom(
    name: Annotated[str, typer.Argument(help="The connector, as `contactsync connectors list` shows it.")],
    source: _Source = None,
    webhook_secret: _Secrets = None,
    webhook_secret_file: WebhookSecretFiles = None,
    api_url: _ApiUrl = None,
    allow_private: _AllowPrivate = False,
    credential: _OtherCredentials = None,
    credential_file: CredentialFiles = None,
    option: _OtherOptions = None,
    region: _Region = None,
    priority: _Priority = 100,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Connect an account through a connector of another package."""
    try:
        provider = connector(name)
    except KeyError as error:
        raise ConfigError(str(error.args[0])) from None
    secrets = SecretInputs()
    _add(
        provider,
        source=source,
        webhook_secrets=secrets.all("--webhook-secret", webhook_secret, webhook_secret_file),
        api_url=api_url,
        allow_private=allow_private,
        credentials=secrets.named("--credential", credential, credential_file),
        options=pairs("--option", option),
        region=region,
        priority=priority,
        organization=organization,
        data_dir=data_dir,
        as_json=as_json,
    )


def _add(
    provider: Connector,
    *,
    source: str | None,
    webhook_secrets: Sequence[str],
    api_url: str | None,
    allow_private: bool,
    credentials: Mapping[str, str],
    options: Mapping[str, str],
    region: str | None,
    priority: int,
    organization: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Check the options, store the connection and print its webhook URL.

    A connection with credentials gets the default schedules. Errors do not repeat secrets or credentials.
    """
    from sqlalchemy.exc import IntegrityError

    from worker.store import connections, organizations, schedules
    from worker.store.db import Tx

    name = provider.name if source is None else source.strip()
    if not name or not all(secret.strip() for secret in webhook_secrets):
        raise ConfigError("--source and --webhook-secret must not be empty")
    if name == API_SOURCE:
        raise ConfigError("--source: 'api' is reserved for edits through the API")
    reads = can_read(provider.name)
    missing = [one for one in getattr(provider, "CREDENTIALS", ()) if not credentials.get(one, "").strip()]
    if credentials and missing:
        raise ConfigError(f"--{missing[0].replace('_', '-')} is needed to read the provider")
    if credentials and not reads:
        raise ConfigError(f"{provider.name} cannot be read, so it takes no credentials")
    if not webhook_secrets and not credentials:
        raise ConfigError("give --webhook-secret for webhooks, or credentials for reading the provider, or both")
    settled = _settled(provider, options, api_url, is_read=bool(credentials), is_private_allowed=allow_private)
    home = None if region is None else country("--region", region)
    with database(data_dir) as conn:
        tx = Tx(conn, organizations.ensure(conn, organization))
        try:
            id_ = connections.insert_new(
                tx,
                connector=provider.name,
                source=name,
                options=settled,
                region=home,
                priority=priority,
                webhook_secrets=webhook_secrets,
                credentials=credentials,
            )
        except IntegrityError:
            raise ConfigError(f"--source: {name!r} is taken; each connection needs a name of its own") from None
        if credentials:
            for kind, every in schedules.DEFAULTS.items():
                schedules.ensure(tx, id_, kind, every)
    show(as_json, {"connection_id": ids.show(ids.CONNECTION, id_), "webhook_url": webhook_url(id_)})


def _settled(
    provider: Connector,
    options: Mapping[str, str],
    api_url: str | None,
    *,
    is_read: bool,
    is_private_allowed: bool,
) -> dict[str, str]:
    """Return the options as the connector's ``settle`` returns them, with the origin of its API checked."""
    from worker.providers.allowed_origins import origin, require_public

    given = dict(options) if api_url is None else {**options, "api_url": api_url.strip()}
    settled = settled_options(provider, given)
    try:
        if "api_url" in settled:
            settled["api_url"] = origin(settled["api_url"], may_have_path=True)
            require_public(settled["api_url"], is_allowed=is_private_allowed)
        elif is_read:
            # It is made of other options, which could hide another host before a path of their own.
            require_public(origin(reader_of(provider.name).api_url(settled)), is_allowed=is_private_allowed)
    except (ConfigError, ReadingError) as error:
        raise ConfigError(f"--api-url: {error}") from None
    return settled


def settled_options(provider: Connector, given: Mapping[str, str]) -> dict[str, str]:
    """Return options as the connector's ``settle`` returns them; raises ConfigError with what it expected."""
    settle: Callable[[Mapping[str, str]], Mapping[str, str]] = getattr(provider, "settle", dict)
    try:
        return dict(settle(given))
    except (ValueError, ReadingError) as error:  # the connector's message names the option and what it expected
        raise ConfigError(f"--{error}") from None


def _command(provider: Connector) -> Callable[..., None]:
    """Return a connector's command: its own credentials and options by name, and the options of all connectors."""
    credentials: tuple[str, ...] = tuple(getattr(provider, "CREDENTIALS", ()))
    options: Mapping[str, str] = provider.OPTIONS  # type: ignore[attr-defined]

    def add(**given: Any) -> None:
        secrets = SecretInputs()
        own = {name: given.pop(name) for name in options}
        held = {
            name: secrets.one(f"--{name.replace('_', '-')}", given.pop(name), given.pop(f"{name}_file"))
            for name in credentials
        }
        more = secrets.named("--credential", given.pop("credential"), given.pop("credential_file"))
        other = pairs("--option", given.pop("option"))
        _add(
            provider,
            webhook_secrets=secrets.all(
                "--webhook-secret", given.pop("webhook_secret"), given.pop("webhook_secret_file")
            ),
            credentials={**{name: value for name, value in held.items() if value is not None}, **more},
            options={**{name: value for name, value in own.items() if value is not None}, **other},
            **given,
        )

    def parameter(name: str, annotation: Any, default: Any = None) -> Parameter:
        return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    parameters = [
        *(parameter(name, Annotated[str | None, typer.Option(help=example)]) for name, example in options.items()),
        *(
            parameter(name + twin, Annotated[str | None, typer.Option(help=help_)])
            for name in credentials
            for twin, help_ in (("", "For reading the provider."), ("_file", "The same from a file; - is stdin."))
        ),
        parameter("source", _Source),
        parameter("webhook_secret", _Secrets),
        parameter("webhook_secret_file", WebhookSecretFiles),
        parameter("api_url", _ApiUrl),
        parameter("allow_private", _AllowPrivate, False),
        parameter("credential", _OtherCredentials),
        parameter("credential_file", CredentialFiles),
        parameter("option", _OtherOptions),
        parameter("region", _Region),
        parameter("priority", _Priority, 100),
        parameter("organization", Organization, "default"),
        parameter("data_dir", DataDir),
        parameter("as_json", Json, False),
    ]
    add.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    add.__annotations__ = {one.name: one.annotation for one in parameters}
    add.__doc__ = f"Connect a {provider.name.capitalize()} account; prints the URL to give to its webhooks."
    return add


for _name, _provider in CONNECTORS.items():
    if hasattr(_provider, "OPTIONS"):
        app.command(_name)(_command(_provider))
