"""Reading leases: one process at a time reads a connection.

A run has a lease of its own, but a connection may have several runs, and customers to be read back beside them. A
process of the release before does not know this table: while both run, its reads may fall together with others, as
they always might.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

DDL = """
CREATE TABLE reading_leases (
    organization_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    token uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (organization_id, connection_id)
)
"""

#: as in 0002
POLICY = """
CREATE POLICY tenant ON reading_leases USING (
    (SELECT coalesce(current_setting('contactsync.organization_id', true), '') = '')
    OR organization_id = (SELECT nullif(current_setting('contactsync.organization_id', true), '')::uuid)
)
"""


def upgrade() -> None:
    op.execute(DDL)
    op.execute(POLICY)
    op.execute("ALTER TABLE reading_leases ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE reading_leases FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("DROP TABLE reading_leases")
