"""The requests that each method of the client sends, and the answers that it reads; both clients do the same."""

import asyncio
import inspect
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.wazapin import (
    AsyncContacts,
    Contacts,
    Identifier,
    wire,
)

URL = "https://api.example.com"
KEY = "wzp_secret"
CONTACT = {"data": {"id": "cnt_1"}}
EMPTY = {"data": [], "meta": {"next_cursor": None}}
JAKARTA = timezone(timedelta(hours=7))


class Server:
    """Gives these answers in turn, the last one for ever, and keeps the requests.

    An answer is a body (then it is a 200), ``(status, body)``, ``(status, body, headers)`` or an error.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = (*answer, None)[:3] if isinstance(answer, tuple) else (200, answer, None)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers=headers)


def wait(server, action, base_url=URL, **settings):
    with Contacts(base_url, KEY, transport=httpx.MockTransport(server), **settings) as contacts:
        answer = action(contacts)
        return list(answer) if isinstance(answer, Iterator) else answer


def await_(server, action, base_url=URL, **settings):
    async def run():
        async with AsyncContacts(base_url, KEY, transport=httpx.MockTransport(server), **settings) as contacts:
            answer = action(contacts)
            return [item async for item in answer] if hasattr(answer, "__aiter__") else await answer

    return asyncio.run(run())


@pytest.fixture(params=[wait, await_])
def run(request):
    """Either client; the test does not know which."""
    return request.param


ENDPOINTS = [
    pytest.param(
        lambda c: c.upsert(phone_number="+628", name=None, custom_fields={"tier": None}, tags=["vip"]),
        "POST /v1/contacts",
        {"phone_number": "+628", "name": None, "custom_fields": {"tier": None}, "tags": ["vip"]},
        CONTACT,
        id="upsert",
    ),
    pytest.param(
        lambda c: c.upsert_many([{"phone_number": "+628", "name": None}, {"email": "a@b.c"}]),
        "POST /v1/contacts/batch",
        {"contacts": [{"phone_number": "+628", "name": None}, {"email": "a@b.c"}]},
        {"data": []},
        id="upsert_many",
    ),
    pytest.param(
        lambda c: c.resolve_many([[Identifier.phone("+628")], [Identifier.external("shop", "1")]]),
        "POST /v1/contacts/resolve/batch",
        {
            "contacts": [
                {"identifiers": [{"type": "phone", "value": "+628"}]},
                {"identifiers": [{"type": "external_id", "value": "1", "source": "shop"}]},
            ]
        },
        {"data": []},
        id="resolve_many",
    ),
    pytest.param(lambda c: c.list(), "GET /v1/contacts", None, EMPTY, id="list"),
    pytest.param(
        lambda c: c.list(
            cursor="c/1",
            limit=2,
            search="a b",
            phone_number="+628",
            email="a@b.c",
            external_source="shopify",
            external_id="1",
            tag="a&b",
            updated_after=datetime(2026, 1, 2, 10, tzinfo=JAKARTA),
            created_after=None,
        ),
        "GET /v1/contacts?limit=2&search=a+b&phone_number=%2B628&email=a%40b.c&external_source=shopify&external_id=1"
        "&tag=a%26b&updated_after=2026-01-02T03%3A00%3A00Z&cursor=c%2F1",
        None,
        EMPTY,
        id="list-filtered",
    ),
    pytest.param(
        lambda c: c.all(updated_after=datetime(2026, 1, 2, tzinfo=UTC), include="removed"),
        "GET /v1/contacts?updated_after=2026-01-02T00%3A00%3A00Z&include=removed",
        None,
        EMPTY,
        id="all-feed",
    ),
    pytest.param(
        lambda c: c.all(created_after=datetime(2026, 1, 2, 0, 0, 0, 5, tzinfo=UTC)),
        "GET /v1/contacts?created_after=2026-01-02T00%3A00%3A00.000005Z",
        None,
        EMPTY,
        id="all",
    ),
    pytest.param(lambda c: c.get("cnt_1"), "GET /v1/contacts/cnt_1", None, CONTACT, id="get"),
    pytest.param(
        lambda c: c.patch("cnt_1", name=None, email="a@b.c"),
        "PATCH /v1/contacts/cnt_1",
        {"name": None, "email": "a@b.c"},
        CONTACT,
        id="patch",
    ),
    pytest.param(lambda c: c.delete("cnt_1"), "DELETE /v1/contacts/cnt_1", None, (204, b""), id="delete"),
    pytest.param(
        lambda c: c.delete("cnt_1", erase=True),
        "DELETE /v1/contacts/cnt_1?erase=true",
        None,
        (202, b""),
        id="delete-erase",
    ),
    pytest.param(lambda c: c.by_phone("+628"), "GET /v1/contacts/phone/%2B628", None, CONTACT, id="by_phone"),
    pytest.param(
        lambda c: c.resolve(
            Identifier.contact("cnt_1"),
            Identifier.phone("+628"),
            Identifier.whatsapp("628"),
            Identifier.email("a@b.c"),
            Identifier.external("shopify", "cust_123"),
            Identifier("line", "U1"),
        ),
        "POST /v1/contacts/resolve",
        {
            "identifiers": [
                {"type": "contact_id", "value": "cnt_1"},
                {"type": "phone", "value": "+628"},
                {"type": "whatsapp", "value": "628"},
                {"type": "email", "value": "a@b.c"},
                {"type": "external_id", "value": "cust_123", "source": "shopify"},
                {"type": "line", "value": "U1"},
            ]
        },
        CONTACT,
        id="resolve",
    ),
    pytest.param(lambda c: c.identities("cnt_1"), "GET /v1/contacts/cnt_1/identities", None, EMPTY, id="identities"),
    pytest.param(lambda c: c.notes("cnt_1"), "GET /v1/contacts/cnt_1/notes", None, EMPTY, id="notes"),
    pytest.param(
        lambda c: c.add_note("cnt_1", "called"),
        "POST /v1/contacts/cnt_1/notes",
        {"body": "called"},
        {"data": {"id": "n1"}},
        id="add_note",
    ),
    pytest.param(
        lambda c: c.add_note("cnt_1", "called", author_name="Ani"),
        "POST /v1/contacts/cnt_1/notes",
        {"body": "called", "author_name": "Ani"},
        {"data": {"id": "n1"}},
        id="add_note-signed",
    ),
    pytest.param(lambda c: c.tags("cnt_1"), "GET /v1/contacts/cnt_1/tags", None, EMPTY, id="tags"),
    pytest.param(
        lambda c: c.add_tags("cnt_1", "vip", "a/b"),
        "POST /v1/contacts/cnt_1/tags",
        {"tags": ["vip", "a/b"]},
        EMPTY,
        id="add_tags",
    ),
    pytest.param(
        lambda c: c.remove_tag("cnt_1", "50% a/b?#é"),
        "DELETE /v1/contacts/cnt_1/tags/50%25%20a%2Fb%3F%23%C3%A9",
        None,
        (204, b""),
        id="remove_tag",
    ),
    pytest.param(
        lambda c: c.put_consent(
            "cnt_1",
            "whatsapp",
            "opted_in",
            purpose="transactional",
            occurred_at=datetime(2026, 1, 2, 10, tzinfo=JAKARTA),
            expires_at=None,
            evidence={"url": "https://x"},
        ),
        "PUT /v1/contacts/cnt_1/consent/whatsapp",
        {
            "status": "opted_in",
            "purpose": "transactional",
            "occurred_at": "2026-01-02T03:00:00Z",
            "expires_at": None,
            "evidence": {"url": "https://x"},
        },
        {"data": {}},
        id="put_consent",
    ),
    pytest.param(lambda c: c.consents("cnt_1"), "GET /v1/contacts/cnt_1/consents", None, EMPTY, id="consents"),
    pytest.param(
        lambda c: c.suppressions("cnt_1"), "GET /v1/contacts/cnt_1/suppressions", None, EMPTY, id="suppressions"
    ),
    pytest.param(
        lambda c: c.suppressions("cnt_1", include_lifted=True),
        "GET /v1/contacts/cnt_1/suppressions?include=lifted",
        None,
        EMPTY,
        id="suppressions-lifted",
    ),
    pytest.param(
        lambda c: c.suppress("cnt_1", "all", "manual", scope="marketing", active=False),
        "POST /v1/contacts/cnt_1/suppressions",
        {"channel": "all", "reason": "manual", "scope": "marketing", "active": False},
        {"data": {}},
        id="suppress",
    ),
    pytest.param(lambda c: c.timeline("cnt_1"), "GET /v1/contacts/cnt_1/timeline", None, EMPTY, id="timeline"),
    pytest.param(
        lambda c: c.timeline("cnt_1", limit=5), "GET /v1/contacts/cnt_1/timeline?limit=5", None, EMPTY, id="timeline-5"
    ),
    pytest.param(
        lambda c: c.sendability("cnt_1", "sms", "conversational"),
        "GET /v1/contacts/cnt_1/sendability?channel=sms&purpose=conversational",
        None,
        {"data": {}},
        id="sendability",
    ),
    pytest.param(
        lambda c: c.lookup_profile("wzp_1", Identifier("telegram", "7")),
        "POST /v1/channels/wzp_1/contacts/lookup",
        {"type": "telegram", "value": "7"},
        {"data": {}},
        id="lookup_profile",
    ),
    pytest.param(
        lambda c: c.lookup_profile("wzp_1", Identifier.contact("cnt_1"), refresh=True),
        "POST /v1/channels/wzp_1/contacts/lookup",
        {"contact_id": "cnt_1", "refresh": True},
        {"data": {}},
        id="lookup_profile-of-a-contact",
    ),
]


@pytest.mark.parametrize(("action", "line", "body", "answer"), ENDPOINTS)
def test_method_sends_what_the_endpoint_wants(run, action, line, body, answer):
    server = Server(answer)

    run(server, action)

    (request,) = server.requests
    assert f"{request.method} {request.url.raw_path.decode()}" == line
    assert (json.loads(request.content) if request.content else None) == body
    assert request.headers.get("content-type") == (body and "application/json")


def test_every_method_is_tried_above():
    methods = {name for name in vars(Contacts) if not name.startswith("_")} - {"close"}

    assert methods == {case.id.split("-")[0] for case in ENDPOINTS}


def test_the_twins_have_the_same_methods_parameters_and_words():
    def promises(kind):
        methods = {name: method for name, method in vars(kind).items() if not name.startswith("_")}
        return {
            name: (str(inspect.signature(method)).replace("AsyncIterator", "Iterator"), inspect.getdoc(method))
            for name, method in methods.items()
        }

    assert promises(Contacts) == promises(AsyncContacts)


def test_request_carries_key_and_names_its_sender(run):
    server = Server(CONTACT)

    run(server, lambda c: c.get("cnt_1"))

    headers = server.requests[0].headers
    assert headers["x-api-key"] == KEY
    assert headers["user-agent"].startswith("contactsync/0.")
    assert headers["accept"] == "application/json"


def test_etag_comes_with_a_contact_and_goes_with_its_change(run):
    server = Server((200, CONTACT, {"ETag": 'W/"7"'}))

    contact = run(server, lambda c: c.get("cnt_1"))
    run(server, lambda c: c.patch("cnt_1", if_match=contact.etag, name="B"))
    run(server, lambda c: c.patch("cnt_1", name="B"))

    assert server.requests[1].headers["if-match"] == 'W/"7"'
    assert "if-match" not in server.requests[2].headers


WRITES = {"upsert", "upsert_many", "add_note", "add_tags", "suppress"}


@pytest.mark.parametrize(
    ("action", "answer", "is_named"),
    [pytest.param(case.values[0], case.values[3], case.id.split("-")[0] in WRITES, id=case.id) for case in ENDPOINTS],
)
def test_writing_posts_are_named_once_each_and_nothing_else_is(run, action, answer, is_named):
    server = Server(answer)

    run(server, action)
    run(server, action)

    keys = [request.headers.get("idempotency-key") for request in server.requests]
    if is_named:
        assert all(len(key) == 32 for key in keys)
        assert keys[0] != keys[1]
    else:
        assert keys == [None, None]


def test_caller_may_name_a_write(run):
    server = Server({"data": {}})

    run(server, lambda c: c.add_note("cnt_1", "called", idempotency_key="call-7"))

    assert server.requests[0].headers["idempotency-key"] == "call-7"


@pytest.mark.parametrize("value", ["a b", "a\nX-Evil: 1", "é", "x" * 1001])
def test_header_that_would_break_the_request_is_refused_unseen(run, value):
    server = Server(CONTACT)

    for action in (lambda c: c.upsert(idempotency_key=value), lambda c: c.patch("cnt_1", if_match=value)):
        with pytest.raises(ValueError, match="must be printable ASCII") as caught:
            run(server, action)
        assert value not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_segment_that_leads_elsewhere_is_refused(run, segment):
    server = Server((204, b""))

    for action in (lambda c: c.delete(segment), lambda c: c.remove_tag("cnt_1", segment)):
        with pytest.raises(ValueError, match="neither empty nor dots"):
            run(server, action)
    assert server.requests == []


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..")))
def test_any_other_text_is_one_segment(text):
    with httpx.Client(base_url=URL, transport=httpx.MockTransport(Server(EMPTY))) as client:
        path = client.build_request("GET", wire.path("contacts", text, "tags")).url.raw_path.decode()

    assert [unquote(segment) for segment in path.split("/")] == ["", "v1", "contacts", text, "tags"]


def test_time_without_a_zone_is_refused(run):
    server = Server(EMPTY)
    unclear = datetime(2026, 1, 2)  # noqa: DTZ001 - the point

    for action in (
        lambda c: c.list(updated_after=unclear),
        lambda c: c.all(updated_after=unclear),
        lambda c: c.put_consent("cnt_1", "sms", "opted_in", occurred_at=unclear),
    ):
        with pytest.raises(ValueError, match="must say its zone"):
            run(server, action)
    assert server.requests == []


@pytest.mark.parametrize("base_url", [URL, f"{URL}/", f"{URL}/crm", f"{URL}/crm/"])
def test_base_url_may_have_a_path(run, base_url):
    server = Server(CONTACT)

    run(server, lambda c: c.by_phone("+628"), base_url)

    assert str(server.requests[0].url) == f"{base_url.rstrip('/')}/v1/contacts/phone/%2B628"


@pytest.mark.parametrize("client", [Contacts, AsyncContacts])
@pytest.mark.parametrize("base_url", ["", "api.example.com", "ftp://x", "https://", f"{URL}/v1", f"{URL}/v1/"])
def test_base_url_that_cannot_work_is_refused(client, base_url):
    with pytest.raises(ValueError, match="base_url"):
        client(base_url, KEY)


@pytest.mark.parametrize("client", [Contacts, AsyncContacts])
def test_key_is_shown_nowhere(client):
    assert KEY not in repr(client(URL, KEY))
    for key in ("", "wzp_\u00e9secret", "wzp_secret\nX: 1"):
        with pytest.raises(ValueError, match="api_key") as caught:
            client(URL, key)
        assert "secret" not in str(caught.value)


def test_key_read_from_a_file_works():
    server = Server(CONTACT)

    with Contacts(URL, f"{KEY}\n", transport=httpx.MockTransport(server)) as contacts:
        contacts.get("cnt_1")

    assert server.requests[0].headers["x-api-key"] == KEY


def test_client_waits_as_long_as_told_and_no_longer_works_once_closed():
    server = Server(CONTACT)

    with Contacts(URL, KEY, timeout=2.5, transport=httpx.MockTransport(server)) as contacts:
        contacts.get("cnt_1")

    assert set(server.requests[0].extensions["timeout"].values()) == {2.5}
    with pytest.raises(RuntimeError, match="closed"):
        contacts.get("cnt_1")


def test_asyncio_client_no_longer_works_once_closed():
    async def run():
        async with AsyncContacts(URL, KEY, transport=httpx.MockTransport(Server(CONTACT))) as contacts:
            pass
        await contacts.get("cnt_1")

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(run())
