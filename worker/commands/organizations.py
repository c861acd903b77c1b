"""Commands about organizations, the tenants of a store."""

from typing import Annotated

import typer

from worker.commands.context import DataDir, Json, country, database, organization_id, show
from worker.commands.groups import group

app = group("Organizations: whose data it is. One comes with its first connection, channel or key.")


@app.command("list")
def list_organizations(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the organizations."""
    from worker.store import organizations

    with database(data_dir) as conn:
        found = organizations.every(conn)
    show(as_json, [{"organization": row.pop("name"), **row} for row in found])


@app.command("set-region")
def set_region(
    organization: Annotated[str, typer.Argument(help="Its name.")],
    region: Annotated[str, typer.Argument(help="Two letters (ISO 3166-1): ID, US, …; or none.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Name the country of phone numbers that the API is given in national form."""
    from worker import revocations
    from worker.store import organizations

    home = None if region.lower() == "none" else country("REGION", region)
    with database(data_dir) as conn:
        organizations.set_region(conn, organization_id(conn, organization), home)
    revocations.announce()  # web processes remember it with the keys
    show(as_json, {"organization": organization, "region": home})
