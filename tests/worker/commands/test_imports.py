"""`import`."""

import json

import pytest

from tests.worker.files.test_known_exports import HEADERS
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
    shown = run("import", customers, "--source", "crm", "--yes", "--dry-run").stdout
    assert "{" not in shown
    assert [line.split() for line in shown.splitlines() if line.split()[:1] in (["created"], ["1"])] == [
        ["created", "1"],
        ["1", "created", "email,", "external_id,", "external_source,", "phone_number"],
    ]

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


@pytest.mark.parametrize("name", HEADERS)
def test_an_export_is_taken_for_what_it_is(ask, tmp_path, name):
    columns = HEADERS[name].split(",")
    values = {"Email": "ayu@example.com", "Email Address": "ayu@example.com", "E-mail Address": "ayu@example.com"}
    values |= {"E-mail 1 - Value": "ayu@example.com ::: ayu.office@example.com", "UNSUB_TIME": "2025-05-06 07:08:09"}
    file = tmp_path / "export.csv"
    file.write_text(HEADERS[name] + "\n" + ",".join(values.get(column, "") for column in columns) + "\n", "utf-8")

    tried = ask("import", str(file), "--source", "crm", "--yes", "--dry-run")

    assert (tried["taken_for"], tried["read"], tried["rejected"]) == (name, 1, 0)


def test_a_list_of_people_who_unsubscribed_closes_their_addresses(ask, run, tmp_path):
    file = tmp_path / "export.csv"
    header = HEADERS["Mailchimp: unsubscribed contacts"]
    row = [
        {"Email Address": "ayu@example.com", "UNSUB_TIME": "2025-05-06 07:08:09"}.get(c, "") for c in header.split(",")
    ]
    file.write_text(header + "\n" + ",".join(row) + "\n", "utf-8")

    done = ask("import", str(file), "--source", "crm", "--yes")
    (line,) = map(json.loads, run("export", "--format", "jsonl").stdout.splitlines())
    undone = ask("import", "--undo", done["run_id"])

    assert {(one["status"], one["occurred_at"]) for one in line["consents"]} == {("opted_out", "2025-05-06T07:08:09Z")}
    assert undone == {"undone": 1}
    assert ask("status")["contacts"] == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--set", "email_consent"), "--set"),
        (("--set", "email=a@example.com"), "email"),
        (("--set", "no_such=1"), "no_such"),
        (("--encoding", "no such"), "--encoding"),
        (("--region", "Nowhere"), "--region"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(run, customers, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run("import", customers, "--source", "crm", "--yes", *arguments)


def test_a_file_or_an_import_is_asked_for(run, tmp_path):
    for arguments in ((), (str(tmp_path), "--source", "crm"), ("--undo", "run_1"), ("--undo", "run_" + "0" * 32)):
        with pytest.raises(ConfigError):
            run("import", *arguments)


def test_the_country_of_numbers_may_be_a_name(ask, tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("ID,Phone\n0815,0812 7350 9101\n4711,0812 345 678 Ani\n", "utf-8")

    columns = ("--map", "external_id=ID", "--map", "phone=Phone")
    without = ask("import", str(file), "--source", "crm", *columns, "--dry-run")
    with_country = ask("import", str(file), "--source", "crm", *columns, "--dry-run", "--region", "Indonesia")

    assert without["unread"]["phones"]["count"] == 2
    assert "--region" in without["unread"]["phones"]["hint"]
    assert with_country["unread"]["phones"] == {**without["unread"]["phones"], "count": 1, "rows": [3]}
