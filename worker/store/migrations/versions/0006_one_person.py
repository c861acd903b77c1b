"""One person, one answer: passengers, remembered ids, and what a contact shows beside its fields."""

from alembic import op

revision = "0006"
down_revision = "0005"

DDL = """
ALTER TABLE records DROP CONSTRAINT records_kind_check;
ALTER TABLE records ADD CONSTRAINT records_kind_check CHECK (kind IN ('customer', 'guest', 'person', 'edit')) NOT VALID;
ALTER TABLE records DROP CONSTRAINT records_check;
ALTER TABLE records ADD COLUMN merged_at timestamptz, ADD COLUMN joined_id uuid;
ALTER TABLE claims ADD COLUMN role smallint NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN shown json NOT NULL DEFAULT '{}';
ALTER TABLE consents ADD COLUMN is_undated boolean NOT NULL DEFAULT false;
ALTER TABLE decisions DROP CONSTRAINT decisions_kind_check;
ALTER TABLE decisions ADD CONSTRAINT decisions_kind_check
    CHECK (kind IN ('link', 'apart', 'source_merge', 'about')) NOT VALID;

CREATE INDEX consents_refused ON consents (organization_id, source, external_id)
    WHERE address IS NULL OR status = 'opted_out';
DROP INDEX consents_record;

CREATE TABLE contact_aliases (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    record_id uuid NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX contact_aliases_record ON contact_aliases (record_id, organization_id);

CREATE TABLE deletions (
    organization_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    envelope_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL,
    spared jsonb NOT NULL,
    PRIMARY KEY (organization_id, digest, envelope_id)
);
CREATE INDEX deletions_envelope ON deletions (organization_id, envelope_id)
"""

TENANT_TABLES = ("contact_aliases", "deletions")

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
    raise RuntimeError("ids would be forgotten; restore a backup instead")
