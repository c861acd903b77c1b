"""Migrate: bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from worker.store import db, urls
from worker.store.sessions import TENANT, Sessions

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply all missing revisions up to one, the newest if none is given.

    A second call changes nothing, also at the same time from another process.
    """
    engine = create_engine(db.DRIVER, poolclass=NullPool, connect_args=urls.arguments(database_url))
    Sessions({TENANT: ""}).serve(engine)  # a revision says itself whose rows it is about
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
