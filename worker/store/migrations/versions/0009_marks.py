"""Marks of our own envelopes get a column, because headers can be sent by anybody; doubted deletions wait for a reading.

Envelopes that were kept before have no marks here: theirs stand alone among their headers, where a reader knows them by
that (``worker/inbox/kept_envelopes.py``). So nothing has to be written anew.
"""

from alembic import op

revision = "0009"
down_revision = "0007"

DDL = """
ALTER TABLE envelopes ADD COLUMN marks json;
COMMENT ON COLUMN envelopes.marks IS 'Set by us only: what marks a row that was read or imported, or a request of the API';
ALTER TABLE wanted ADD COLUMN envelope_id uuid, ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN wanted.envelope_id IS 'The deletion or revocation that the reading confirms'
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("marks would be forgotten, and rows could no longer be told from requests; restore a backup instead")
