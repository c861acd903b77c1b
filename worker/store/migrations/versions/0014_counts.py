"""Counts: what every process counts, added up for `/metrics` (ADR 29).

Nothing that counts waits for a disk or for another process: the table has no log, no key and no index, and a row is
added for what was counted. The sweeper adds rows up. A crash of the database empties the table, so counters begin anew.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

DDL = """
CREATE UNLOGGED TABLE counts (
    name text COLLATE "C" NOT NULL,
    value double precision NOT NULL
) WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE counts IS 'A counter is the sum of the values under its name'
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE counts")
