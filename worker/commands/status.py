"""`status`: the queue, the connections and what is due."""

import typer
from rich.console import Console

from worker import status
from worker.commands.context import DataDir, Json, Organization, show, transaction

#: added without a name, so that its command stands beside the groups
app = typer.Typer()


@app.command(name="status")
def status_(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the queue, the connections and what is due."""
    with transaction(data_dir, organization) as tx:
        found = status.status(tx)
    if as_json:
        show(as_json, found)
    else:
        status.show(Console(), found)
