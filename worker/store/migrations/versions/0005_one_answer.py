"""Mirrors hear of contacts that are gone.

The contacts that were gone before get the time of this migration, not the time of their change: whoever follows the
feed is behind that time, and hears of them too. The release before writes no rows here, so its workers have to be
stopped first: a mirror keeps the contacts that they remove meanwhile.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

DDL = """
CREATE TABLE former_contacts (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    merged_into uuid,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX former_contacts_updated ON former_contacts (organization_id, updated_at, id);
COMMENT ON TABLE former_contacts IS 'Contacts that were removed, merged or erased, kept as long as the change log'
"""

#: Contacts that are gone by the change log; the last entry of each counts. A detail is an array (before, after, cause),
#: or an object with these names in the form of early releases.
BACKFILL = """
INSERT INTO former_contacts (organization_id, id, merged_into)
SELECT organization_id, contact_id,
       CAST(coalesce(details #>> '{merged_into,1}', details #>> '{merged_into,after}') AS uuid)
  FROM (SELECT DISTINCT ON (organization_id, contact_id) organization_id, contact_id, kind, details
          FROM changes h
         WHERE kind IN ('merged', 'removed')
           AND NOT EXISTS (SELECT FROM contacts c WHERE c.organization_id = h.organization_id AND c.id = h.contact_id)
         ORDER BY organization_id, contact_id, id DESC) AS last
    ON CONFLICT DO NOTHING
"""

#: as in 0002: a session that never set it sees everything, one of the API its own organization
TENANT_TABLES = ("former_contacts",)
POLICY = """
CREATE POLICY tenant ON {table} USING (
    (SELECT coalesce(current_setting('contactsync.organization_id', true), '') = '')
    OR organization_id = (SELECT nullif(current_setting('contactsync.organization_id', true), '')::uuid)
)
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(BACKFILL)
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(POLICY.format(table=table))


def downgrade() -> None:
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
