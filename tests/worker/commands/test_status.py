"""`status`."""

import base64
import hmac

import orjson
import pytest

from worker import ids
from worker.errors import ConfigError
from worker.inbox.drain import drain
from worker.inbox.ingest import accept, source_of
from worker.store import connections, envelopes
from worker.store.lanes import lane_of

BOX = ("--option", "consent_meta_key=newsletter")


def keep_customer(engine, connection_id, *, box, **more):
    """Keep a customer whose box for the newsletter has a word, and work it off."""
    body = {
        "id": 7,
        "role": "customer",
        "email": "ayu@example.com",
        "date_created_gmt": "2026-01-02T03:04:05",
        "meta_data": [{"key": "newsletter", "value": box}],
        **more,
    }
    with engine.begin() as conn:
        row = connections.by_id(conn, ids.parse(ids.CONNECTION, connection_id))
        content = orjson.dumps(body)
        signature = base64.b64encode(hmac.digest(b"x", content, "sha256")).decode()
        headers = [("x-wc-webhook-topic", "customer.updated"), ("x-wc-webhook-signature", signature)]
        envelopes.keep(conn, [accept(source_of(row), headers, content)])
    work(engine, connection_id)


def work(engine, connection_id):
    drain(engine, lane_of(ids.parse(ids.CONNECTION, connection_id)), budget_s=10)


def test_a_text_that_is_left_out_and_a_clock_that_is_ahead_are_noted_and_counted(ask, run, engine):
    added = ask("connections", "add", "woocommerce", "--source", "woo", "--webhook-secret", "x", *BOX)
    ahead = {"first_name": "e" + "\u0301" * 31, "date_modified_gmt": "2099-01-02T03:04:05"}
    keep_customer(engine, added["connection_id"], box="unsubscribed", **ahead)

    (remark,) = ask("status")["inbox"]["noted"]

    assert remark.startswith("left out: first_name: more than 30 combining marks in a row; clock ahead: ")
    assert ask("status")["inbox"]["undecided"] == {}
    assert [row["kind"] for row in ask("parked")] == ["noted"]
    assert "Noted: left out: first_name" in run("status").stdout


def test_an_empty_store_has_a_status(ask, run):
    found = ask("status")

    assert found["contacts"] == 0
    assert {"due", "postponed", "parked", "settled", "ignored", "oldest_due_s"} <= found["inbox"].keys()
    assert "Contacts: 0" in run("status").stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["status", "--organization", "nobody"], "nobody"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)


def test_a_word_that_nobody_knows_is_listed_until_somebody_decides(ask, run, engine):
    added = ask("connections", "add", "woocommerce", "--source", "woo", "--webhook-secret", "x", *BOX)
    keep_customer(engine, added["connection_id"], box="perhaps")

    found = ask("status")["inbox"]["undecided"]
    listed = [row for row in ask("parked") if row["kind"] == "undecided"]

    assert list(found.values()) == [1]
    (remark,) = found
    assert remark.startswith("meta_data.newsletter: ")
    assert "perhaps" not in remark
    assert [row["reason"] for row in listed] == [remark]
    assert "To decide: meta_data.newsletter" in run("status").stdout

    ask("connections", "set-option", added["connection_id"], "consent_words", "perhaps=yes")
    ask("replay", listed[0]["id"])
    work(engine, added["connection_id"])

    assert ask("status")["inbox"]["undecided"] == {}
    with pytest.raises(ConfigError, match="consent_words"):
        run("connections", "set-option", added["connection_id"], "no_such", "1")
