"""What commands print for people: nothing is cut in a pipe, and what a document holds of others has its own table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from worker import shown
from worker.commands.tables import print_tables

ROOT = Path(__file__).parents[3]
ID = "env_" + "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """A shell exports how wide its terminal is; a pipe behind it has no width."""
    monkeypatch.setenv("COLUMNS", "40")


def test_an_id_in_a_pipe_is_whole_on_one_line(capsys):
    print_tables([{"id": ID, "reason": "word " * 100, "run_id": ID.replace("env", "run")}])

    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "reason", "run_id"]
    assert ID in row
    assert ID.replace("env", "run") in row


@pytest.mark.parametrize("width", [100, 60, 20])
def test_an_id_on_a_terminal_is_whole_too(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_tables([{"id": ID, "reason": "x" * 40}] * 2)

    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    if width == 100:
        assert [line.split() for line in lines[1:]] == [[ID, "x" * 40]] * 2
    if width == 60:
        assert [line.split() for line in lines[:3]] == [["what", "value"], ["id", ID], ["reason", "x" * 40]]
    if width == 20:
        assert "".join(line[9:].strip() for line in lines).startswith(f"value{ID}")


def test_rows_with_different_names_stand_under_their_own(capsys):
    print_tables([{"run": "a", "read": 1}, {"run": "b", "report": {"created": 2, "examples": [{"id": ID}]}}])

    head, first, second = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert head.split() == ["run", "read", "report"]
    assert first.split() == ["a", "1"]
    assert second[head.index("report") :] == "created: 2, examples: 1"


def test_a_document_has_a_line_for_each_value_and_a_table_for_each_part(capsys):
    print_tables(
        {
            "read": 3,
            "error": None,
            "tags": ["a", "b"],
            "unread": {"phones": {"count": 1, "rows": [2]}},
            "dry_run": {"created": 2, "examples": [{"external_id": "7", "fields": ["name"]}], "refused": {}},
        }
    )

    tables = [block.splitlines() for block in re.split(r"\n\s*\n", capsys.readouterr().out)]
    lines = [[line.split() for line in table] for table in tables]
    assert lines == [
        [["what", "value"], ["read", "3"], ["tags", "a,", "b"]],
        [["unread"], ["what", "count", "rows"], ["phones", "1", "2"]],
        [["dry", "run"], ["what", "value"], ["created", "2"]],
        [["examples"], ["external_id", "fields"], ["7", "name"]],
    ]


def test_nothing_is_said_to_be_none(capsys):
    print_tables([])

    assert capsys.readouterr().out == "none\n"


def test_all_tables_are_printed_by_the_same_rule():
    """Another console would cut ids again."""
    for path in (ROOT / "worker").rglob("*.py"):
        if path != Path(shown.__file__):
            assert not re.search(r"\bConsole\((?!stderr=True)", path.read_text()), path


def test_ids_are_whole_behind_a_pipe(run, connection_id):
    environment = {**os.environ, "COLUMNS": "20"}
    command = [sys.executable, "-m", "worker.cli"]
    run("backfill", "start", connection_id)

    for arguments in (
        ["connections", "list"],
        ["status"],
        ["schedules", "list"],
        ["backfill", "list"],
    ):
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert re.search(rf"\b{connection_id}\b", done.stdout), arguments
