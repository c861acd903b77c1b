"""`status`: the queue, the connections and what is due."""

from worker.commands.context import DataDir, Json, Organization, show, transaction
from worker.commands.groups import Commands
from worker.shown import console

app = Commands()


@app.command(name="status")
def status_(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the queue, the connections and what is due."""
    from worker import status

    with transaction(data_dir, organization) as tx:
        found = status.status(tx)
    if as_json:
        show(as_json, found)
    else:
        status.show(console(), found)
