"""Concurrent use of the Contacts API: clients and webhooks about the same people lose and duplicate nothing."""

import asyncio
import itertools
import os
import random
import threading
import uuid
from collections import Counter, defaultdict
from contextlib import contextmanager

import httpx
import pytest

from connectors.shopify.simulator.shop import signed
from connectors.simulation.people import people
from tests.flows.stack import CONCURRENCY, wait_until

SEED = 11
#: How many people the requests are about. More take longer and must give the same result.
PEOPLE = int(os.environ.get("FLOW_PEOPLE", "50"))
#: Requests about each person from each source.
UPSERTS = int(os.environ.get("FLOW_UPSERTS", "2"))

DOMAIN, SECRET = "s.myshopify.com", "secret"


@pytest.fixture
def organization():
    return f"many-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client(stack, organization):
    with stack.client(organization) as client:
        yield client


def data(answer, *expected):
    assert answer.status_code in (expected or (200,)), answer.text
    return answer.json()["data"]


def at_once(client, calls):
    """Send requests from many clients at the same time; return the answers in the order of the requests."""
    answers = [None] * len(calls)
    waiting = iter(enumerate(calls))

    async def work():
        headers = {name: client.headers[name] for name in ("x-api-key",)}
        async with httpx.AsyncClient(
            base_url=client.base_url, headers=headers, timeout=60, trust_env=False
        ) as one_of_many:
            for position, (method, path, request) in waiting:
                answers[position] = await one_of_many.request(method, path, **request)

    async def main():
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    asyncio.run(main())
    return answers


def one_by_one(client, calls):
    return [client.request(method, path, **request) for method, path, request in calls]


def upserts(rng):
    """Return requests of two systems about the same people, with parts of each profile; the systems agree."""
    calls, sent = [], defaultdict(lambda: {"custom_fields": {}, "tags": set()})
    for number, person in enumerate(people(SEED, PEOPLE)):
        known = sent[person.email]
        known |= {"name": f"{person.first_name} {person.last_name}", "phone_number": person.phone}
        for source, external_id in (("crm", f"c{number}"), ("shop", str(1000 + number))):
            for turn in range(UPSERTS):
                fields = {f"{source} {turn}": rng.randrange(10**6), "tier": "premium"}
                body = {"external_source": source, "external_id": external_id, "custom_fields": fields}
                # At least one request has the phone number, which links the customers of the two systems.
                body |= {"phone_number": person.phone} if turn == 0 or rng.random() < 0.4 else {}
                body |= {"email": person.email} if turn == 1 or rng.random() < 0.4 else {}
                body |= {"name": known["name"]} if turn == 1 or rng.random() < 0.4 else {}
                body |= {"tags": [f"{source}-{turn}", "known"]} if rng.random() < 0.5 else {}
                known["custom_fields"] |= fields
                known["tags"] |= set(body.get("tags", ()))
                calls.append(("POST", "/v1/contacts", {"json": body}))
    return calls, sent


def webhooks(hook, sent):
    """Return webhooks of the shop about the same people, dated years ago, so that the requests outrank them."""
    calls = []
    for number, person in enumerate(people(SEED, PEOPLE)):
        for month in (1, 2):
            body = {
                "id": 1000 + number,
                "created_at": "2024-01-01T00:00:00Z",
                "updated_at": f"2024-0{month}-01T00:00:00Z",
                "first_name": person.first_name,
                "last_name": person.last_name,
                "email": person.email,
                "phone": person.phone,
                "note": f"{month}",
            }
            delivery = signed(body, SECRET, domain=DOMAIN, sent_at=f"2024-0{month}-01T00:00:01.000000000Z")
            calls.append(("POST", hook, {"content": delivery.body, "headers": delivery.headers}))
        sent[person.email]["custom_fields"] |= {"note": "2"}
    return calls


def test_many_clients_and_a_shop_leave_what_one_client_leaves(stack, organization, client):
    rng = random.Random(SEED)
    calls, sent = upserts(rng)
    alone = f"{organization}-alone"
    hooks = {
        name: stack.connect(DOMAIN, secret=SECRET, source="shop", organization=name) for name in (organization, alone)
    }
    many = calls + webhooks(hooks[organization], sent)
    one = calls + webhooks(hooks[alone], sent)
    rng.shuffle(many)
    rng.shuffle(one)

    answers = at_once(client, many)
    with stack.client(alone) as other:
        in_turn = one_by_one(other, one)
    stack.settled(organization)
    stack.settled(alone)

    assert Counter(answer.status_code for answer in answers).keys() <= {200, 201}
    assert Counter(answer.status_code for answer in in_turn).keys() <= {200, 201}
    assert_all_is_there(stack, organization, client, sent)
    assert stack.export(organization) == stack.export(alone)


def assert_all_is_there(stack, organization, client, sent):
    contacts = every_contact(client)
    assert len(contacts) == PEOPLE
    for contact in contacts:
        known = sent[contact["email"]]
        assert (contact["name"], contact["phone_number"]) == (known["name"], known["phone_number"])
        assert known["custom_fields"].items() <= contact["custom_fields"].items()
        assert known["tags"] <= set(contact["tags"])
    seen = Counter()
    for answer in at_once(client, [("GET", f"/v1/contacts/{contact['id']}/identities", {}) for contact in contacts]):
        seen.update((row["type"], row["source"], row["value"]) for row in data(answer))
    assert len(seen) == 4 * PEOPLE  # a phone number, an e-mail address and an external id of each system
    assert set(seen.values()) == {1}
    assert stack.rows(CLAIMED_BY_SEVERAL, organization) == []
    assert stack.rows(NOT_OWNED_ONCE, organization) == []


CLAIMED_BY_SEVERAL = """
    SELECT k.type, k.key FROM claims k
      JOIN records r ON r.organization_id = k.organization_id AND r.id = k.record_id
     WHERE k.organization_id = :organization_id
     GROUP BY k.type, k.key HAVING count(DISTINCT r.contact_id) > 1 OR bool_or(k.is_contested)
"""
NOT_OWNED_ONCE = """
    SELECT type, key FROM claims WHERE organization_id = :organization_id
     GROUP BY type, key HAVING count(*) FILTER (WHERE is_owner) <> 1
"""


def every_contact(client, **filters):
    """Return all contacts, page by page."""
    found, query = [], {"limit": 100, **filters}
    while True:
        page = client.get("/v1/contacts", params=query).json()
        found += page["data"]
        if page["meta"]["next_cursor"] is None:
            return found
        query["cursor"] = page["meta"]["next_cursor"]


def test_edits_of_different_fields_at_once_are_all_kept(client):
    contact = data(client.post("/v1/contacts", json={"external_source": "shop", "external_id": "1"}), 201)
    url = f"/v1/contacts/{contact['id']}"
    fields = {f"field {n}": n for n in range(30)}
    plain = {"name": "Edited", "email": "edited@example.com", "phone_number": "+6281234567890"}
    calls = [("PATCH", url, {"json": {"custom_fields": {name: value}}}) for name, value in fields.items()]
    calls += [("PATCH", url, {"json": {name: value}}) for name, value in plain.items()]
    calls += [("POST", f"{url}/tags", {"json": {"name": f"tag {n}"}}) for n in range(5)]
    calls += [("POST", f"{url}/notes", {"json": {"body": f"note {n}"}}) for n in range(5)]
    random.Random(SEED).shuffle(calls)

    answers = at_once(client, calls)

    assert Counter(answer.status_code for answer in answers) == {200: 33, 201: 10}
    now = data(client.get(url))
    assert now["custom_fields"] == fields
    assert plain.items() <= now.items()
    assert now["tags"] == [f"tag {n}" for n in range(5)]
    assert sorted(note["body"] for note in data(client.get(f"{url}/notes"))) == [f"note {n}" for n in range(5)]
    for answer, (method, _, request) in zip(answers, calls, strict=True):
        if method == "PATCH":  # each answer shows the edit of its request
            given, shown = dict(request["json"]), answer.json()["data"]
            assert given.pop("custom_fields", {}).items() <= shown["custom_fields"].items()
            assert given.items() <= shown.items()


def test_of_edits_with_the_same_etag_one_takes_effect(client):
    created = client.post("/v1/contacts", json={"email": "one@example.com"})
    url, state = created.headers["location"], {"If-Match": created.headers["etag"]}

    answers = at_once(
        client, [("PATCH", url, {"json": {"name": f"{n}"}, "headers": state}) for n in range(CONCURRENCY)]
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CONCURRENCY - 1}
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    assert data(client.get(url)) == data(winner)


@pytest.mark.parametrize(
    "body",
    [
        {"phone_number": "+6281234567890", "name": "Ujang"},
        {"external_source": "shop", "external_id": "1", "email": "one@example.com"},
    ],
)
def test_the_same_idempotency_key_at_once_makes_one_contact_and_one_answer(stack, organization, client, body):
    once = {"json": body, "headers": {"Idempotency-Key": "once"}}

    answers = at_once(client, [("POST", "/v1/contacts", once)] * 2 * CONCURRENCY)

    assert {(answer.status_code, answer.content, answer.headers["etag"]) for answer in answers} == {
        (201, answers[0].content, answers[0].headers["etag"])
    }
    assert every_contact(client) == [data(answers[0], 201)]
    assert len(stack.rows("SELECT FROM envelopes WHERE organization_id = :organization_id", organization)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"phone_number": "+6281234567890", "name": "Ujang"},
        {"external_source": "shop", "external_id": "1", "email": "one@example.com"},
    ],
)
def test_the_same_person_created_many_times_at_once_is_one_contact(client, body):
    answers = at_once(client, [("POST", "/v1/contacts", {"json": body})] * 2 * CONCURRENCY)

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 2 * CONCURRENCY - 1}
    (contact,) = every_contact(client)
    assert {data(answer, 200, 201)["id"] for answer in answers} == {contact["id"]}


@contextmanager
def writing(client, *calls):
    """Repeat these calls from a thread each until the block ends; a call gets a running number."""
    ended, failures, written = threading.Event(), [], Counter()

    def write(call, first):
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60, trust_env=False) as mine:
            number = first
            while not ended.is_set():
                answer = call(mine, number)
                written[first] += 1
                if answer.status_code >= 400:
                    failures.append(answer.text)
                number += len(calls)

    threads = [threading.Thread(target=write, args=(call, first)) for first, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: min(written[first] for first in range(len(calls)))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []


def walk(client, turn):
    """Return all contacts page by page, newest first; call ``turn`` between two pages."""
    found, cursor = [], None
    while True:
        page = client.get("/v1/contacts", params={"limit": 5} | ({"cursor": cursor} if cursor else {})).json()
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            return found
        turn()


def a_crowd(client, count, source="shop"):
    """Make contacts of one source."""
    bodies = [
        {"external_source": source, "external_id": f"{n:03}", "email": f"{n:03}@example.com"} for n in range(count)
    ]
    answers = at_once(client, [("POST", "/v1/contacts", {"json": body}) for body in bodies])
    return [data(answer, 201) for answer in answers]


def edit(contacts):
    def call(client, number):
        return client.patch(f"/v1/contacts/{contacts[number % len(contacts)]['id']}", json={"name": f"Edit {number}"})

    return call


def repeat(contacts):
    def call(client, number):
        contact = contacts[number * 7 % len(contacts)]
        pair = {name: contact[name] for name in ("external_source", "external_id")}
        return client.post("/v1/contacts", json={**pair, "custom_fields": {"number": number}})

    return call


def make_another(client, number):
    created = client.post("/v1/contacts", json={"email": f"new-{number}@example.com"})
    return client.delete(created.headers["location"]) if number % 2 else created


def test_the_pages_show_everybody_once_while_others_write(client):
    crowd = a_crowd(client, 40)

    with writing(client, edit(crowd), make_another, repeat(crowd), make_another) as least_written:

        def turn():
            before = least_written()
            wait_until(lambda: least_written() > before, 30)

        found = walk(client, turn)

    ids = Counter(contact["id"] for contact in found)
    assert {ids[contact["id"]] for contact in crowd} == {1}
    assert set(ids.values()) == {1}
    assert least_written() >= 8  # each writer wrote between any two pages


def test_the_pages_show_contacts_that_another_source_joins_meanwhile(client):
    emails = [f"{n:02}@example.com" for n in range(12)]
    for email in emails:
        body = {"external_source": "shop", "external_id": email, "email": email}
        assert client.post("/v1/contacts", json=body).status_code == 201
    joining = iter(emails)  # the oldest first: they are on the last page

    def join_two():
        for email in (next(joining), next(joining)):
            body = {"external_source": "crm", "external_id": email, "email": email}
            assert client.post("/v1/contacts", json=body).status_code in (200, 201)

    found = walk(client, join_two)

    assert len(every_contact(client)) == len(emails)
    assert Counter(contact["email"] for contact in found) == Counter(emails)


def test_the_feed_misses_no_change_while_others_write(client):
    crowd = a_crowd(client, 20)
    rng = random.Random(SEED)
    channels, reasons = ("email", "whatsapp", "sms"), ("manual", "unsubscribed", "blocked")
    state = {"seen": {}, "order": [], "query": {"updated_after": "2020-01-01T00:00:00Z"}}

    def url(number):
        return f"/v1/contacts/{crowd[number * 3 % len(crowd)]['id']}"

    def consent(client, number):
        return client.put(
            f"{url(number)}/consent/{channels[number % 3]}", json={"status": rng.choice(("opt_in", "opt_out"))}
        )

    def suppress(client, number):
        body = {"channel": "email", "reason": reasons[number % 3], "active": True}
        return client.post(f"{url(number)}/suppressions", json=body)

    def note(client, number):
        return client.post(f"{url(number)}/notes", json={"body": f"{number}"})

    def tag(client, number):
        return client.post(f"{url(number)}/tags", json={"name": f"{number % 9}"})

    def follow():
        page = client.get("/v1/contacts", params={**state["query"], "limit": 10}).json()
        for contact in page["data"]:
            state["seen"][contact["id"]] = contact
            state["order"].append((contact["updated_at"], contact["id"]))
        if page["meta"]["next_cursor"]:
            state["query"] = {"cursor": page["meta"]["next_cursor"]}
        return len(page["data"])

    calls = (edit(crowd), repeat(crowd), consent, suppress, note, tag, make_another, edit(crowd))
    with writing(client, *calls) as least_written:
        wait_until(lambda: follow() < 0 or least_written() >= 15, 60)
    final = {contact["id"]: contact for contact in every_contact(client)}

    def is_in_step():
        return follow() == 0 and {id_: state["seen"].get(id_) for id_ in final} == final

    wait_until(is_in_step, 10)
    assert len(final) > len(crowd)
    assert len(state["order"]) > 2 * len(final)
    assert len(set(state["order"])) == len(state["order"])
    assert [at for at, _ in state["order"]] == sorted(at for at, _ in state["order"])


def come_and_go(email):
    """Create a contact and delete it, in turns; each time it has the same id."""
    made = []

    def call(client, _):
        if made:
            return client.delete(f"/v1/contacts/{made.pop()}")
        created = client.post("/v1/contacts", json={"email": email})
        made.append(created.json()["data"]["id"])
        return created

    return call


def meet_and_part(number, email):
    """Give a customer of another source the e-mail of a contact, which joins them, and one of its own, in turns."""
    turns = itertools.cycle([email, f"own-{email}"])

    def call(client, _):
        body = {"external_source": "crm", "external_id": f"met-{number}", "email": next(turns)}
        return client.post("/v1/contacts", json=body)

    return call


def test_a_mirror_holds_what_the_store_holds_while_contacts_come_and_go(client):
    crowd = a_crowd(client, 12)
    mirror, times, gone = {}, {}, Counter()
    query = {"updated_after": "2020-01-01T00:00:00Z"}

    def follow():
        page = client.get("/v1/contacts", params={**query, "include": "removed", "limit": 7}).json()
        for row in page["data"]:
            assert row["updated_at"] > times.get(row["id"], "")
            times[row["id"]] = row["updated_at"]
            if row.get("removed"):
                gone[row["merged_into"] is not None] += 1
                mirror.pop(row["id"], None)
            else:
                mirror[row["id"]] = row
        if page["meta"]["next_cursor"]:
            query.clear()
            query["cursor"] = page["meta"]["next_cursor"]
        return len(page["data"])

    calls = [come_and_go(f"again-{n}@example.com") for n in range(3)]
    calls += [meet_and_part(n, crowd[n]["email"]) for n in range(3)]
    with writing(client, *calls, edit(crowd)) as least_written:
        wait_until(lambda: follow() < 0 or least_written() >= 15, 60)
    final = {contact["id"]: contact for contact in every_contact(client)}

    wait_until(lambda: follow() == 0 and mirror == final, 10)
    assert min(gone[False], gone[True]) >= 3
