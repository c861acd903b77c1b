"""Many contacts in one request: each row is answered as it would be alone."""

import pytest
from sqlalchemy import text

from tests.worker.api.conftest import EMAIL, PHONE, Client
from worker.api import lines
from worker.api.errors import ApiError

OTHER = "+6281234567891"


@pytest.fixture
def client(app, a_key):
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


def upsert(client, *rows, **headers):
    answer = client.post("/v1/contacts/batch", json={"contacts": list(rows)}, headers=headers)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [row["index"] for row in data] == list(range(len(rows)))
    return data


def statuses(data):
    assert all(("contact" in row) == (row["status"] < 300) != ("error" in row) for row in data)
    return [row["status"] for row in data]


def test_rows_are_created_and_updated_and_refused_each_by_itself(client):
    client.post("/v1/contacts", json={"email": EMAIL})

    data = upsert(
        client,
        {"phone_number": PHONE, "name": "Ujang"},
        {"phone_number": "no number"},
        {"email": EMAIL, "name": "Known"},
        {"phone_number": PHONE, "email": EMAIL},
        "no object",
        {},
        {"external_source": "shop", "external_id": "1", "tags": ["vip"]},
    )

    assert statuses(data) == [201, 422, 200, 409, 422, 422, 201]
    assert data[1]["error"]["details"][0]["field"] == "phone_number"
    assert data[3]["error"]["code"] == "conflict"
    assert {row["name"] for row in client.get("/v1/contacts").json()["data"]} == {"Ujang", "Known", None}
    for row in data:
        if "contact" in row:
            assert client.get(f"/v1/contacts/{row['contact']['id']}").json()["data"] == row["contact"]


def test_rows_about_one_person_apply_in_their_order(client):
    rows = []
    for n in range(5):
        rows += [{"phone_number": PHONE, "name": f"{n}"}, {"email": f"{n}@example.com"}]
    rows += [{"phone_number": PHONE, "email": EMAIL, "name": "With address"}, {"email": EMAIL, "name": "Last"}]

    data = upsert(client, *rows)

    assert statuses(data)[::2] == [201, 200, 200, 200, 200, 200]
    assert [row["contact"]["name"] for row in data[::2]] == ["0", "1", "2", "3", "4", "With address"]
    assert data[-1]["contact"]["name"] == "Last"
    assert data[-1]["contact"]["phone_number"] == PHONE


def test_a_large_batch_is_whole(client, monkeypatch):
    monkeypatch.setattr(lines, "_MOST_OF_A_BLOCK", 7)

    data = upsert(client, *({"email": f"{n}@example.com", "name": f"{n}"} for n in range(60)))

    assert statuses(data) == [201] * 60
    assert [row["contact"]["name"] for row in data] == [f"{n}" for n in range(60)]


def test_one_key_covers_all_rows(client):
    rows = [{"phone_number": PHONE, "name": "Once"}, {"phone_number": "no number"}, {"phone_number": OTHER}]
    body, once = {"contacts": rows}, {"Idempotency-Key": "once"}
    first = client.post("/v1/contacts/batch", json=body, headers=once)
    client.post("/v1/contacts", json={"phone_number": PHONE, "name": "Later"})

    second = client.post("/v1/contacts/batch", json=body, headers=once)

    assert second.content == first.content
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert client.get(f"/v1/contacts/phone/{PHONE}").json()["data"]["name"] == "Later"
    other = client.post("/v1/contacts/batch", json={"contacts": rows[:1]}, headers=once)
    assert other.status_code == 409
    assert client.post("/v1/contacts", json=rows[0], headers=once).status_code == 409


def test_a_refused_row_is_refused_again_under_its_key(client):
    for body in ({"phone_number": PHONE}, {"email": EMAIL}):
        created = client.post("/v1/contacts", json=body)
    once = {"Idempotency-Key": "once"}
    first = upsert(client, {"phone_number": PHONE, "email": EMAIL}, {"phone_number": OTHER}, **once)
    client.request("DELETE", created.headers["location"])

    again = upsert(client, {"phone_number": PHONE, "email": EMAIL}, {"phone_number": OTHER}, **once)

    assert again == first
    assert statuses(first) == [409, 201]


def test_a_request_that_was_cut_off_goes_on_where_it_ended(client, monkeypatch):
    rows = [{"phone_number": PHONE, "name": "First"}, {"phone_number": OTHER, "name": "Second"}]
    once = {"Idempotency-Key": "once"}
    whole = lines.perform_all

    async def cut_off(members):
        await whole(members[:1])
        raise ApiError(503, "the process ends here")

    monkeypatch.setattr(lines, "perform_all", cut_off)
    assert client.post("/v1/contacts/batch", json={"contacts": rows}, headers=once).status_code == 503
    monkeypatch.setattr(lines, "perform_all", whole)
    client.post("/v1/contacts", json={"phone_number": PHONE, "name": "Between"})

    data = upsert(client, *rows, **once)

    assert statuses(data) == [201, 201]
    assert client.get(f"/v1/contacts/phone/{PHONE}").json()["data"]["name"] == "Between"


def test_the_answer_about_somebody_who_was_erased_is_not_given_again(client, engine):
    rows, once = [{"phone_number": PHONE}, {"phone_number": OTHER}], {"Idempotency-Key": "once"}
    first = upsert(client, *rows, **once)
    erased = f"/v1/contacts/{first[0]['contact']['id']}?erase=true"
    assert client.request("DELETE", erased).status_code == 204

    again = upsert(client, *rows, **once)

    assert statuses(again) == [409, 201]
    with engine.connect() as conn:
        kept = conn.execute(text("SELECT body FROM idempotency_keys")).scalars().all()
    assert not any(PHONE.encode() in bytes(body) for body in kept)


def test_each_row_counts_against_the_limit_of_the_key(client, monkeypatch):
    charged = []

    class Limiter:
        def spend(self, _key_id, allowed, cost=1):
            charged.append(cost)
            if sum(charged) > 5:
                raise ApiError(429, "too many requests with this key", headers={"Retry-After": "9"})
            return {"RateLimit-Remaining": str(5 - sum(charged))}

        def settle_soon(self):
            pass

    monkeypatch.setattr("worker.api.auth.limiter", Limiter)
    rows = {"contacts": [{"email": f"{n}@example.com"} for n in range(3)]}

    first = client.post("/v1/contacts/batch", json=rows)
    second = client.post("/v1/contacts/batch", json=rows)

    assert (first.status_code, first.headers["ratelimit-remaining"]) == (200, "2")
    assert second.status_code == 429
    assert charged == [1, 2, 1, 2]


def test_a_batch_has_one_to_a_thousand_rows(client):
    for rows in ([], [{"phone_number": PHONE}] * 1001):
        answer = client.post("/v1/contacts/batch", json={"contacts": rows})
        assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "contacts")


@pytest.mark.parametrize("path", ["batch", "resolve/batch"])
def test_only_post_is_taken(client, path):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = client.request(method, f"/v1/contacts/{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_many_are_resolved_each_as_alone(client):
    for body in ({"phone_number": PHONE}, {"email": EMAIL}):
        client.post("/v1/contacts", json=body)
    phone, email = {"type": "phone", "value": PHONE}, {"type": "email", "value": EMAIL}
    rows = [
        {"identifiers": [phone]},
        {"identifiers": [phone, email]},
        {"identifiers": [{"type": "email", "value": "nobody@example.com"}]},
        {"identifiers": [{"type": "external_id", "value": "1"}]},
        {"identifiers": [{"type": "phone", "value": "no number"}]},
        7,
    ]

    data = client.post("/v1/contacts/resolve/batch", json={"contacts": rows}).json()["data"]

    assert statuses(data) == [200, 409, 404, 422, 404, 422]
    for row, answered in zip(rows[:5], data, strict=False):
        alone = client.post("/v1/contacts/resolve", json=row)
        shown = alone.json()
        if alone.status_code == 200:
            assert answered["contact"] == shown["data"]
        else:
            same = ("status", "error", "code", "details")
            assert [answered["error"].get(name) for name in same] == [shown.get(name) for name in same]
