"""Two organizations in one store: the key of one never shows or changes data of the other."""

import hashlib
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from connectors.shopify.simulator.shop import BEGIN, signed
from tests.flows.stack import wait_until
from worker import ids
from worker.store import channels, connections, db, organizations
from worker.store.db import Tx

#: Part of every free text of B.
MARK = "belongs-to-b"
PHONE, EMAIL = "+6281234567890", f"ujang.{MARK}@example.com"
TELEGRAM = "5550001111"
DOMAIN, SECRET = "s.myshopify.com", "secret"
UJANG = {
    "phone_number": PHONE,
    "name": f"Ujang {MARK}",
    "email": EMAIL,
    "external_source": "shopify",
    "external_id": "71",
    "custom_fields": {MARK: MARK},
    "tags": [MARK],
}

#: Tables with an organization_id that row-level security does not guard, and the reason.
UNGUARDED = {"api_keys": "read to learn whose key it is, before there is an organization to scope to"}


@pytest.fixture(scope="module")
def ours(stack):
    """A: an organization that has only a key, with all scopes."""
    name = f"a-{uuid.uuid4().hex[:8]}"
    with stack.client(name, "contacts:read", "contacts:write", "channels:lookup", "admin") as client:
        yield SimpleNamespace(name=name, client=client)


@pytest.fixture(scope="module")
def theirs(stack):
    """B: an organization with rows in every table."""
    name = f"b-{uuid.uuid4().hex[:8]}"
    with stack.client(name) as client:
        yield fill(stack, name, client)


def fill(stack, name, client):
    def send(method, path, expected, **body):
        answer = client.request(method, path, json=body)
        assert answer.status_code == expected, answer.text
        return answer.json()["data"]

    first = client.post("/v1/contacts", json=UJANG, headers={"Idempotency-Key": MARK}).json()["data"]
    second = send("POST", "/v1/contacts", 201, external_source="shopify", external_id="72", name=f"Lost {MARK}")
    erased = send("POST", "/v1/contacts", 201, email=f"erased.{MARK}@example.com")
    url = f"/v1/contacts/{first['id']}"
    send("PATCH", url, 200, custom_fields={"edited": MARK})
    note = send("POST", f"{url}/notes", 201, body=f"Note {MARK}")
    send("PUT", f"{url}/consent/email", 200, status="opted_in", source=MARK, evidence={"text": MARK})
    send("POST", f"{url}/suppressions", 201, channel="whatsapp", reason="manual", note=MARK)
    tag = client.get(f"{url}/tags").json()["data"][0]
    assert client.delete(f"/v1/contacts/{erased['id']}?erase=true").status_code == 204
    cursors = [
        client.get(path).json()["meta"]["next_cursor"] for path in ("/v1/contacts?limit=1", f"{url}/timeline?limit=1")
    ]
    cursors.append(client.get("/v1/contacts?updated_after=2020-01-01T00:00:00Z").json()["meta"]["next_cursor"])
    hook = stack.connect(DOMAIN, secret=SECRET, source="shopify", organization=name)
    merge = {"admin_graphql_api_customer_kept_id": "gid://shopify/Customer/71", "status": "completed", "errors": []}
    merge["admin_graphql_api_customer_deleted_id"] = "gid://shopify/Customer/72"
    for topic, body in (("customers/merge", merge), ("customers/update", b"[1]")):
        delivery = signed(body, SECRET, topic=topic, domain=DOMAIN)
        assert client.post(hook, content=delivery.body, headers=delivery.headers).status_code == 200
    stack.settled(name)
    pause(stack, name, hook)
    last = datetime.now(UTC)
    waiting = signed({"id": 73, "updated_at": "2026-10-01T00:00:00Z", "first_name": MARK}, SECRET, domain=DOMAIN)
    assert client.post(hook, content=waiting.body, headers=waiting.headers).status_code == 200
    wait_until(lambda: stack.status(name)["inbox"]["postponed"] == 1, 10)
    # The time is stored a little later, and no row of B may change after this fixture.
    wait_until(lambda: (stack.status(name)["connections"][0]["last_delivery_at"] or BEGIN) >= last, 10)
    with stack._engine().begin() as conn:
        organization_id = organizations.find(conn, name)
        channel_id = channels.insert_new(
            Tx(conn, organization_id),
            platform="telegram",
            name=MARK,
            api_url="https://127.0.0.1:1",
            options={},
            token=None,
        )
        conn.execute(text(TOMBSTONE), {"organization_id": organization_id, "id": uuid.uuid4(), "digest": bytes(32)})
        for statement in READING:
            conn.execute(text(statement), {"organization_id": organization_id, "id": uuid.uuid4()})
    assert client.get(f"/v1/contacts/{second['id']}").json()["data"]["id"] == first["id"]
    return SimpleNamespace(
        name=name,
        organization_id=organization_id,
        ids=[first["id"], second["id"]],
        tags=[tag["id"], MARK],
        cursors=[cursor for cursor in cursors if cursor],
        channel_id=ids.show(ids.CHANNEL, channel_id),
        note_id=note["id"],
    )


def pause(stack, name, hook):
    """Pause as `contactsync connections pause` does: deliveries are stored and wait."""
    with stack._engine().begin() as conn:
        connections.set_state(
            Tx(conn, organizations.find(conn, name)), ids.parse(ids.CONNECTION, hook.rsplit("/", 1)[1]), "paused"
        )


TOMBSTONE = """
    INSERT INTO tombstones (organization_id, digest, erased_at, privacy_request_id)
    VALUES (:organization_id, :digest, now(), :id)
"""

#: Rows of what is finished, and of what is due far in the future.
READING = (
    """INSERT INTO runs (organization_id, id, connection_id, kind, state, finished_at)
       VALUES (:organization_id, :id, :id, 'full', 'done', now())""",
    "INSERT INTO contact_aliases (organization_id, id, record_id) VALUES (:organization_id, :id, :id)",
    "INSERT INTO upgrades (organization_id, began_at) VALUES (:organization_id, now())",
    "INSERT INTO loose_ties (organization_id, type, key, record_id) VALUES (:organization_id, 'email', 'x', :id)",
    """INSERT INTO reading_leases (organization_id, connection_id, token, lease_until)
       VALUES (:organization_id, :id, :id, now())""",
    "INSERT INTO run_rows (organization_id, run_id, external_id) VALUES (:organization_id, :id, '71')",
    """INSERT INTO schedules (organization_id, connection_id, kind, every, next_run_at)
       VALUES (:organization_id, :id, 'full', interval '1 week', 'infinity')""",
    """INSERT INTO wanted (organization_id, connection_id, external_id, token, next_run_at)
       VALUES (:organization_id, :id, '71', :id, 'infinity')""",
    "INSERT INTO expiries (organization_id, looked_at) VALUES (:organization_id, 'infinity') ON CONFLICT DO NOTHING",
    "INSERT INTO held_bodies (organization_id, envelope_id, looked_at) VALUES (:organization_id, :id, 'infinity')",
    """INSERT INTO shop_erasures (organization_id, source, envelope_id, stamp, done_at)
       VALUES (:organization_id, 'nobody', :id, '[0, 0, "", 0, ""]', now())""",
)


def values(theirs):
    """Return the values of B for each parameter of a path or a query."""
    pair = {"external_source": "shopify", "external_id": "71"}
    return SimpleNamespace(
        path={
            "contact_id": theirs.ids,
            "phone": [PHONE, PHONE[1:]],
            "channel": ["email"],
            "tag": theirs.tags,
            "channel_id": [theirs.channel_id],
        },
        query={
            "limit": [{"limit": 1}],
            "cursor": [{"cursor": cursor} for cursor in theirs.cursors],
            "search": [{"search": "ujang"}, {"search": MARK}, {"search": PHONE}],
            "phone_number": [{"phone_number": PHONE}],
            "email": [{"email": EMAIL}],
            "external_source": [pair],
            "external_id": [pair],
            "tag": [{"tag": MARK}],
            "updated_after": [{"updated_after": "2020-01-01T00:00:00Z"}],
            "created_after": [{"created_after": "2020-01-01T00:00:00Z"}],
            "include": [
                {"include": "lifted"},
                {"include": "removed", "updated_after": "2020-01-01T00:00:00Z"},
                *({"include": "removed", "cursor": cursor} for cursor in theirs.cursors),
            ],
            "channel": [{"channel": "email"}, {"channel": "whatsapp"}],
            "purpose": [{"purpose": "marketing"}],
            "erase": [{"erase": "true"}],
            "explain": [{"explain": "true"}],
        },
    )


def bodies(theirs):
    """Return the bodies for each operation that takes one, with values of B."""
    known = [("phone", PHONE, None), ("whatsapp", PHONE[1:], None), ("email", EMAIL, None)]
    known += [("external_id", "71", "shopify"), *(("contact_id", id_, None) for id_ in theirs.ids)]
    identifiers = [
        {"type": kind, "value": value} | ({"source": source} if source else {}) for kind, value, source in known
    ]
    resolve = [{"identifiers": [one]} for one in identifiers] + [{"identifiers": identifiers}]
    upserts = [
        {"phone_number": PHONE, "custom_fields": {"ours": 1}},
        {"email": EMAIL, "tags": ["ours"]},
        {"external_source": "shopify", "external_id": "71", "phone_number": PHONE, "email": EMAIL},
    ]
    return {
        "POST /v1/contacts": upserts,
        "POST /v1/contacts/batch": [{"contacts": upserts}],
        "POST /v1/contacts/resolve/batch": [{"contacts": resolve}],
        "POST /v1/contacts/resolve": resolve,
        "POST /v1/contacts/lookup": resolve,
        "PATCH /v1/contacts/{contact_id}": [{"name": "Ours"}, {}, {"external_source": "ours", "external_id": "1"}],
        "POST /v1/contacts/{contact_id}/notes": [{"body": "Ours"}],
        "POST /v1/contacts/{contact_id}/tags": [{"name": "ours"}, {"tag_id": theirs.tags[0]}],
        "PUT /v1/contacts/{contact_id}/consent/{channel}": [{"status": "opted_out"}],
        "POST /v1/contacts/{contact_id}/suppressions": [
            {"channel": "email", "reason": "manual"},
            {"channel": "whatsapp", "reason": "manual", "active": False},
        ],
        "POST /v1/channels/{channel_id}/contacts/lookup": [
            {"type": "telegram", "value": TELEGRAM},
            {"contact_id": theirs.ids[0]},
        ],
    }


#: These operations create something in A, whatever B has. They come last.
CREATING = ("POST /v1/contacts", "POST /v1/contacts/batch")


def operations(client):
    """Return every published operation as (name, path, method, description), the creating ones last."""
    paths = client.get("/openapi.json").json()["paths"]
    found = [
        (f"{method.upper()} {path}", path, method, description)
        for path, methods in paths.items()
        for method, description in methods.items()
    ]
    return sorted(found, key=lambda operation: operation[0] in CREATING)


def requests_of(operation, theirs):
    """Yield every request to an operation with values of B; fail if a parameter or body is unknown to this test."""
    name, path, method, description = operation
    known, filled = values(theirs), bodies(theirs)
    parameters = description.get("parameters", [])
    in_path = [one["name"] for one in parameters if one["in"] == "path"]
    in_query = [one for one in parameters if one["in"] == "query"]
    unknown = {*in_path} - known.path.keys() | {one["name"] for one in in_query} - known.query.keys()
    assert not unknown, f"{name}: add values of another organization for {unknown} to `values`"
    assert ("requestBody" in description) == (name in filled), f"{name}: add its bodies to `bodies`"
    urls = [
        path.format(**dict(zip(in_path, chosen, strict=True)))
        for chosen in product(*(known.path[one] for one in in_path))
    ]
    required = {}
    for one in in_query:
        if one.get("required"):
            required |= known.query[one["name"]][0]
    queries = [required] + [required | query for one in in_query for query in known.query[one["name"]]]
    for url, query, body in product(urls, queries, filled.get(name, [None])):
        yield method, url, {"params": query} | ({} if body is None else {"json": body})


def test_no_operation_shows_or_changes_data_of_another_organization(stack, ours, theirs):
    before, exported = everything_of(stack, theirs), stack.export(theirs.name)
    called = []

    for operation in operations(ours.client):
        for method, url, request in requests_of(operation, theirs):
            answer = ours.client.request(method, url, **request)
            called.append(operation[0])
            assert_nothing_of_theirs(answer, operation[0], theirs, request)

    assert len(called) > 60
    assert {"GET /v1/contacts", "DELETE /v1/contacts/{contact_id}"} <= {*called}
    assert everything_of(stack, theirs) == before
    assert stack.export(theirs.name) == exported


def assert_nothing_of_theirs(answer, name, theirs, request):
    shown = answer.text
    for sent in (EMAIL, *request.get("params", {}).values()):  # An answer may repeat values of its request.
        shown = shown.replace(str(sent), "")
    for secret in (MARK, theirs.note_id, *(id_.partition("_")[2] for id_ in theirs.ids)):
        assert secret not in shown, f"{name}: {answer.text}"
    if name in CREATING:
        assert answer.status_code in (200, 201), f"{name}: {answer.text}"
        data = answer.json()["data"]
        for contact in [row["contact"] for row in data] if isinstance(data, list) else [data]:
            assert contact["name"] is None
            assert contact["custom_fields"].keys() <= {"ours"}
        return
    is_empty = answer.status_code == 200 and answer.json() == {"data": [], "meta": {"next_cursor": None}}
    # A list refuses a cursor of the feed, and `include` has other values in another list, whoever sends it.
    refused = [detail["field"] for detail in answer.json().get("details", ())]
    is_empty = is_empty or refused in (["cursor"], ["include"])
    is_empty = is_empty or (name == "GET /v1/channels" and answer.json() == {"data": []})
    if name == "POST /v1/contacts/resolve/batch":
        is_empty = all(row["status"] == 404 for row in answer.json()["data"])
    assert answer.status_code == 404 or is_empty, f"{name} {answer.request.url}: {answer.text}"


def test_the_walk_fails_for_an_operation_it_does_not_know(theirs):
    unknown_path = {"parameters": [{"name": "shelf", "in": "path"}]}
    unknown_query = {"parameters": [{"name": "near", "in": "query"}]}

    for description in (unknown_path, unknown_query, {"requestBody": {}}):
        with pytest.raises(AssertionError, match=r"add .* to `"):
            list(requests_of(("POST /v1/shelves", "/v1/shelves", "post", description), theirs))


def test_an_idempotency_key_counts_for_its_api_key_alone(stack, ours, theirs):
    once = {"json": UJANG, "headers": {"Idempotency-Key": MARK}}

    with stack.client(f"{ours.name}-2") as first, stack.client(f"{ours.name}-2") as second:
        answers = [client.post("/v1/contacts", **once) for client in (first, second, first)]

    assert [answer.status_code for answer in answers] == [201, 200, 201]
    assert ["idempotent-replayed" in answer.headers for answer in answers] == [False, False, True]
    assert not {answer.json()["data"]["id"] for answer in answers} & {*theirs.ids}


def everything_of(stack, theirs):
    """Return the count and the digest of all rows of B, by table."""
    found = {}
    for table in tables(stack):
        rows = stack.rows(
            f"SELECT t::text FROM {table} t WHERE organization_id = :organization_id ORDER BY 1", theirs.name
        )
        found[table] = (len(rows), hashlib.sha256("\n".join(row[0] for row in rows).encode()).hexdigest())
    return found


def tables(stack, kinds="rp"):
    """Return the tables (or, as kinds ``v`` and ``m``, the views) with an organization_id."""
    found = stack.rows(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'organization_id' AND NOT a.attisdropped
           AND c.relkind::text = ANY(string_to_array(:kinds, NULL)) ORDER BY 1
        """,
        "default",
        kinds=kinds,
    )
    return [row[0] for row in found]


@contextmanager
def session(stack, organization=None):
    """Open a transaction of the API's engine, scoped to an organization or to none."""
    engine = db.make_tenant_engine(stack.state()["database_url"])
    try:
        with engine.connect() as conn:
            if organization is not None:
                db.enter(Tx(conn, organizations.find(conn, organization)))
            yield conn
    finally:
        engine.dispose()


def count(conn, table, organization_id):
    return conn.execute(
        text(f"SELECT count(*) FROM {table} WHERE organization_id = :id"), {"id": organization_id}
    ).scalar_one()


def test_the_database_shows_a_session_its_own_organization_alone(stack, ours, theirs):
    ours.client.post("/v1/contacts", json={"external_source": "ours", "external_id": "1", "name": "Ours"})
    guarded = [table for table in tables(stack, "rpvm") if table not in UNGUARDED]
    with stack._engine().connect() as conn:
        there = {table: count(conn, table, theirs.organization_id) for table in guarded}
    assert 0 not in there.values(), there  # else the test shows nothing

    with session(stack, ours.name) as conn:
        seen = {table: count(conn, table, theirs.organization_id) for table in guarded}
        own = conn.execute(text("SELECT count(*) FROM contacts")).scalar_one()
    with session(stack) as conn:
        unscoped = {table: conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in guarded}
    with session(stack, theirs.name) as conn:
        inside = {table: count(conn, table, theirs.organization_id) for table in guarded}

    assert seen == dict.fromkeys(guarded, 0)
    assert unscoped == dict.fromkeys(guarded, 0)
    assert own > 0
    assert inside == there


def test_the_database_lets_a_session_write_for_its_own_organization_alone(stack, ours, theirs):
    guarded = [table for table in tables(stack) if table not in UNGUARDED]

    with session(stack, ours.name) as conn:
        for table in guarded:
            at = {"theirs": theirs.organization_id}
            for statement in (
                f"UPDATE {table} SET organization_id = organization_id WHERE organization_id = :theirs",
                f"DELETE FROM {table} WHERE organization_id = :theirs",
            ):
                assert conn.execute(text(statement), at).rowcount == 0, statement
        with pytest.raises(ProgrammingError, match="row-level security"):
            conn.execute(
                text(TOMBSTONE), {"organization_id": theirs.organization_id, "id": uuid.uuid4(), "digest": b"\1" * 32}
            )


def test_every_table_of_a_tenant_is_guarded_against_its_owner_too(stack):
    rows = stack.rows(
        """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS is_forced,
               (SELECT count(*) FROM pg_policies p
                 WHERE p.schemaname = 'public' AND p.tablename = c.relname AND p.cmd = 'ALL') AS policies
          FROM pg_class c WHERE c.relname = ANY(:tables) AND c.relnamespace = 'public'::regnamespace
        """,
        "default",
        tables=tables(stack),
    )

    assert len(rows) >= 20
    assert {row.relname for row in rows if not (row.is_forced and row.policies == 1)} == {*UNGUARDED}
    (role,) = stack.rows("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user", "default")
    assert tuple(role) == (False, False)
