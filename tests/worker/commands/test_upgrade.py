"""`upgrade`: which organizations, dry or not, and how the report is printed."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from tests.worker.upgrade.release_before import ReleaseBefore
from worker.errors import ConfigError

ORGANIZATION = "default"


@pytest.fixture
def old(engine):
    """Store two people with one number as the release before did. This schema still takes such rows."""
    before = ReleaseBefore(engine)
    before.shop.seen("1", phone="+6281273509100", name="Ayu Lestari", at=0)
    before.eu.seen("1", phone="+6281273509100", name="Zahra Wijaya", at=1)
    before.write(["shop:1", "eu:1"])
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO upgrades (organization_id) VALUES (:id)"), {"id": before.organization_id})
    return before


@pytest.mark.parametrize("arguments", [["upgrade"], ["upgrade", "--dry-run", "--apply"]])
def test_one_of_two_has_to_be_said(run, arguments):
    with pytest.raises(ConfigError, match="--dry-run"):
        run(*arguments)


def test_nothing_is_due_in_a_store_of_today(run):
    assert "nothing to do" in run("upgrade", "--apply").stdout


def test_a_dry_run_tells_and_status_says_that_it_is_due(run, ask, old):
    (found,) = ask("upgrade", "--dry-run")

    assert (found["organization"], found["contacts"], found["part"]["count"]) == (ORGANIZATION, 1, 1)
    assert found["part"]["examples"] == [{"contact_id": f"cnt_{old.ids['shop:1'].hex}", "people": 2}]
    assert ask("status")["upgrade"] == "due"
    assert "Upgrade due" in run("status").stdout


def test_a_run_is_done_once(run, ask, old):
    printed = run("upgrade", "--apply").stdout

    assert "2 records" in printed
    assert f"cnt_{old.ids['shop:1'].hex}" in printed
    assert ask("status")["upgrade"] is None
    assert "nothing to do" in run("upgrade", "--apply").stdout


def test_an_organization_can_be_chosen(run, ask, old):
    with pytest.raises(ConfigError, match="nobody"):
        run("upgrade", "--apply", "--organization", "nobody")

    assert ask("upgrade", "--dry-run", "--organization", ORGANIZATION)[0]["organization"] == ORGANIZATION


def test_no_examples_are_printed_if_none_are_asked_for(ask, old):
    (found,) = ask("upgrade", "--dry-run", "--examples", "0")

    assert found["part"] == {"count": 1, "examples": []}


def test_migrate_tells_what_is_due(run, old):
    printed = run("migrate").stderr

    assert ORGANIZATION in printed
    assert "contactsync upgrade --dry-run" in printed


def test_a_report_has_no_text_of_a_person(ask, old):
    shown = json.dumps(ask("upgrade", "--dry-run"))

    assert not any(word in shown for word in ("Ayu", "Zahra", "+62", str(datetime.now(UTC).year)))
