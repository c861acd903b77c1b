"""`import`."""

import pytest

from worker.errors import ConfigError


@pytest.fixture
def customers(tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("\ufeffID;E-mail;Phone\n1;ayu@example.com;+6281234567801\n2;not an e-mail\n", "utf-8")
    return str(file)


def test_a_file_is_imported_once_its_columns_are_agreed_on(ask, run, customers, tmp_path):
    with pytest.raises(ConfigError, match="email=E-mail"):
        run("import", customers, "--source", "crm")
    tried = ask("import", customers, "--source", "crm", "--yes", "--dry-run")
    assert (tried["read"], tried["rejected"], tried["dry_run"]["created"]) == (2, 1, 1)
    assert ask("status")["contacts"] == 0

    done = ask("import", customers, "--source", "crm", "--yes")
    assert (done["read"], done["changed"], done["unchanged"], done["rejected"]) == (2, 1, 0, 1)
    rejects = (tmp_path / "customers.csv.rejects.csv").read_text("utf-8-sig").splitlines()
    assert (done["rejects_file"], len(rejects)) == (str(tmp_path / "customers.csv.rejects.csv"), 2)
    assert rejects[1].startswith("3,")
    again = ask("import", customers, "--source", "crm", "--yes")
    assert (again["changed"], again["unchanged"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--map", "email"), "--map"),
        (("--map", "email=E-mail", "--map", "email=Phone"), "--map"),
        (("--map", "email=Nothing"), "Nothing"),
        (("--map", "emial=E-mail"), "emial"),
        (("--yes", "--as-of", "tomorrow"), "--as-of"),
        (("--yes", "--as-of", "2099-01-01"), "--as-of"),
    ],
)
def test_an_import_that_cannot_be_meant_changes_nothing(run, ask, customers, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run("import", customers, "--source", "crm", *arguments)
    assert ask("status")["contacts"] == 0
