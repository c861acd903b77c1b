"""Privacy: stored answers name their contact, and bodies of envelopes are to expire.

An answer that an earlier release stored names no contact. It is gone after a day, as all are.
"""

from alembic import op

revision = "0011"
down_revision = "0007"

DDL = """
ALTER TABLE idempotency_keys ADD COLUMN contact_id uuid;
CREATE INDEX idempotency_keys_contact ON idempotency_keys (organization_id, contact_id) WHERE contact_id IS NOT NULL;
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE idempotency_keys DROP COLUMN contact_id")
