"""Deny: a session that names no organization sees no rows; one that is to see all says so.

Sessions of the release before name none and have to see all while they run beside this release. They are known by what
they set when they begin: their name, which ours no longer have, and a time-out. A later migration takes that away.
"""

import time

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

revision = "0012"
down_revision = "0011"

TENANT_TABLES = text("""
    SELECT c.oid::regclass::text FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'tenant' ORDER BY 1
""")
#: the condition of the policy on each table with an ``organization_id``, also of tables that come later
VISIBLE = """
    (SELECT CASE coalesce(current_setting('contactsync.organization_id', true), '')
                 WHEN 'all' THEN true
                 WHEN '' THEN current_setting('application_name') = 'contactsync'
                              AND current_setting('lock_timeout') = '15s'
                 ELSE false END)
    OR organization_id =
       (SELECT nullif(nullif(current_setting('contactsync.organization_id', true), ''), 'all')::uuid)
"""
_BEFORE = """
    (SELECT coalesce(current_setting('contactsync.organization_id', true), '') = '')
    OR organization_id = (SELECT nullif(current_setting('contactsync.organization_id', true), '')::uuid)
"""
#: Below the time after which Postgres looks for a deadlock: we give up first, and nobody else is ended.
_PATIENCE = "500ms"
_ATTEMPTS = 40
_PAUSE_S = 0.25


def upgrade() -> None:
    _replace_policies(VISIBLE)
    op.execute("SET LOCAL contactsync.organization_id = 'all'")  # for the revisions after this one


def downgrade() -> None:
    op.execute("SET LOCAL contactsync.organization_id = ''")
    _replace_policies(_BEFORE)


def _replace_policies(visible: str) -> None:
    tables = op.get_bind().execute(TENANT_TABLES).scalars().all()
    _lock(", ".join(tables))
    for table in tables:
        op.execute(f"ALTER POLICY tenant ON {table} USING ({visible})")


def _lock(tables: str) -> None:
    """Lock all tables, or none: who works on some of them would wait for us while we wait for the others."""
    conn = op.get_bind()
    before = conn.execute(text("SHOW lock_timeout")).scalar_one()
    for attempt in range(_ATTEMPTS):
        try:
            with conn.begin_nested():
                conn.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
                conn.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in ("55P03", "40P01") or attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S)
        else:
            conn.execute(text(f"SET LOCAL lock_timeout = '{before}'"))
            return
