"""Commands about the secrets in the store: of connections and channels, encrypted with CONTACTSYNC_SECRET_KEYS."""

from collections import Counter
from typing import Annotated
from uuid import UUID

import typer

from worker.commands.context import DataDir, Json, find_stack, show
from worker.commands.groups import group

app = group("Secrets: what is stored of connections and channels, encrypted.")

_MOST = 200  #: rows in one transaction, which are locked until it ends


@app.command("reencrypt")
def reencrypt(
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Rows in one transaction.")] = _MOST,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Encrypt everything with the first key, of all organizations; may be repeated, and beside a running stack.

    Exits with 1 if something fits none of the keys: it stays as it is.
    """
    from worker.store import db, sealed_secrets

    find_stack(data_dir)
    count: Counter[str] = Counter()
    for table in sealed_secrets.TABLES:
        after = UUID(int=0)
        while True:
            with db.engine().begin() as conn:
                done = sealed_secrets.renew(conn, table, after, batch)
            if done is None:
                break
            after = done.last_id
            count.update(reencrypted=done.anew, unchanged=done.unchanged, unreadable=done.unreadable)
    with db.engine().connect() as conn:
        deletions = sealed_secrets.deletions(conn)
    found = {name: count[name] for name in ("reencrypted", "unchanged", "unreadable")}
    show(as_json, {**found, "deletions_with_hashes": deletions})
    if count["unreadable"]:
        raise typer.Exit(1)
