"""Importing: rows of a file become envelopes, which are drained like webhooks."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from worker.domain import identifiers
from worker.errors import ConfigError
from worker.files import export_json, importing
from worker.files.formula_guard import unguard
from worker.files.importing import File
from worker.files.tabular import read_table
from worker.pipeline import contact_view
from worker.store import connections, contact_lists, db
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

AS_OF = datetime(2026, 11, 1, 12, tzinfo=UTC)
MAPPING = {"external_id": "ID", "email": "E-mail", "first_name": "Name", "tags": "Tags", "email_consent": "News"}
PEOPLE = "ID,E-mail,Name,Tags,News\n1,ayu@example.com,Ayu,vip,yes\n2,budi@example.com,Budi,,no\n"


def run(engine, organization_id, content, *, as_of=AS_OF, source="crm", is_dry=False, **file):
    rejected = []
    done = importing.import_rows(
        engine,
        organization_id,
        source,
        File(mapping=MAPPING, as_of=as_of, **file),
        read_table(io.BytesIO(content.encode())).rows(),
        region=None,
        is_dry=is_dry,
        reject=lambda row, reason: rejected.append((row.number, reason)),
    )
    return done, rejected


def contacts(engine, organization_id):
    with db.snapshot(engine) as conn:
        return {line["external_id"]: line for line in map(json.loads, export_json.canonical(Tx(conn, organization_id)))}


def counts(done):
    return (done.read, done.changed, done.unchanged, done.rejected)


def test_rows_become_contacts_with_tags_and_consent(engine, organization_id):
    done, rejected = run(engine, organization_id, PEOPLE)

    assert counts(done) == (2, 2, 0, 0)
    assert rejected == []
    found = contacts(engine, organization_id)
    assert (found["1"]["name"], found["1"]["email"], found["1"]["tags"]) == ("Ayu", "ayu@example.com", ["vip"])
    assert {one["status"] for one in found["2"]["consents"]} == {"opted_out"}
    with engine.connect() as conn:
        assert conn.execute(text("SELECT state, read, expected FROM runs")).all() == [("done", 2, 2)]


def test_a_file_imported_twice_changes_nothing(engine, organization_id):
    run(engine, organization_id, PEOPLE)
    before = contacts(engine, organization_id)

    done, _ = run(engine, organization_id, PEOPLE)

    assert counts(done) == (2, 0, 2, 0)
    assert contacts(engine, organization_id) == before


def test_a_corrected_file_wins_and_an_older_one_does_not(engine, organization_id):
    run(engine, organization_id, PEOPLE)
    run(engine, organization_id, PEOPLE.replace("Ayu,", "Ayunda,"), as_of=AS_OF + timedelta(hours=1))
    run(engine, organization_id, PEOPLE.replace("Ayu,", "Old,"), as_of=AS_OF - timedelta(hours=1))

    assert contacts(engine, organization_id)["1"]["name"] == "Ayunda"


def test_of_several_rows_about_one_customer_the_last_counts(engine, organization_id):
    rows = "".join(f"1,ayu@example.com,Name {n},,\n" for n in range(30))

    run(engine, organization_id, "ID,E-mail,Name,Tags,News\n" + rows)

    assert contacts(engine, organization_id)["1"]["name"] == "Name 29"


def test_rows_that_cannot_be_imported_are_rejected_and_the_others_are_imported(engine, organization_id):
    bad = PEOPLE + "3,cici@example.com,Cici,,maybe\n,not an address,Dedi,,\n5,eka@example.com\n,,,,\n"

    done, rejected = run(engine, organization_id, bad)

    assert counts(done) == (6, 2, 0, 4)
    assert [number for number, _ in rejected] == [4, 5, 6, 7]
    assert rejected[0][1].startswith("News: expected yes, no")
    assert not any("example.com" in reason or "not an" in reason for _, reason in rejected)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM envelopes")).scalar() == 2


def test_a_dry_run_counts_the_changes_and_writes_nothing(engine, organization_id):
    run(engine, organization_id, PEOPLE)
    later = PEOPLE.replace("Ayu,", "Ayunda,") + "3,cici@example.com,Cici,,\n"

    done, _ = run(engine, organization_id, later, as_of=AS_OF + timedelta(hours=1), is_dry=True)

    assert counts(done) == (3, 2, 1, 0)
    assert (done.report["created"], done.report["changed"]) == (1, 1)
    assert len(contacts(engine, organization_id)) == 2
    done, _ = run(engine, organization_id, PEOPLE, source="never heard of", is_dry=True)
    assert done.read == 2
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM connections WHERE source <> 'api'")).scalar() == 1


def test_a_file_cannot_use_the_source_of_a_shop(engine, organization_id):
    with engine.begin() as conn:
        connections.insert_new(
            Tx(conn, organization_id),
            connector="shopify",
            source="shop",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
        )

    with pytest.raises(ConfigError, match="another system's"):
        run(engine, organization_id, PEOPLE, source="shop")


def test_many_rows_are_drained_while_the_file_is_read(engine, organization_id, monkeypatch):
    monkeypatch.setattr(importing, "_PAGE", 50)
    monkeypatch.setattr(importing, "_BACKLOG", 100)
    rows = "".join(f"{n},person{n}@example.com,P{n},,\n" for n in range(400))

    done, _ = run(engine, organization_id, "ID,E-mail,Name,Tags,News\n" + rows)

    assert counts(done) == (400, 400, 0, 0)


# What cannot be read is told, and no "no" is lost.


def sendable(engine, organization_id, address):
    """Whether anybody who holds an address may be written to there."""
    now = datetime.now(UTC)
    with db.snapshot(engine) as conn:
        tx = Tx(conn, organization_id)
        rows = contact_lists.page(tx, ContactFilter(), None, 1000)
        verdicts = [view.verdict(("email", "marketing"), now) for view in contact_view.load(tx, rows)]
    return any(verdict.sendable and verdict.address == address for verdict in verdicts)


SUBSCRIBED = "ID,E-mail,Name,Tags,News\n0815,ayu@example.com,Ayu,,yes\n"


@pytest.mark.parametrize(
    "written",
    [
        "\u200bayu@example.com",
        "ayu@example.com\u200b",
        "\ufeffAyu <ayu@example.com>",
        "mailto:ayu@example.com",
        "AYU\uff20example.com",
        "ayu@example.com.",
        "ayu@@example.com",
        "ayu example.com",
        "Ayu ayu@example.com",
        "\u200b",
        "ayu@example.com budi@example.com",
    ],
)
def test_a_no_beside_an_odd_address_closes_it_or_is_rejected(engine, organization_id, written):
    run(engine, organization_id, SUBSCRIBED)
    later = AS_OF + timedelta(days=1)

    _, rejected = run(
        engine, organization_id, f'ID,E-mail,Name,Tags,News\n1,"{written}",,,no\n', as_of=later, source="b"
    )

    assert rejected or not sendable(engine, organization_id, "ayu@example.com")


AROUND = st.text(st.sampled_from(" \t\u00a0\u200b\u3000\ufeff<>'.,;@x"), max_size=4)


@given(AROUND, AROUND)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_beside_a_no_the_address_is_closed_or_the_row_rejected(engine, organization_id, before, after):
    written = f"{before}ayu@example.com{after}"
    run(engine, organization_id, SUBSCRIBED)
    later = AS_OF + timedelta(days=1)

    done, rejected = run(
        engine, organization_id, f'ID,E-mail,Name,Tags,News\n1,"{written}",,,no\n', as_of=later, source="b"
    )

    read = identifiers.email(unguard(written))
    is_other = read is not None and read.key != "ayu@example.com"  # somebody else's address, as x.ayu@example.com
    assert rejected or is_other or not sendable(engine, organization_id, "ayu@example.com")
    if done.run_id is not None:
        importing.undo(engine, organization_id, done.run_id)


def test_values_that_cannot_be_read_are_counted_with_their_rows(engine, organization_id):
    content = "ID,E-mail,Name,Tags,News\n" + "".join(f"{n},someone{n}@,Ayu,,\n" for n in range(1, 6))

    done, rejected = run(engine, organization_id, content)
    tried, _ = run(engine, organization_id, content, source="other", is_dry=True)

    assert rejected == []
    for counted in (done, tried):
        assert counted.unread.report()["emails"]["count"] == 5
        assert counted.unread.report()["emails"]["rows"] == [2, 3, 4]


@pytest.mark.parametrize("id_", ["0", "null", "NULL", "undefined", "None", "nan", "N/A", "-", "[object Object]", "--"])
def test_the_id_of_nobody_is_no_id(engine, organization_id, id_):
    done, rejected = run(
        engine, organization_id, f"ID,E-mail,Name,Tags,News\n{id_},ayu@example.com,,,\n{id_},,Budi,,\n"
    )

    assert counts(done) == (2, 1, 0, 1)
    assert [number for number, _ in rejected] == [3]
    assert set(contacts(engine, organization_id)) == {"guest:email:ayu@example.com"}


@pytest.mark.parametrize("id_", ["81234567890.0", "6.28123456789E12", "6,28E+12"])
def test_an_id_that_a_spreadsheet_has_damaged_is_rejected(engine, organization_id, id_):
    _, rejected = run(engine, organization_id, f'ID,E-mail,Name,Tags,News\n"{id_}",ayu@example.com,,,\n')

    assert "rounded" in rejected[0][1]


def test_rows_with_one_number_and_thirty_e_mails_are_thirty_people(engine, organization_id):
    rows = "".join(f",p{n}@example.com,Ayu,,,+6281273509101\n" for n in range(30))

    done = importing.import_rows(
        engine,
        organization_id,
        "crm",
        File(mapping={"email": "E-mail", "phone": "Phone"}, as_of=AS_OF),
        read_table(io.BytesIO(("ID,E-mail,Name,Tags,News,Phone\n" + rows).encode())).rows(),
        region=None,
        is_dry=False,
        reject=lambda *_: None,
    )

    assert counts(done) == (30, 30, 0, 0)
    assert len(contacts(engine, organization_id)) == 30


@pytest.mark.parametrize("word", ["NULL", "null", "\\\\N", "#N/A"])
def test_words_of_programs_for_nothing_are_empty_cells_unless_they_are_names(engine, organization_id, word):
    word = word.replace("\\\\", "\\")
    content = f"ID,E-mail,Name,Tags,News\n1,ayu@example.com,{word},,\n"

    run(engine, organization_id, content)
    run(engine, organization_id, content, source="kept", keeps_null_words=True)

    names = {
        line["custom_fields"].get("first_name") or line["name"] for line in contacts(engine, organization_id).values()
    }
    assert names == {word}
    assert {line["name"] for line in contacts(engine, organization_id).values()} == {word}


def test_an_import_is_undone_and_can_be_done_again(engine, organization_id):
    run(engine, organization_id, SUBSCRIBED)
    before = contacts(engine, organization_id)
    done, _ = run(engine, organization_id, PEOPLE, source="b", as_of=AS_OF + timedelta(days=1))

    assert importing.undo(engine, organization_id, done.run_id) == 2
    undone = contacts(engine, organization_id)
    again, _ = run(engine, organization_id, PEOPLE, source="b", as_of=AS_OF + timedelta(days=1))

    assert undone.keys() == before.keys()
    assert undone["0815"]["consents"] == before["0815"]["consents"]
    assert counts(again) == (2, 2, 0, 0)
    with pytest.raises(ConfigError, match="no import"):
        importing.undo(engine, organization_id, organization_id)


def test_what_is_set_for_all_rows_is_said_of_each(engine, organization_id):
    done = importing.import_rows(
        engine,
        organization_id,
        "crm",
        File(mapping={"email": "E-mail"}, as_of=AS_OF, fixed={"email_consent": "opted_out"}),
        read_table(io.BytesIO(b"E-mail\nayu@example.com\n")).rows(),
        region=None,
        is_dry=False,
        reject=lambda *_: None,
    )

    (line,) = contacts(engine, organization_id).values()
    assert counts(done) == (1, 1, 0, 0)
    assert {one["status"] for one in line["consents"]} == {"opted_out"}
