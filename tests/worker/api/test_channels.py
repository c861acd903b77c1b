"""Channels: the list of connected accounts, and the look-up of a profile at a provider."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from tests.conftest import TABLES
from tests.worker.api.conftest import Client, a_profile, is_time
from worker import ids, logs
from worker.api import channels as api
from worker.api import examples
from worker.providers import profile_lookup
from worker.store import channels, organizations
from worker.store.db import Tx

TOKEN = "700100:AAH_invented-by-a-test"
SITI = {"type": "telegram", "value": "5550001111"}
CHAT = {"id": 5550001111, "type": "private", "first_name": "Siti", "last_name": "Rahma", "username": "siti_r"}
OK = (200, {"ok": True, "result": CHAT})


@pytest.fixture
def telegram(monkeypatch):
    """Telegram's API on this machine: counts requests, calls ``during`` for each, then answers ``answer``."""
    state = SimpleNamespace(answer=OK, requests=0, during=lambda: None)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            state.requests += 1
            self.rfile.read(int(self.headers["content-length"]))
            state.during()
            status, body = state.answer
            body = json.dumps(body).encode()
            with suppress(OSError):  # the caller has left
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    profile_lookup.lookups.cache_clear()
    yield state
    profile_lookup.lookups()._threads.shutdown(wait=True)
    profile_lookup.lookups().close()
    profile_lookup.lookups.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.fixture
def a_channel(engine):
    def a_channel(platform="telegram", *, url="https://unused.example", organization="default", name=None):
        with engine.begin() as conn:
            id_ = channels.insert_new(
                Tx(conn, organizations.ensure(conn, organization)),
                platform=platform,
                name=name or platform,
                api_url=url,
                options={},
                token=None if platform == "whatsapp" else TOKEN,
            )
        return ids.show(ids.CHANNEL, id_)

    return a_channel


@pytest.fixture
def channel_id(a_channel, telegram):
    return a_channel(url=telegram.url)


@pytest.fixture
def lookup_client(app, a_key):
    return Client(app, {"X-Api-Key": a_key("channels:lookup")})


@pytest.fixture
def look_up(lookup_client, channel_id):
    def look_up(body=SITI, *, of=channel_id):
        return lookup_client.post(f"/v1/channels/{of}/contacts/lookup", json=body)

    return look_up


@pytest.fixture
def siti(say, client):
    """A stored contact whose Telegram id a shop knows. Her customer number could be a Telegram id too."""
    say("shopify", a_profile("7001", name="Siti R.", other=[("telegram", "5550001111")]))
    (contact,) = client.get("/v1/contacts").json()["data"]
    return contact["id"]


# --- the list ----------------------------------------------------------------------------------------------------


def test_connected_channels_are_listed_oldest_first_without_their_tokens(client, a_channel, engine, organization_id):
    first, second = a_channel(name="Support bot"), a_channel("whatsapp")
    gone = a_channel("line")
    with engine.begin() as conn:
        assert channels.remove(Tx(conn, organization_id), ids.parse(ids.CHANNEL, gone))

    answer = client.get("/v1/channels")

    assert answer.status_code == 200
    assert answer.json() == {
        "data": [
            {"id": first, "platform": "telegram", "name": "Support bot", "status": "connected"},
            {"id": second, "platform": "whatsapp", "name": "whatsapp", "status": "connected"},
        ]
    }


def test_channels_of_another_organization_are_not_listed(client, a_channel):
    a_channel(organization="other")

    assert client.get("/v1/channels").json() == {"data": []}


def test_channels_need_a_key(stranger):
    assert stranger.get("/v1/channels").status_code == 401
    assert stranger.post("/v1/channels/chn_1/contacts/lookup", json=SITI).status_code == 401


# --- a profile ------------------------------------------------------------------------------------------------------


def test_a_profile_has_the_published_shape(look_up, channel_id, siti):
    answer = look_up()

    assert answer.status_code == 200
    data = answer.json()["data"]
    assert is_time(data.pop("fetched_at"))
    assert data == {
        "channel_id": channel_id,
        "platform": "telegram",
        "identity": SITI,
        "profile": {
            "id": "5550001111",
            "name": "Siti Rahma",
            "first_name": "Siti",
            "last_name": "Rahma",
            "username": "siti_r",
            "avatar_url": None,
            "avatar_expires_at": None,
            "locale": None,
            "country": None,
        },
        "contact_id": siti,
        "cached": False,
    }


def test_three_ways_to_name_a_person_give_the_same_answer(look_up, siti):
    answers = [look_up(body).json()["data"] for body in (SITI, {"identifier": SITI}, {"contact_id": siti})]

    assert [answer["identity"] for answer in answers] == [SITI] * 3
    assert [answer["contact_id"] for answer in answers] == [siti] * 3
    assert [answer["cached"] for answer in answers] == [False, True, True]


def test_the_answer_has_the_id_as_the_provider_writes_it(look_up, siti):
    data = look_up({"type": "telegram", "value": " 005550001111 "}).json()["data"]

    assert data["identity"] == SITI
    assert data["contact_id"] == siti


def test_an_identity_that_no_contact_has_is_answered_without_a_contact(look_up):
    assert look_up().json()["data"]["contact_id"] is None


def test_a_contact_of_another_organization_is_not_named(look_up, say):
    say("shopify", a_profile("siti", other=[("telegram", "5550001111")]), organization="other")

    assert look_up().json()["data"]["contact_id"] is None


def test_refresh_asks_the_provider_again(look_up, telegram):
    look_up()
    assert look_up().json()["data"]["cached"]
    assert telegram.requests == 1

    telegram.answer = (200, {"ok": True, "result": {**CHAT, "last_name": "Wulandari"}})
    data = look_up({**SITI, "refresh": True}).json()["data"]

    assert (data["cached"], data["profile"]["last_name"]) == (False, "Wulandari")


def test_a_look_up_writes_nothing(look_up, siti, engine):
    rows = "SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {} t"

    def stored():
        with engine.connect() as conn:
            return {
                table: conn.execute(text(rows.format(table))).scalar_one()
                for table in TABLES.split(", ")
                if table != "api_keys"  # the use of a key is stored
            }

    before = stored()
    assert look_up().status_code == 200

    assert stored() == before


def test_no_transaction_is_open_during_the_wait_for_the_provider(look_up, siti, telegram, engine):
    counts = []

    def count_open():
        with engine.connect() as conn:
            open_ = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            counts.append(conn.execute(text(open_)).scalar_one())

    telegram.during = count_open
    assert look_up({"contact_id": siti}).status_code == 200

    assert counts == [0]


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["type"]),
        ({"refresh": True}, ["type"]),
        ({"type": None, "value": None}, ["type"]),
        ({"type": "telegram"}, ["value"]),
        ({"value": "5550001111"}, ["type"]),
        ({**SITI, "identifier": SITI}, ["identifier"]),
        ({**SITI, "contact_id": "cnt_1"}, ["contact_id"]),
        ({"identifier": SITI, "contact_id": "cnt_1"}, ["contact_id"]),
        ({**SITI, "identifier": SITI, "contact_id": "cnt_1"}, ["identifier", "contact_id"]),
        ({"identifier": {"type": "telegram"}}, ["identifier.value"]),
        ({**SITI, "refresh": "perhaps"}, ["refresh"]),
        ({"type": "telegram", "value": ""}, ["value"]),
        ({"type": "telegram", "value": "secret\x00"}, ["value"]),
        ({"type": "email", "value": "secret@example.com"}, ["type"]),
        ({"type": "telegram", "value": "@secret"}, ["value"]),
        ({"type": "telegram", "value": "-1001234567890"}, ["value"]),
        ({"identifier": {"type": "line", "value": "secret"}}, ["identifier.type"]),
        ({"identifier": {"type": "telegram", "value": "secret"}}, ["identifier.value"]),
    ],
)
def test_a_wrong_field_is_named_and_the_provider_gets_no_request(look_up, telegram, body, fields):
    answer = look_up(body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_error"
    assert [detail["field"] for detail in answer.json()["details"]] == fields
    assert "secret" not in answer.text
    assert telegram.requests == 0


def test_an_empty_request_is_answered_with_the_ways_to_name_a_person(look_up):
    assert "identifier, contact_id" in look_up({}).json()["details"][0]["reason"]


def test_a_contact_without_an_identity_on_the_channel_is_refused(look_up, ujang, telegram):
    answer = look_up({"contact_id": ujang["id"]})

    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "contact_id"
    assert telegram.requests == 0


def test_an_unknown_contact_is_not_found(look_up, say, client):
    say("shopify", a_profile("siti", other=[("telegram", "5550001111")]), organization="other")

    for unknown in ("cnt_1", ids.show(ids.CONTACT, ids.new())):
        answer = look_up({"contact_id": unknown})
        assert answer.status_code == 404
        assert (answer.json()["error"], answer.json()["code"]) == ("contact not found", "not_found")


def test_a_channel_of_another_organization_is_not_found(look_up, a_channel, engine, organization_id, telegram):
    removed = a_channel(url=telegram.url, name="gone")
    with engine.begin() as conn:
        channels.remove(Tx(conn, organization_id), ids.parse(ids.CHANNEL, removed))
    theirs = a_channel(url=telegram.url, organization="other")

    for unknown in ("chn_1", "telegram", ids.show(ids.CHANNEL, ids.new()), removed, theirs):
        answer = look_up(of=unknown)
        assert answer.status_code == 404
        assert (answer.json()["error"], answer.json()["code"]) == ("channel not found", "not_found")
    assert telegram.requests == 0


@pytest.mark.parametrize(
    "body", [{"type": "phone", "value": "+6281234567890"}, SITI, {"contact_id": "cnt_1"}, {"identifier": SITI}]
)
def test_whatsapp_has_no_lookup_whoever_is_looked_up(look_up, a_channel, body):
    answer = look_up(body, of=a_channel("whatsapp"))

    assert answer.status_code == 422
    assert answer.json()["code"] == "lookup_not_supported"


def test_a_platform_of_a_later_release_has_no_lookup_here(look_up, a_channel):
    assert look_up(of=a_channel("pigeon")).json()["code"] == "lookup_not_supported"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ((400, {"description": "Bad Request: chat not found"}), 404, "profile_not_found"),
        ((403, {"description": "Forbidden: bot was blocked by the user"}), 403, "consent_required"),
        ((429, {"parameters": {"retry_after": 35}}), 429, "rate_limited"),
        ((401, {"description": "Unauthorized"}), 502, "provider_error"),
        ((500, {}), 502, "provider_error"),
        ((200, {"ok": True, "result": {"id": "secret"}}), 502, "provider_error"),
        ((302, {}), 502, "provider_error"),
    ],
)
def test_every_error_of_the_provider_has_a_status_and_a_code(look_up, telegram, error, status, code):
    telegram.answer = error

    answer = look_up()

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("35" if status == 429 else None)
    assert not [secret for secret in (TOKEN, "AAH", "5550001111", "127.0.0.1", "secret") if secret in answer.text]


def test_a_provider_that_does_not_answer_is_a_timeout(look_up, telegram, monkeypatch):
    monkeypatch.setattr(profile_lookup.lookups(), "_budget_s", 0.3)
    over = threading.Event()
    telegram.during = lambda: over.wait(10)

    answer = look_up()
    over.set()

    assert (answer.status_code, answer.json()["code"]) == (504, "provider_timeout")


def test_a_key_for_contacts_alone_may_not_look_up(client, channel_id, telegram):
    answer = client.post(f"/v1/channels/{channel_id}/contacts/lookup", json=SITI)

    assert answer.status_code == 403
    assert (answer.json()["code"], telegram.requests) == ("forbidden", 0)


@pytest.mark.parametrize("scope", ["channels:lookup", "contacts:write", "admin"])
def test_these_scopes_allow_a_look_up(stranger, a_key, channel_id, scope):
    headers = {"X-Api-Key": a_key(scope)}

    assert stranger.post(f"/v1/channels/{channel_id}/contacts/lookup", json=SITI, headers=headers).status_code == 200


# --- the log -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "event"),
    [
        ((401, {"description": "Unauthorized"}), "channel_token_refused"),
        ((404, {"description": "Not Found"}), "channel_token_refused"),
        ((429, {"parameters": {"retry_after": 35}}), "channel_limited"),
        ((418, {}), "channel_lookup_failed"),
    ],
)
def test_a_broken_channel_is_logged_without_its_token(look_up, telegram, channel_id, capsys, error, event):
    logs.configure()  # again, because the test has another stderr
    telegram.answer = error

    look_up()

    log = capsys.readouterr().err
    assert f'"{event}"' in log
    assert channel_id in log
    assert not [secret for secret in (TOKEN, "AAH", "5550001111", "127.0.0.1") if secret in log]


def test_an_error_of_the_caller_is_not_logged(look_up, telegram, capsys):
    logs.configure()
    telegram.answer = (400, {"description": "Bad Request: chat not found"})

    look_up()

    assert capsys.readouterr().err == ""


# --- the document ---------------------------------------------------------------------------------------------


def test_examples_of_the_document_are_valid():
    for body in examples.REQUESTS["look_up_profile"].values():
        api._check_one_way(api.ProfileLookupIn.model_validate(body))
    for answer in examples.ANSWERS["look_up_profile"].values():
        assert api.ProfileAnswer.model_validate(answer).model_dump(mode="json") == answer
    for answer in examples.ANSWERS["list_channels"].values():
        assert api.ChannelList.model_validate(answer).model_dump(mode="json") == answer


def test_the_document_demands_exactly_one_way_to_name_a_person(app):
    (type_and_value, identifier, contact_id) = app.openapi()["components"]["schemas"]["ProfileLookupIn"]["oneOf"]

    assert type_and_value["required"] == ["type", "value"]
    assert type_and_value["properties"]["contact_id"] == {"type": "null"}
    assert (identifier["required"], contact_id["required"]) == (["identifier"], ["contact_id"])
