"""Every path and name in ``docs/architecture.md`` exists, and every module has its line in the tree there.

Three forms between backticks are checked: a path (``worker/inbox/drain.py``), a name in a file
(``worker/inbox/drain.py:drain_batch``), and a name with the stem of a file (``drain.drain_batch``). A stem stands for
the file with this stem that the document mentioned last. Names are looked up in the source, and nothing is imported.
"""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.][\w./-]*/[\w./-]*|[\w-]+\.(?:md|py|toml|yml)")
NAME_IN_FILE = re.compile(r"([\w./-]+\.py):([A-Za-z_][\w.]*)")
NAME_IN_MODULE = re.compile(r"([a-z_]\w*)\.([A-Za-z_][\w.]*)")
OURS = re.compile(r"(?:worker|connectors|tests|bench|docs)/")
TREE_LINE = re.compile(r"^( *)([\w.]+/?)(?:  +\S.*)?$", re.MULTILINE)


@lru_cache
def names(path):
    """Return every name that a file defines. The members of a class have the name of the class before them."""
    return frozenset(_defined(ast.parse(path.read_text()).body, ""))


def _defined(body, prefix):
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body, f"{prefix}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def problems(text):
    """Return the paths and names in a document that do not exist, in the order of the document."""
    found = []
    last = {}  # stem -> file
    for span in SPAN.findall(FENCE.sub("", text)):
        if match := NAME_IN_FILE.fullmatch(span):
            path, name = ROOT / match[1], match[2]
        elif PATH.fullmatch(span):
            path, name = ROOT / span, None
        elif match := NAME_IN_MODULE.fullmatch(span):
            path, name = last.get(match[1]), match[2]
        else:
            continue
        if path is None or not path.exists() or (name is not None and name not in names(path)):
            found.append(span)
        elif path.suffix == ".py":
            last[path.stem] = path
    return found


def missing_paths(text):
    """Return the paths below our top folders that a document mentions and that do not exist.

    ``docs/adr/0003`` stands for the ADR with this number. A path with a word in capitals is a pattern for the reader
    to fill in, so it is not checked.
    """
    spans = [span.split(":")[0] for span in SPAN.findall(FENCE.sub("", text)) if OURS.match(span)]
    named = [span for span in spans if PATH.fullmatch(span) and not re.search("[A-Z]{3}", span)]
    return [span for span in named if not (ROOT / span).exists() and not any(ROOT.glob(f"{span}-*.md"))]


def tree(text):
    """Return the paths that have a line in the tree of a document."""
    paths, folders = [], []
    block = next(block for block in FENCE.findall(text) if "\nworker/\n" in block)
    for indent, name in TREE_LINE.findall(block):
        folders = folders[: len(indent) // 2]
        paths.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def without_line(paths, modules):
    """Return the modules without a line. A folder that has a line, but no lines below it, covers all its modules."""
    whole = tuple(
        path for path in paths if path.endswith("/") and not any(p != path and p.startswith(path) for p in paths)
    )
    return [module for module in modules if module not in paths and not module.startswith(whole)]


def test_every_path_and_name_of_the_document_exists():
    assert problems(DOCUMENT.read_text()) == []


def test_every_line_of_the_tree_exists():
    paths = tree(DOCUMENT.read_text())

    assert len(paths) > 100, "the tree was not found"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_has_a_line_in_the_tree():
    paths = [path for folder in ("worker", "connectors") for path in sorted((ROOT / folder).rglob("*.py"))]
    modules = [str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py"]

    assert without_line(tree(DOCUMENT.read_text()), modules) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_of_the_other_documents_exists(document):
    assert missing_paths(document.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "`worker/inbox/nothing.py`",
        "`worker/nothing/`",
        "`nothing.md`",
        "`worker/inbox/drain.py:nothing`",
        "`worker/inbox/nothing.py:drain`",
        "`worker/inbox/drain.py:Drained.nothing`",
        "`worker/inbox/drain.py`: `drain.nothing`",
        "`worker/inbox/drain.py`: `nothing.drain`",
        "`drain.drain_batch` before its file was named",
        "`worker/api/consent.py`, then `worker/domain/consent.py`: `consent.put_consent`",
    ],
)
def test_a_wrong_name_is_found(text):
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`worker/inbox/` `README.md` `docs/adr/`",
        "`worker/inbox/drain.py:drain_batch`",
        "`worker/inbox/drain.py`: `drain.drain_batch`, `drain.Drained.settled`",
        "`worker/domain/consent.py`, then `worker/api/consent.py`: `consent.put_consent`",
        "words, which are not looked up: `wanted`, `cnt_…`, `POST /webhooks/con_…`, `INBOX_BATCH`",
        "```text\n`worker/nothing.py`\n```\n",
    ],
)
def test_a_right_name_is_no_problem(text):
    assert problems(text) == []


def test_a_module_without_a_line_is_found():
    paths = ["worker/", "worker/tasks.py", "worker/console/"]

    assert without_line(paths, ["worker/tasks.py", "worker/console/page.py", "worker/new.py"]) == ["worker/new.py"]


def test_a_missing_path_of_another_document_is_found():
    text = "`worker/writes.py`, `docs/adr/0003`, `tests/connectors/payloads/NAME/`, `worker/api/webhooks.py:receive`"

    assert missing_paths(text) == ["worker/writes.py"]
