"""`parked` and `replay`: list parked envelopes, and take envelopes through the inbox again."""

from typing import Annotated

import typer

from worker.commands.context import DataDir, Json, Organization, show, transaction
from worker.commands.groups import Commands
from worker.errors import ConfigError

app = Commands()


@app.command()
def parked(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the envelopes that were set aside, with the reason."""
    from worker import status

    with transaction(data_dir, organization) as tx:
        rows = status.parked(tx)
    show(as_json, rows)


@app.command()
def replay(
    envelope_id: Annotated[str | None, typer.Argument(help="env_…")] = None,
    parked_: Annotated[bool, typer.Option("--parked", help="All parked envelopes.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read envelopes again, under today's connectors; what they had stated is withdrawn first."""
    from worker.inbox.nudge import nudge_all
    from worker.inbox.replay import queue_replay

    if (envelope_id is None) == (not parked_):
        raise ConfigError("give one envelope id, or --parked")
    with transaction(data_dir, organization) as tx:
        replayed = queue_replay(tx, envelope_id)
    nudge_all()
    show(as_json, {"replayed": len(replayed)})
