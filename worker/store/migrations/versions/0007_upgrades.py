"""Upgrades: how far the contacts of each organization follow the rules of this release.

The schema is one thing, what is stored another: ``contactsync upgrade`` groups the stored records anew, a batch at a
time, and these tables tell how far it is. An organization without a row has nothing stored by earlier releases.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

DDL = """
CREATE TABLE upgrades (
    organization_id uuid NOT NULL PRIMARY KEY,
    began_at timestamptz,
    last_record_id uuid,
    report json NOT NULL DEFAULT '{}',
    done_at timestamptz
);
CREATE TABLE loose_ties (
    organization_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    PRIMARY KEY (organization_id, type, key, record_id)
);
COMMENT ON TABLE loose_ties IS 'During an upgrade: identifiers of removed records, of which no claim tells';
INSERT INTO upgrades (organization_id)
SELECT id FROM organizations o WHERE EXISTS (SELECT FROM records r WHERE r.organization_id = o.id)
"""

#: as in 0002
TENANT_TABLES = ("upgrades", "loose_ties")
POLICY = """
CREATE POLICY tenant ON {table} USING (
    (SELECT coalesce(current_setting('contactsync.organization_id', true), '') = '')
    OR organization_id = (SELECT nullif(current_setting('contactsync.organization_id', true), '')::uuid)
)
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)
    for table in TENANT_TABLES:
        op.execute(POLICY.format(table=table))
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
