"""Decisions are found by the envelope that stated them: a replay read all decisions of the organization."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("CREATE INDEX decisions_envelope ON decisions (envelope_id, organization_id)")


def downgrade() -> None:
    op.execute("DROP INDEX decisions_envelope")
