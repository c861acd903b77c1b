"""The command line: how a mistake of the operator ends."""

import pytest

from worker import cli


def test_a_mistake_is_answered_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["contactsync", "keys", "create", "--scope", "everything"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("contactsync: --scope: expected ")
