"""`parked` and `replay`: list parked envelopes, and take envelopes through the inbox again."""

from typing import Annotated

import typer

from worker import status
from worker.commands.context import DataDir, Json, Organization, show, transaction
from worker.errors import ConfigError
from worker.inbox.nudge import nudge_all
from worker.inbox.replay import queue_replay

#: added without a name, so that its commands stand beside the groups
app = typer.Typer()


@app.command()
def parked(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the envelopes that were set aside, with the reason."""
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
    if (envelope_id is None) == (not parked_):
        raise ConfigError("give one envelope id, or --parked")
    with transaction(data_dir, organization) as tx:
        replayed = queue_replay(tx, envelope_id)
    nudge_all()
    show(as_json, {"replayed": len(replayed)})
