"""The schema is written once, in the migrations: every statement has to fit it."""

import importlib
import pkgutil
import re

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql import psycopg

import worker.store
from worker.store.migrate import upgrade


def statements_of(module):
    """Statements of a module, also those that it keeps by name in a dictionary."""
    for name, value in vars(module).items():
        named = value.items() if isinstance(value, dict) else [("", value)]
        yield from ((f"{name}{key}", one) for key, one in named if isinstance(one, TextClause))


STATEMENTS = [
    (module.name, name, value)
    for module in pkgutil.iter_modules(worker.store.__path__, "worker.store.")
    if "migrations" not in module.name
    for name, value in statements_of(importlib.import_module(module.name))
]


def test_there_are_statements():
    assert len(STATEMENTS) > 50


@pytest.mark.parametrize(("module", "name", "statement"), STATEMENTS, ids=[f"{m}.{n}" for m, n, _ in STATEMENTS])
def test_a_statement_fits_the_newest_schema(engine, module, name, statement):
    written = str(statement.compile(dialect=psycopg.dialect()))
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", written)))
    for number, parameter in enumerate(names, 1):
        written = written.replace(f"%({parameter})s", f"${number}")
    with engine.connect() as conn:
        conn.exec_driver_sql(f"PREPARE checked AS {written.replace('%%', '%')}".replace("%", "%%"))
        conn.exec_driver_sql("DEALLOCATE checked")


def test_migrating_twice_changes_nothing(engine, database_url):
    upgrade(database_url)

    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_every_key_leads_with_the_organization(engine):
    """Tenants are apart, and the schema can be distributed."""
    with engine.connect() as conn:
        keys = conn.execute(
            text("""
                SELECT c.relname, a.attname FROM pg_index i
                  JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                 WHERE n.nspname = 'public' AND i.indisprimary
            """)
        ).all()
    leads = {table: column for table, column in keys if table not in ("organizations", "alembic_version")}
    assert set(leads.values()) == {"organization_id"}
