"""The command line: how a mistake of the operator ends."""

import json

import pytest

from worker import cli


def test_a_mistake_is_answered_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["contactsync", "keys", "create", "--scope", "everything"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("contactsync: --scope: expected ")


@pytest.mark.parametrize(
    ("command", "code"), [(["keys", "create", "--scope", "everything"], 1), (["import", "--no-such-option"], 2)]
)
def test_a_mistake_is_one_document_for_programs(capsys, monkeypatch, command, code):
    monkeypatch.setattr("sys.argv", ["contactsync", *command, "--json"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    shown = capsys.readouterr()
    assert ended.value.code == code
    assert set(json.loads(shown.out)) == {"error"}
    assert shown.err
