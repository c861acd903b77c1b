"""Privacy: stored answers name their contact, and bodies of envelopes are to expire.

An answer that an earlier release stored names no contact. It is gone after a day, as all are.
"""

from alembic import op

revision = "0011"
down_revision = "0009"

DDL = """
ALTER TABLE idempotency_keys ADD COLUMN contact_id uuid;
CREATE INDEX idempotency_keys_contact ON idempotency_keys (organization_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE TABLE shop_erasures (
    organization_id uuid NOT NULL,
    source text COLLATE "C" NOT NULL,
    envelope_id uuid NOT NULL,
    stamp jsonb NOT NULL,
    after text COLLATE "C" NOT NULL DEFAULT '',
    hidden bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (organization_id, source, envelope_id)
);
CREATE INDEX shop_erasures_due ON shop_erasures (next_at) WHERE done_at IS NULL;

CREATE TABLE expiries (
    organization_id uuid NOT NULL PRIMARY KEY,
    after_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    looked_at timestamptz
);
CREATE TABLE held_bodies (
    organization_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, envelope_id)
);
CREATE INDEX held_bodies_looked ON held_bodies (organization_id, looked_at, envelope_id);
"""

#: as in 0002
TENANT_TABLES = ("shop_erasures", "expiries", "held_bodies")
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
    for table in TENANT_TABLES:
        op.execute(POLICY.format(table=table))
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE idempotency_keys DROP COLUMN contact_id")
