"""Importing: rows of a file become envelopes, which are drained like webhooks."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from worker.errors import ConfigError
from worker.files import export_json, importing
from worker.files.importing import File
from worker.files.tabular import read_table
from worker.store import connections, db
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
