"""Runs: reading a provider page by page, on a schedule or when asked, and what each run did."""

from alembic import op

revision = "0003"
down_revision = "0002"

DDL = """
ALTER TABLE connections ADD COLUMN credentials bytea;
ALTER TABLE ready ADD COLUMN run_id uuid;
-- Checked row by row, they took half of what keeping an envelope costs, and a tenth of draining it. No other table
-- of people has one: a queue row is written in the statement that keeps its envelope, and a claim under the locks
-- of its record, which is removed only with the whole organization locked.
ALTER TABLE ready DROP CONSTRAINT ready_organization_id_envelope_id_fkey;
ALTER TABLE claims DROP CONSTRAINT claims_organization_id_record_id_fkey;

-- Beside primary keys, what is found by an id of its own leads with that id. Led by the organization, such an index
-- looked as good as the right one for a look-up by address or number, as long as statistics had not met the
-- organization: each look-up read all of it, and the first import of a large store's second organization crawled.
DROP INDEX claims_record;
CREATE INDEX claims_record ON claims (record_id, organization_id);
DROP INDEX records_contact;
CREATE INDEX records_contact ON records (contact_id, organization_id);
DROP INDEX contacts_first;
CREATE INDEX contacts_first ON contacts (first_id, organization_id);
DROP INDEX envelope_records_record;
CREATE INDEX envelope_records_record ON envelope_records (record_id, organization_id);
DROP INDEX consents_envelope;
CREATE INDEX consents_envelope ON consents (envelope_id, organization_id);
DROP INDEX suppressions_envelope;
CREATE INDEX suppressions_envelope ON suppressions (envelope_id, organization_id);
-- The same for primary keys: without statistics of the column every organization is taken for a big one.
ALTER TABLE envelopes ALTER COLUMN organization_id SET STATISTICS 0;
ALTER TABLE records ALTER COLUMN organization_id SET STATISTICS 0;
ALTER TABLE consents ALTER COLUMN organization_id SET STATISTICS 0;
ALTER TABLE suppressions ALTER COLUMN organization_id SET STATISTICS 0;

CREATE TABLE runs (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('full', 'increment', 'reconcile', 'import')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    phase text NOT NULL DEFAULT 'reading' CHECK (phase IN ('reading', 'repairing', 'draining')),
    is_dry boolean NOT NULL DEFAULT false,
    is_confirmed boolean NOT NULL DEFAULT false,
    since timestamptz,
    cursor jsonb,
    seen bigint NOT NULL DEFAULT 0,
    read bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    parked bigint NOT NULL DEFAULT 0,
    expected bigint,
    waited_s double precision NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    watermark timestamptz,
    report jsonb NOT NULL DEFAULT '{}',
    error text,
    next_run_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    lease_token uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'running') = (finished_at IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX runs_due ON runs (next_run_at) WHERE state = 'running' AND phase <> 'draining' AND kind <> 'import';
CREATE UNIQUE INDEX runs_one ON runs (organization_id, connection_id, kind)
    WHERE state = 'running' AND NOT is_dry AND kind <> 'import';
CREATE INDEX runs_connection ON runs (organization_id, connection_id, id);

CREATE TABLE run_rows (
    organization_id uuid NOT NULL,
    run_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    updated_at timestamptz,
    verdict text CHECK (verdict IN ('missing', 'stale', 'gone')),
    PRIMARY KEY (organization_id, run_id, external_id)
);

CREATE TABLE schedules (
    organization_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('full', 'increment', 'reconcile')),
    every interval NOT NULL CHECK (every >= interval '1 minute'),
    next_run_at timestamptz NOT NULL,
    is_paused boolean NOT NULL DEFAULT false,
    last_run_id uuid,
    PRIMARY KEY (organization_id, connection_id, kind)
);
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE NOT is_paused;

CREATE TABLE wanted (
    organization_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL CHECK (length(external_id) <= 512),
    token uuid NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    next_run_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, connection_id, external_id)
);
CREATE INDEX wanted_due ON wanted (next_run_at);
COMMENT ON TABLE wanted IS 'Customers to be read back, because a webhook did not say all of them'
"""

#: as in 0002: a session that never set it sees everything, one of the API its own organization
TENANT_TABLES = ("runs", "run_rows", "schedules", "wanted")
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
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(POLICY.format(table=table))


#: table, index, and what it leads with now
LED_BY_ORGANIZATION = (
    ("claims", "claims_record", "record_id"),
    ("records", "records_contact", "contact_id"),
    ("contacts", "contacts_first", "first_id"),
    ("envelope_records", "envelope_records_record", "record_id"),
    ("consents", "consents_envelope", "envelope_id"),
    ("suppressions", "suppressions_envelope", "envelope_id"),
)


def downgrade() -> None:
    for table, index, column in LED_BY_ORGANIZATION:
        op.execute(f"DROP INDEX {index}")
        op.execute(f"CREATE INDEX {index} ON {table} (organization_id, {column})")
    for table in ("envelopes", "records", "consents", "suppressions"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN organization_id SET STATISTICS -1")
    op.execute(
        "ALTER TABLE claims ADD FOREIGN KEY (organization_id, record_id) REFERENCES records (organization_id, id)"
    )
    op.execute(
        "ALTER TABLE ready ADD FOREIGN KEY (organization_id, envelope_id) REFERENCES envelopes (organization_id, id)"
    )
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE ready DROP COLUMN run_id")
    op.execute("ALTER TABLE connections DROP COLUMN credentials")
