"""Alembic's way in: one connection, short lock waits, one transaction a revision."""

from alembic import context
from sqlalchemy import text

# A waiting ALTER queues every later reader behind it, so it gives up early and is tried again.
LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "5min"
#: any number of releases may start at once; one migrates, the others wait
MIGRATION_LOCK = 0x636F6E7461637473
#: since this revision a session sees rows only if it says whose; the policies before would not understand "all"
SCOPED_SINCE = "0012"

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
    if (context.get_context().get_current_revision() or "") >= SCOPED_SINCE:
        connection.execute(text("SET LOCAL contactsync.organization_id = 'all'"))
    context.run_migrations()
