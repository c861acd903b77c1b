"""Marks of our own envelopes get a column, because anybody can send headers. Doubted deletions wait for a reading.

Envelopes that were kept before have no marks here. Theirs are the only headers that they have, and a reader knows them
by that (``worker/inbox/kept_envelopes.py``). So nothing has to be written anew.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

DDL = """
ALTER TABLE envelopes ADD COLUMN marks json;
COMMENT ON COLUMN envelopes.marks IS 'Set by us only: what marks a row of a reading or import, or a request';
ALTER TABLE wanted ADD COLUMN envelope_id uuid, ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN wanted.envelope_id IS 'The deletion or revocation that the reading confirms'
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("marks would be forgotten; restore a backup instead")
