"""Migrate: bring a database to the newest schema."""

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine

from worker.store import db, urls
from worker.store.sessions import TENANT, Sessions

log = structlog.get_logger()

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply all missing revisions up to one, the newest if none is given.

    A second call changes nothing, also at the same time from another process. Nor does a call on a schema of a later
    release, so that this release can be deployed on it again (``docs/scaling.md``).
    """
    engine = create_engine(db.DRIVER, poolclass=NullPool, connect_args=urls.arguments(database_url))
    Sessions({TENANT: ""}).serve(engine)  # a revision says itself whose rows it is about
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        if is_later(connection, config):
            log.warning("schema_is_of_a_later_release", effect="nothing is migrated; this release works on it")
            return
        command.upgrade(config, revision)
        connection.commit()


def is_later(connection: Connection, config: Config) -> bool:
    """Return whether a database has a revision that this release does not know."""
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    return not known.issuperset(MigrationContext.configure(connection).get_current_heads())
