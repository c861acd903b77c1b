"""The frequent reads are answered as the framework answers them, byte for byte."""

from itertools import product

import pytest

from tests.worker.api.conftest import EMAIL, PHONE, Client, a_profile, url_of
from worker.api import reads
from worker.api.reads import Reads

NUMBER = PHONE.removeprefix("+")
NOBODY = "cnt_" + "0" * 32


@pytest.fixture
def people(say, client):
    """Somebody with all that a contact can have, and somebody else."""
    say("shop", a_profile("c1", phone=PHONE, email=EMAIL, name="Léa", tier="gold", created=1))
    say("shop", a_profile("c2", email="other@example.com", name="Somebody"))
    return url_of(client, "shop", "c1"), url_of(client, "shop", "c2")


@pytest.fixture
def counted(monkeypatch):
    """Count the requests that are answered without the framework."""
    answered = []
    send = reads._send

    async def counting(*arguments):
        answered.append(arguments)
        await send(*arguments)

    monkeypatch.setattr(reads, "_send", counting)
    return answered


def requests(one, other):
    """Requests of every kind that has a plain case, plain and not."""
    yield from (("GET", url, {}) for url in (one, other, f"/v1/contacts/{NOBODY}", "/v1/contacts/cnt_x", one + "/"))
    yield from (("GET", f"{one}?{query}", {}) for query in ("", "x=1", "explain=true"))
    for number in (PHONE, NUMBER, "+6281299999999", "%2B" + NUMBER, "12", "+628123456789%20x", "00" + NUMBER):
        yield "GET", f"/v1/contacts/phone/{number}", {}
    for channel, purpose in product(("email", "whatsapp", "pigeon", ""), ("", "&purpose=transactional", "&purpose=x")):
        yield "GET", f"{one}/sendability?channel={channel}{purpose}", {}
    yield "GET", f"{one}/sendability", {}
    yield "GET", f"{one}/sendability?channel=email&channel=sms", {}
    yield "GET", f"{one}/sendability?channel=email&more=1", {}
    yield "GET", f"/v1/contacts/{NOBODY}/sendability?channel=email", {}
    identifiers = [
        [{"type": "phone", "value": PHONE}],
        [{"type": "phone", "value": "+62 812-3456-7890"}, {"type": "email", "value": EMAIL.upper()}],
        [{"type": "email", "value": EMAIL}, {"type": "email", "value": "other@example.com"}],
        [{"type": "external_id", "source": "shop", "value": "c2"}],
        [{"type": "external_id", "value": "c2"}],
        [{"type": "contact_id", "value": one.rpartition("/")[2]}],
        [{"type": "wa_id", "value": NUMBER}],
        [{"type": "whatsapp", "value": "US.abc"}],
        [{"type": "email", "value": "nobody"}, {"type": "phone", "value": "x"}],
        [{"type": "email", "value": "nobody@example.com"}],
        [{"type": "email", "value": "ané@example.com"}],
        [{"type": "pigeon", "value": "1"}],
        [{"type": "phone", "value": 1}],
        [{"type": "phone", "value": "1" * 20_000}],
        [],
    ]
    for path, given in product(("resolve", "lookup"), identifiers):
        yield "POST", f"/v1/contacts/{path}", {"json": {"identifiers": given}}
    yield "POST", "/v1/contacts/resolve", {"json": {"identifiers": identifiers[0], "more": 1}}
    for body, kind in product((b"{}", b"[", b"", b"[]", b'{"identifiers": NaN}'), ("application/json", "text/plain")):
        yield "POST", "/v1/contacts/resolve", {"content": body, "headers": {"content-type": kind}}
    for given in identifiers[:4]:
        yield "POST", "/v1/contacts/resolve?explain=true", {"json": {"identifiers": given}}
    yield "GET", "/v1/contacts/resolve", {}
    yield "HEAD", one, {}
    yield "OPTIONS", one, {}


def told(answer):
    """Return an answer without what differs from request to request."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("x-request-id", "ratelimit-remaining", "ratelimit-reset")
    }
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
        return answer.status_code, headers | {"content-length": ""}, body, answer.status_code != 200 or answer.content
    return answer.status_code, headers, body, answer.content


def test_every_answer_is_that_of_the_framework(people, client, counted, monkeypatch):
    given = list(requests(*people))
    here = [told(client.request(method, url, **rest)) for method, url, rest in given]
    plain = len(counted)
    assert plain > 20

    async def no_plain_case(*_):
        return None

    monkeypatch.setattr(Reads, "_answer", no_plain_case)
    there = [told(client.request(method, url, **rest)) for method, url, rest in given]

    assert len(counted) == plain
    for request, mine, theirs in zip(given, here, there, strict=True):
        assert mine == theirs, request


def test_a_key_that_may_not_read_is_refused(people, app, a_key):
    assert Client(app, {"X-Api-Key": a_key("channels:lookup")}).get(people[0]).status_code == 403


def test_nobody_sees_the_contacts_of_another_organization(people, app, a_key):
    stranger = Client(app, {"X-Api-Key": a_key(organization="other")})

    assert stranger.get(people[0]).status_code == 404
    assert stranger.get(f"/v1/contacts/phone/{NUMBER}").status_code == 404
    assert stranger.get(f"{people[0]}/sendability?channel=email").status_code == 404
    body = {"identifiers": [{"type": "email", "value": EMAIL}]}
    assert stranger.post("/v1/contacts/resolve", json=body).status_code == 404


def test_the_id_of_a_contact_that_was_merged_away_answers_with_the_one_it_became(say, client):
    say("shop", a_profile("c1", phone=PHONE, name="Léa", created=1))
    say("crm", a_profile("c7", email=EMAIL, name="Léa", created=2))
    former = url_of(client, "crm", "c7")
    say("crm", a_profile("c7", phone=PHONE, email=EMAIL, name="Léa", created=2, at=5), minute=90)

    assert client.get(former).json() == client.get(url_of(client, "shop", "c1")).json()
    verdict = client.get(f"{former}/sendability?channel=email").json()["data"]
    assert verdict["contact_id"] == client.get(former).json()["data"]["id"]
