"""The house stays in order: imports point one way, and files stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for d in ("worker", "connectors") for p in (ROOT / d).rglob("*.py") if "versions" not in p.parts)
#: pure rooms: no database, no clock, no network
PURE = sorted((ROOT / "worker" / "domain").glob("*.py"))


def imports(path):
    """Modules that a file imports, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_connectors_import_nothing_from_the_worker():
    for path in (ROOT / "connectors").rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] in ("worker", "sqlalchemy", "celery")}, path


def test_sql_is_written_in_the_store_only():
    for path in SOURCES:
        if "store" not in path.parts:
            assert "sqlalchemy.text" not in imports(path), path


def test_pure_rooms_touch_neither_database_nor_network():
    for path in PURE:
        used = imports(path)
        assert not {u for u in used if u.startswith(("sqlalchemy", "worker.store", "httpx", "celery", "time"))}, path


def test_writing_stages_do_not_import_each_other():
    for name in ("upsert", "record"):
        used = {u.removeprefix("worker.pipeline.") for u in imports(ROOT / "worker" / "pipeline" / f"{name}.py")}
        assert not used & {"upsert", "record", "apply", "worker.inbox.drain", "worker.tasks"}, name


def test_the_store_opens_no_transactions():
    for path in (ROOT / "worker" / "store").glob("*.py"):
        if path.name not in ("db.py", "migrate.py"):
            assert ".begin(" not in path.read_text(), path
            assert ".commit(" not in path.read_text(), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_for_and_fits_one_idea(path):
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)) or not source.strip(), "a module opens with what it is for"
    assert len(source.splitlines()) <= 420, "there are two ideas in it"
