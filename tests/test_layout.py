"""Imports point one way, and files stay small.

The rules are those that ``docs/architecture.md`` states for the folders.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for d in ("worker", "connectors") for p in (ROOT / d).rglob("*.py") if "versions" not in p.parts)
WORKER = [path for path in SOURCES if path.parts[len(ROOT.parts)] == "worker"]

#: modules directly in worker/ that a process starts from
ENTRY_POINTS = {"tasks", "app", "beat", "consumer", "stand_in", "cli"}
#: rooms where an API request, a command or the stack begins its work
ENTRY_ROOMS = {"api", "commands", "console", "stack"}
#: which rooms each room may import; every room may also import ``domain``, and the modules directly in worker/ that are
#: no entry points (settings, errors, ids, logs …)
MAY_IMPORT = {
    "domain": set(),
    "store": set(),
    "providers": {"store"},
    "pipeline": {"store"},
    "inbox": {"providers", "pipeline", "store", "app"},  # app: a nudge is published through it
    "backfill": {"inbox", "providers", "pipeline", "store"},
    "files": {"inbox", "providers", "pipeline", "store"},
    "privacy": {"inbox", "pipeline", "store"},
    "upgrade": {"pipeline", "store"},
    "outbox": {"pipeline", "store"},
}
#: what the rules may use of connectors: types, and how text is read
OF_CONNECTORS = {"connectors.contract", "connectors.cleaning", "connectors.consent_terms", "connectors.left_out"}
#: the stages in the order of the flow; a stage may import the stages before it
STAGES = ("normalise", "fold", "resolve", "golden", "changeset")
#: the steps of the write path
STEPS = {"apply", "load", "write"}
#: who may use the network: providers, the outbox, the stack, and the client of the Contacts API with its simulator
NETWORK = {"httpx", "requests", "aiohttp", "urllib.request", "http.client", "socket"}
MAY_NETWORK = {"worker/providers", "worker/outbox", "worker/stack", "connectors/wazapin"}


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path) for path in SOURCES}


def imports(path, source=None):
    """Return the modules that a file imports, at its top or inside functions. Our own modules have their full names."""
    found = set()
    for node in ast.walk(ast.parse(source or path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def room_of(name):
    """Return the folder of worker/ that a module is in. A module directly in worker/ is its own room."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def wrong_imports(path, source=None):
    """Return the imports of a module in worker/ that point the wrong way."""
    room = room_of(name_of(path))
    if room in ENTRY_POINTS | ENTRY_ROOMS:
        return set()
    found = set()
    for used in imports(path, source):
        if used.startswith("worker."):
            target = room_of(used)
            is_room = target in MAY_IMPORT or target in ENTRY_ROOMS | ENTRY_POINTS
            if room in MAY_IMPORT:
                if is_room and target not in MAY_IMPORT[room] | {room, "domain"}:
                    found.add(used)
                if room == "domain" and target != "domain":
                    found.add(used)
            elif target in ENTRY_ROOMS | ENTRY_POINTS:
                found.add(used)
        elif room == "domain" and (
            used.split(".")[0] in {"sqlalchemy", "psycopg", "celery", "structlog", "time", "random", "os"} | NETWORK
            or (used.startswith("connectors") and used not in OF_CONNECTORS)
        ):
            found.add(used)
    return found


@pytest.mark.parametrize("path", WORKER, ids=name_of)
def test_imports_point_one_way(path):
    assert not wrong_imports(path)


def test_there_is_no_import_circle():
    graph = {name_of(path): imports(path) & MODULES - {name_of(path)} for path in SOURCES}
    done, stack = set(), []

    def visit(name):
        assert name not in stack, " -> ".join([*stack[stack.index(name) :], name])
        if name in done:
            return
        stack.append(name)
        for used in sorted(graph[name]):
            visit(used)
        stack.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def wrong_stages(path, source=None):
    """Return the later stages that a stage imports, and the other steps that a step imports."""
    name = name_of(path)
    used = imports(path, source)
    if name.startswith("worker.domain.") and path.stem in STAGES:
        later = STAGES[STAGES.index(path.stem) + 1 :]
        return used & {f"worker.domain.{stage}" for stage in later}
    if name.startswith("worker.pipeline.") and path.stem in STEPS - {"apply"}:  # only apply may import the other steps
        return used & {f"worker.pipeline.{step}" for step in STEPS}
    return set()


@pytest.mark.parametrize("path", WORKER, ids=name_of)
def test_a_stage_imports_no_later_stage(path):
    assert not wrong_stages(path)


def test_every_stage_and_step_holds_a_function_of_its_own_name():
    for path in [ROOT / "worker" / "domain" / f"{stage}.py" for stage in STAGES] + [
        ROOT / "worker" / "pipeline" / f"{step}.py" for step in STEPS
    ]:
        tree = ast.parse(path.read_text())
        assert path.stem in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("domain/fold.py", "from worker.store import records", {"worker.store.records"}),
        ("domain/golden.py", "import time", {"time"}),
        ("domain/normalise.py", "from connectors import connector", {"connectors"}),
        ("inbox/nudge.py", "from worker.tasks import drain", {"worker.tasks"}),
        ("store/records.py", "from worker.pipeline.load import load", {"worker.pipeline.load"}),
        ("files/export_json.py", "from worker.api import paging", {"worker.api.paging"}),
        ("pipeline/write.py", "from worker.inbox.drain import drain", {"worker.inbox.drain"}),
        ("errors.py", "from worker.tasks import tick", {"worker.tasks"}),
    ],
)
def test_a_wrong_import_is_found(file, line, wrong):
    path = ROOT / "worker" / file
    assert wrong_imports(path, f"{path.read_text()}\n{line}\n") == wrong


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("domain/fold.py", "from worker.domain.resolve import resolve"),
        ("domain/resolve.py", "from worker.domain import golden"),
        ("pipeline/load.py", "from worker.pipeline.write import write"),
    ],
)
def test_a_wrong_stage_is_found(file, line):
    path = ROOT / "worker" / file
    assert wrong_stages(path, f"{path.read_text()}\n{line}\n")


def test_connectors_import_nothing_from_the_worker():
    for path in (ROOT / "connectors").rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] in ("worker", "sqlalchemy", "celery")}, path


def test_sql_is_written_in_the_store_only():
    for path in SOURCES:
        if "store" not in path.parts:
            source = path.read_text()
            assert not re.search(
                r"from sqlalchemy import [^\n]*\btext\b|worker\.store\.db import [^\n]*\bsql\b", source
            ), path
            assert not re.search(r'"(SELECT|INSERT INTO|UPDATE|DELETE FROM) ', source), path


def test_only_some_rooms_speak_to_the_network():
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        if not any(place.startswith(room) for room in MAY_NETWORK):
            assert not imports(path) & NETWORK, place


def test_a_transaction_begins_at_an_entry_or_where_the_docstring_says_so():
    for path in WORKER:
        source = path.read_text()
        begins = re.search(r"(engine\(?\)?|_engine)\.begin\(", source)
        if not begins or room_of(name_of(path)) in ENTRY_POINTS | ENTRY_ROOMS:
            continue
        docstring = ast.get_docstring(ast.parse(source)) or ""
        assert re.search(r"[Cc]ommits in steps|in one transaction", " ".join(docstring.split())), path


def test_the_store_opens_no_transactions():
    for path in (ROOT / "worker" / "store").glob("*.py"):
        if path.name not in ("db.py", "sessions.py", "migrate.py"):
            assert ".begin(" not in path.read_text(), path
            assert ".commit(" not in path.read_text(), path


def test_only_batch_writer_sets_plans_and_pipelines():
    for path in SOURCES:
        if path.name != "batch_writer.py":
            source = path.read_text()
            # The sessions of look-ups have one plan for each statement, and db.py says why it fits always.
            assert "force_generic_plan" not in source or path.name == "db.py", path
            assert ".pipeline()" not in source, path


@pytest.mark.parametrize("room", ["domain", "pipeline", "inbox", "upgrade"])
def test_every_module_of_the_rules_has_a_test_file(room):
    tests = {path.stem for path in (ROOT / "tests" / "worker" / room).glob("test_*.py")}
    for path in (ROOT / "worker" / room).glob("*.py"):
        assert path.stem == "__init__" or f"test_{path.stem}" in tests, path


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_opens_with_its_purpose_and_is_not_too_long(path):
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)) or not source.strip(), (
        "a module opens with a docstring that says what it is for"
    )
    assert len(source.splitlines()) <= 420, "the module is too long; split it by its ideas"
