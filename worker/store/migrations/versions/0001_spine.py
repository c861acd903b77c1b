"""The spine: organizations, the inbox, records, contacts, the ledgers and their logs.

Every key leads with ``organization_id``, so tenants stay apart and the schema can be distributed by it.
Identifiers and addresses are compared bytewise (COLLATE "C"): a glibc upgrade reorders other collations
and breaks unique indexes.
"""

from alembic import op

revision = "0001"
down_revision = None

DDL = """
CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX api_keys_id ON api_keys (id);

CREATE TABLE connections (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    connector text NOT NULL,
    source text NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    region text CHECK (region ~ '^[A-Z]{2}$'),
    priority integer NOT NULL DEFAULT 100,
    approved_fields text[] NOT NULL DEFAULT '{}',
    webhook_secrets bytea[] NOT NULL DEFAULT '{}',
    access_token bytea,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'removed')),
    revoked_at timestamptz,
    refused_signatures bigint NOT NULL DEFAULT 0,
    last_delivery_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX connections_id ON connections (id);
CREATE UNIQUE INDEX connections_source ON connections (organization_id, source) WHERE state <> 'removed';

CREATE TABLE envelopes (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    topic text NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    sent_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    headers json NOT NULL,
    body bytea,
    body_sha256 bytea NOT NULL CHECK (length(body_sha256) = 32),
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX envelopes_delivery ON envelopes (organization_id, connection_id, delivery_id);

CREATE TABLE ready (
    organization_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    lane smallint NOT NULL,
    next_run_at timestamptz NOT NULL DEFAULT now(),
    attempts smallint NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    replay boolean NOT NULL DEFAULT false,
    lease_until timestamptz,
    lease_token uuid,
    PRIMARY KEY (organization_id, envelope_id),
    FOREIGN KEY (organization_id, envelope_id) REFERENCES envelopes (organization_id, id),
    CHECK ((lease_until IS NULL) = (lease_token IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_pick ON ready (lane, next_run_at, envelope_id);
CREATE INDEX ready_suspects ON ready (lane, next_run_at, envelope_id) WHERE crashes >= 2;

CREATE TABLE outcomes (
    organization_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('settled', 'ignored')),
    detail text,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, envelope_id)
);

CREATE TABLE parked (
    organization_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    topic text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('malformed', 'refused', 'failed', 'crashed')),
    reason text NOT NULL,
    attempts smallint NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, envelope_id)
);

CREATE TABLE contacts (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    name text,
    email text,
    phone_number text,
    external_source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    custom_fields jsonb NOT NULL,
    tags text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX contacts_external ON contacts (organization_id, external_source, external_id);

CREATE TABLE records (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL CHECK (length(external_id) <= 512),
    kind text NOT NULL CHECK (kind IN ('customer', 'guest')),
    state jsonb NOT NULL,
    is_live boolean NOT NULL,
    is_lost boolean NOT NULL DEFAULT false,
    is_oversize boolean NOT NULL DEFAULT false,
    contact_id uuid,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK (NOT is_live OR is_lost OR contact_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX records_external ON records (organization_id, source, external_id);
CREATE INDEX records_contact ON records (organization_id, contact_id);

CREATE TABLE claims (
    organization_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 512),
    record_id uuid NOT NULL,
    source text COLLATE "C" NOT NULL,
    is_customer boolean NOT NULL,
    value text NOT NULL,
    is_verified boolean NOT NULL,
    is_owner boolean NOT NULL,
    is_contested boolean NOT NULL,
    PRIMARY KEY (organization_id, type, key, record_id),
    FOREIGN KEY (organization_id, record_id) REFERENCES records (organization_id, id)
);
CREATE UNIQUE INDEX claims_owner ON claims (organization_id, type, key) WHERE is_owner;
CREATE INDEX claims_record ON claims (organization_id, record_id);

COMMENT ON TABLE claims IS 'Identifiers and the records that claim them; the owner''s contact is the identity';

CREATE VIEW identities AS
SELECT c.organization_id, c.type, '' AS source, c.key, c.value, r.contact_id, c.is_verified, c.is_contested,
       c.record_id, r.created_at
  FROM claims c JOIN records r ON r.organization_id = c.organization_id AND r.id = c.record_id
 WHERE c.is_owner AND r.contact_id IS NOT NULL
UNION ALL
SELECT r.organization_id, 'external_id', r.source, r.external_id, r.external_id, r.contact_id, true, false,
       r.id, r.created_at
  FROM records r
 WHERE r.kind = 'customer' AND r.contact_id IS NOT NULL;

CREATE TABLE decisions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('link', 'apart', 'source_merge')),
    source_a text COLLATE "C" NOT NULL,
    external_id_a text COLLATE "C" NOT NULL,
    source_b text COLLATE "C" NOT NULL,
    external_id_b text COLLATE "C" NOT NULL,
    occurred_at timestamptz,
    tie text COLLATE "C" NOT NULL,
    actor text NOT NULL,
    envelope_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK ((source_a, external_id_a) <> (source_b, external_id_b))
);
CREATE UNIQUE INDEX decisions_once ON decisions (organization_id, kind, source_a, external_id_a, source_b,
                                                 external_id_b, tie);
CREATE INDEX decisions_a ON decisions (organization_id, source_a, external_id_a);
CREATE INDEX decisions_b ON decisions (organization_id, source_b, external_id_b);

CREATE TABLE consents (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    statement_key bytea NOT NULL CHECK (length(statement_key) = 16),
    channel text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('marketing', 'transactional', 'conversational')),
    address text COLLATE "C",
    status text NOT NULL CHECK (status IN ('opted_in', 'opted_out', 'pending', 'unknown')),
    occurred_at timestamptz,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    method text,
    evidence jsonb NOT NULL,
    envelope_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, statement_key)
);
CREATE INDEX consents_address ON consents (organization_id, address, channel, purpose) WHERE address IS NOT NULL;
CREATE INDEX consents_record ON consents (organization_id, source, external_id) WHERE address IS NULL;
CREATE INDEX consents_envelope ON consents (organization_id, envelope_id);

CREATE TABLE suppressions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    statement_key bytea NOT NULL CHECK (length(statement_key) = 16),
    channel text NOT NULL,
    address text COLLATE "C" NOT NULL,
    scope text NOT NULL CHECK (scope IN ('all', 'marketing', 'transactional')),
    reason text NOT NULL,
    is_lift boolean NOT NULL,
    occurred_at timestamptz,
    expires_at timestamptz,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    envelope_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, statement_key)
);
CREATE INDEX suppressions_address ON suppressions (organization_id, address);
CREATE INDEX suppressions_envelope ON suppressions (organization_id, envelope_id);

CREATE TABLE tombstones (
    organization_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    erased_at timestamptz NOT NULL,
    privacy_request_id uuid NOT NULL,
    PRIMARY KEY (organization_id, digest)
);

CREATE TABLE changes (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    contact_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('created', 'changed', 'merged', 'removed')),
    details jsonb NOT NULL,
    causes uuid[] NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, contact_id, id)
);

CREATE TABLE envelope_records (
    organization_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    record_id uuid NOT NULL,
    PRIMARY KEY (organization_id, envelope_id, record_id)
);
CREATE INDEX envelope_records_record ON envelope_records (organization_id, record_id);

CREATE TABLE privacy_requests (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('export', 'erase_customer', 'erase_shop')),
    connection_id uuid NOT NULL,
    envelope_id uuid NOT NULL,
    source text NOT NULL,
    external_id text,
    requested_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK (due_at > requested_at)
);
CREATE UNIQUE INDEX privacy_requests_once ON privacy_requests (organization_id, envelope_id, kind);
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("the first revision has nothing before it; drop the database instead")
