"""The Contacts API: notes, filters, stored answers, channels, and row-level security behind every query."""

from alembic import op

revision = "0002"
down_revision = "0001"

DDL = """
ALTER TABLE organizations ADD COLUMN region text CHECK (region ~ '^[A-Z]{2}$');
ALTER TABLE api_keys ADD COLUMN rate_limit integer CHECK (rate_limit > 0);

ALTER TABLE consents ADD COLUMN origin text, ADD COLUMN legal_basis text, ADD COLUMN expires_at timestamptz,
    ADD COLUMN is_repeat boolean NOT NULL DEFAULT false;
ALTER TABLE suppressions ADD COLUMN origin text, ADD COLUMN note text;

ALTER TABLE privacy_requests ADD COLUMN subjects jsonb;
ALTER TABLE privacy_requests DROP CONSTRAINT privacy_requests_kind_check;
ALTER TABLE privacy_requests ADD CONSTRAINT privacy_requests_kind_check
    CHECK (kind IN ('export', 'erase_customer', 'erase_shop', 'erase_contact'));

CREATE TABLE notes (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    record_id uuid NOT NULL,
    body text NOT NULL,
    author_type text NOT NULL,
    author_id text,
    author_name text,
    envelope_id uuid NOT NULL,
    position smallint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX notes_record ON notes (organization_id, record_id, id);
CREATE UNIQUE INDEX notes_once ON notes (organization_id, envelope_id, position);

CREATE TABLE contact_terms (
    organization_id uuid NOT NULL,
    term text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    PRIMARY KEY (organization_id, term, contact_id)
);
CREATE INDEX contact_terms_contact ON contact_terms (organization_id, contact_id, term);
COMMENT ON TABLE contact_terms IS 'What lists of contacts are filtered by: t:tag, w:word of the name';

-- A search is planned by how many fit: with a hundred steps, a rare beginning passes for one of thousands. Addresses
-- have an index and statistics without other keys: one in two of those may begin with the same digits.
ALTER TABLE contact_terms ALTER COLUMN term SET STATISTICS 1000;
CREATE INDEX claims_address ON claims (organization_id, (CASE WHEN type IN ('email', 'phone') THEN key END), record_id)
    WHERE CASE WHEN type IN ('email', 'phone') THEN key END IS NOT NULL;
CREATE STATISTICS claims_addresses ON (CASE WHEN type IN ('email', 'phone') THEN key END) FROM claims;
ALTER STATISTICS claims_addresses SET STATISTICS 1000;

-- The first of the ids of its records to be minted. Joining another record may give a contact another id, but moves
-- it in no list. The release before writes none: such a contact comes last until it is written again.
ALTER TABLE contacts ADD COLUMN first_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
UPDATE contacts c SET first_id = coalesce((
    SELECT r.id FROM records r WHERE r.organization_id = c.organization_id AND r.contact_id = c.id
     ORDER BY r.id LIMIT 1), c.id);
CREATE INDEX contacts_first ON contacts (organization_id, first_id);
CREATE INDEX contacts_updated ON contacts (organization_id, updated_at, id);

CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL,
    api_key_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, api_key_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE channels (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    platform text NOT NULL,
    name text NOT NULL,
    api_url text NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    token bytea,
    state text NOT NULL DEFAULT 'connected' CHECK (state IN ('connected', 'removed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX channels_name ON channels (organization_id, name) WHERE state <> 'removed'
"""

#: every table with the data of a tenant. Not: organizations and api_keys, which are looked up to learn who calls
TENANT_TABLES = (
    "connections",
    "envelopes",
    "ready",
    "outcomes",
    "parked",
    "contacts",
    "records",
    "claims",
    "decisions",
    "consents",
    "suppressions",
    "tombstones",
    "changes",
    "envelope_records",
    "privacy_requests",
    "notes",
    "contact_terms",
    "idempotency_keys",
    "channels",
)

# Sub-selects, so that the setting is read once a statement. A session that never set it (psql, the drain of the
# release before) sees everything; a session of the API starts with an organization that nobody has.
POLICY = """
CREATE POLICY tenant ON {table} USING (
    (SELECT coalesce(current_setting('contactsync.organization_id', true), '') = '')
    OR organization_id = (SELECT nullif(current_setting('contactsync.organization_id', true), '')::uuid)
)
"""

WORDS_OF_TAGS = """
INSERT INTO contact_terms (organization_id, term, contact_id)
SELECT organization_id, 't:' || lower(tag), id FROM contacts CROSS JOIN LATERAL unnest(tags) AS tag
 UNION
SELECT organization_id, 'w:' || left(word, 64), id
  FROM contacts CROSS JOIN LATERAL regexp_split_to_table(lower(name), '\\W+') AS word
 WHERE word <> ''
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(WORDS_OF_TAGS)
    op.execute("ANALYZE contact_terms, claims")  # autovacuum would not come for an index and statistics
    for table in TENANT_TABLES:
        op.execute(POLICY.format(table=table))
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")  # our role owns the tables


def downgrade() -> None:
    raise RuntimeError("notes and stored answers would be lost; restore a backup instead")
