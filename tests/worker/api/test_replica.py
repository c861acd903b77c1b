"""Lists come from a replica while it keeps up; everything else, and lists while it does not, from the primary."""

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import text

from tests.conftest import empty
from tests.flows.stack import processes
from tests.replicated import Primary, Replica
from tests.worker.api.conftest import EMAIL, PHONE, Client, a_profile, on_the_loop
from worker import settings as worker_settings
from worker import status
from worker.api import paging, replica
from worker.stack.processes import until
from worker.store import api_keys, contact_lists, db, look_ups, organizations
from worker.store.db import Tx
from worker.store.migrate import upgrade


@pytest.fixture(scope="module")
def servers():
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    primary = Primary(directory / "primary", may_create_databases=True)
    primary.start()
    upgrade(primary.url)
    follower = Replica(directory / "replica", primary)
    follower.start()
    yield primary, follower
    follower.stop()
    primary.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def follower(servers):
    return servers[1]


@pytest.fixture(scope="module")
def _engines(servers):
    engines = db.make_engine(servers[0].url), db.make_tenant_engine(servers[0].url)
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(_engines, servers, monkeypatch):
    """Empty tables on the primary, which all engines of this process lead to."""
    for kind, engine in zip(("all", "tenant"), _engines, strict=True):
        monkeypatch.setitem(db._engines, (os.getpid(), kind), engine)
    monkeypatch.setattr(look_ups, "_engines", WeakKeyDictionary())
    monkeypatch.setattr(look_ups, "settings", lambda: SimpleNamespace(database_url=servers[0].url))
    empty(_engines[0])
    yield _engines[0]
    on_the_loop(look_ups.close())


@pytest.fixture
def lists(engine, follower, monkeypatch):
    """The lists of this process, with a replica that has been seen."""
    made = replica.Lists(follower.url, most_s=60.0)  # a busy machine is no lag
    monkeypatch.setattr(replica, "lists", lambda: made)
    assert follower.caught_up()
    made.look()
    assert made.lag_s() is not None
    yield made
    made.close()


@pytest.fixture
def a_reader():
    """Make lists of another process; its replica has not been seen yet."""
    made = []

    def a_reader(url):
        made.append(replica.Lists(url, most_s=2.0))
        return made[-1]

    yield a_reader
    for one in made:
        one.close()


@pytest.fixture
def lines(monkeypatch):
    """What is logged about the replica."""
    lines = []

    class Log:
        def warning(self, name, **fields):
            lines.append((name, fields.get("reason")))

        info = error = warning

    monkeypatch.setattr(replica, "log", Log())
    return lines


def the_list(client, **query):
    """Return a page of contacts: names, whether it came from the replica, and the cursor."""
    answer = client.get("/v1/contacts", params=query)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    names = [contact["name"] for contact in page["data"]]
    return names, replica.HEADER.lower() in answer.headers, page["meta"]["next_cursor"]


def look_until(lists, condition):
    """Look as the thread does; time passes."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        lists.look()
        time.sleep(0.05)


def test_a_list_comes_from_the_replica_and_says_how_old_it_is(lists, client, say, follower):
    say("shopify", a_profile(name="Ujang", email=EMAIL))
    assert follower.caught_up()

    answer = client.get("/v1/contacts", params={"search": "uja"})

    assert [contact["name"] for contact in answer.json()["data"]] == ["Ujang"]
    assert 0 <= float(answer.headers["Replica-Lag"]) < 60


def test_while_the_replica_lags_its_lists_are_old_and_everything_else_is_not(lists, client, say, follower):
    say("shopify", a_profile("1", name="Ujang", email=EMAIL, phone=PHONE))
    assert follower.caught_up()
    lists.look()
    with follower.paused():
        say("shopify", a_profile("1", name="Wati", email=EMAIL, phone=PHONE, at=5))

        assert the_list(client) == (["Ujang"], True, None)
        assert the_list(client, search="wati") == ([], True, None)
        resolved = client.post("/v1/contacts/resolve", json={"identifiers": [{"type": "email", "value": EMAIL}]})
        by_id = client.get(f"/v1/contacts/{resolved.json()['data']['id']}")
        by_phone = client.get(f"/v1/contacts/phone/{PHONE}")
        (names, is_replicas, _) = the_list(client, updated_after="2026-01-01T00:00:00Z")

    assert {answer.json()["data"]["name"] for answer in (resolved, by_id, by_phone)} == {"Wati"}
    assert not any(replica.HEADER in answer.headers for answer in (resolved, by_id, by_phone))
    assert (names, is_replicas) == (["Wati"], False)


def test_what_answers_a_write_comes_from_the_primary(lists, app, a_key, follower):
    client = Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})
    with follower.paused():
        body = {"name": "Ujang", "email": EMAIL}
        made = client.post("/v1/contacts", json=body)
        changed = client.request("PATCH", f"/v1/contacts/{made.json()['data']['id']}", json={"name": "Wati"})

    assert made.json()["data"]["name"] == "Ujang"
    assert changed.json()["data"]["name"] == "Wati"


def test_a_replica_that_lags_too_much_is_left_and_comes_back_and_each_is_said_once(lists, client, say, follower, lines):
    lists._most_s = 2.0
    with follower.paused():
        say("shopify", a_profile(name="Ujang", email=EMAIL))
        look_until(lists, lambda: lists.lag_s() is None)
        for _ in range(3):
            lists.look()
        assert the_list(client) == (["Ujang"], False, None)
    look_until(lists, lambda: lists.lag_s() is not None)

    lists._most_s = 60.0
    assert the_list(client) == (["Ujang"], True, None)
    assert lines == [("replica_left", "lags"), ("replica_used", None)]


def test_while_nobody_writes_no_lag_grows(lists, lines):
    lists._most_s = 1.0
    time.sleep(lists._most_s)  # what was seen is too old by now
    assert lists.lag_s() is None
    lists.look()

    assert lists.lag_s() is not None
    assert lines == []


def test_a_process_that_starts_beside_a_replica_that_lags_asks_the_primary(engine, follower, say, lines, a_reader):
    with follower.paused():
        say("shopify", a_profile(name="Ujang", email=EMAIL))
        new = a_reader(follower.url)
        for _ in range(3):
            new.look()
        assert new.lag_s() is None
    look_until(new, lambda: new.lag_s() is not None)
    assert lines == [("replica_left", "lags"), ("replica_used", None)]


def test_a_walk_that_began_on_the_primary_misses_nobody_on_a_replica_that_is_behind(lists, client, say, follower):
    for number in range(3):
        say("shopify", a_profile(str(number), name=f"Ujang {number}"))
    assert follower.caught_up()
    with follower.paused():
        for number in range(3, 6):
            say("shopify", a_profile(str(number), name=f"Ujang {number}"))
        lists._trouble = "lags"
        walked, is_replicas, cursor = the_list(client, limit=2)
        assert not is_replicas
        lists._trouble = None  # near enough for a list that begins now, but not for this one
        lists._seen = replica._Seen(lists._seen.position, time.monotonic())
        assert the_list(client)[1]
        names, is_replicas, cursor = the_list(client, limit=2, cursor=cursor)
        assert not is_replicas
        walked += names
    assert follower.caught_up()
    lists.look()
    names, is_replicas, cursor = the_list(client, limit=2, cursor=cursor)

    assert is_replicas
    assert cursor is None
    assert walked + names == [f"Ujang {number}" for number in (5, 4, 3, 2, 1, 0)]


def test_a_walk_that_began_on_the_replica_goes_on_on_the_primary(lists, client, say, follower):
    for number in range(4):
        say("shopify", a_profile(str(number), name=f"Ujang {number}"))
    assert follower.caught_up()
    lists.look()
    first, from_replica, cursor = the_list(client, limit=2)
    lists._trouble = "away"
    second, from_primary, cursor = the_list(client, limit=2, cursor=cursor)

    assert (from_replica, not from_primary) == (True, True)
    assert first + second == [f"Ujang {number}" for number in (3, 2, 1, 0)]
    assert cursor is None


def test_a_cursor_of_a_place_and_a_position_is_read_as_it_was_written():
    id_ = organizations.ids.new()
    cursor = paging.write(id_, 0x1_6B37_4D48)

    page = paging.Paging(cursor=cursor)

    assert (page.before, page.position) == (id_, 0x1_6B37_4D48)
    assert paging.Paging(cursor=paging.write(id_)).position is None


def test_the_replica_shows_an_organization_only_its_own(lists, app, a_key, say, follower):
    say("shopify", a_profile(name="Ujang"))
    say("shopify", a_profile(name="Wati"), organization="other")
    assert follower.caught_up()
    lists.look()
    for organization, name in (("default", "Ujang"), ("other", "Wati")):
        client = Client(app, {"X-Api-Key": a_key(organization=organization)})
        assert follower.caught_up()
        assert the_list(client) == ([name], True, None)

    with lists._engine.connect() as conn:  # not scoped
        assert conn.execute(text("SELECT count(*) FROM contacts")).scalar_one() == 0


def test_a_replica_that_is_down_is_left_at_once_and_no_request_fails(lists, client, say, follower, lines):
    say("shopify", a_profile(name="Ujang"))
    assert follower.caught_up()
    assert the_list(client)[1]
    follower.stop()
    try:
        assert [the_list(client)[:2] for _ in range(3)] == [(["Ujang"], False)] * 3
        lists.look()
        assert lines == [("replica_left", "away")]
    finally:
        follower.start()
    look_until(lists, lambda: lists.lag_s() is not None)
    assert the_list(client)[:2] == (["Ujang"], True)
    assert lines[1:] == [("replica_used", None)]


def test_a_replica_that_hangs_holds_a_list_up_for_seconds_only(lists, client, say, follower, lines):
    say("shopify", a_profile(name="Ujang"))
    assert follower.caught_up()
    assert the_list(client)[1]
    with lists._engine.connect() as conn:
        backend = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    lists.look()
    frozen = [pid for pid, _ in processes() if parent_of(pid) == follower.pid]
    assert backend in frozen
    for pid in (follower.pid, *frozen):
        os.kill(pid, signal.SIGSTOP)
    thawed = threading.Timer(20, lambda: [os.kill(pid, signal.SIGCONT) for pid in (follower.pid, *frozen)])
    thawed.start()  # if nothing else ends the wait, the test is to fail and not to hang
    try:
        watching = threading.Thread(target=lists.look)
        watching.start()
        began = time.monotonic()
        assert the_list(client)[:2] == (["Ujang"], False)
        took = time.monotonic() - began
        watching.join()
        assert lists.lag_s() is None
    finally:
        thawed.cancel()
        for pid in (follower.pid, *frozen):
            os.kill(pid, signal.SIGCONT)
    assert took < 8
    assert lines[0] == ("replica_left", "away")
    look_until(lists, lambda: lists.lag_s() is not None)


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_list_that_the_replay_cancels_comes_from_the_primary(lists, engine, follower, a_key):
    """What the primary has removed, the replica has to remove too, also from under a statement that reads it."""
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, "default")
    assert follower.caught_up()
    lists.look()
    calls = []

    def load(tx):
        calls.append(1)
        rows = contact_lists.page(tx, contact_lists.ContactFilter(), None, 10)
        if len(calls) == 1:
            with engine.begin() as conn:
                conn.execute(text("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE"))
            follower.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE xact_start IS NOT NULL"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            tx.conn.execute(text("SELECT 1"))
        return rows

    assert lists.read(organization_id, None, load).headers == {}
    assert len(calls) == 2


def test_a_statement_that_takes_too_long_is_not_repeated_on_the_primary(lists, engine, organization_id):
    calls = []

    def load(tx):
        calls.append(1)
        tx.conn.execute(text("SET LOCAL statement_timeout = '20ms'"))
        tx.conn.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(Exception, match="statement timeout"):
        lists.read(organization_id, None, load)
    assert calls == [1]


@pytest.mark.parametrize("which", ["no replica", "a replica of another primary"])
def test_a_server_that_is_no_replica_of_ours_is_not_asked(
    servers, engine, database_url, lines, which, monkeypatch, a_reader
):
    primary, follower = servers
    lists = a_reader(primary.url if which == "no replica" else follower.url)
    other = db.make_engine(database_url)
    if which != "no replica":
        monkeypatch.setitem(db._engines, (os.getpid(), "all"), other)
    lists.look()
    lists.look()
    other.dispose()

    assert lists.lag_s() is None
    assert lines == [("replica_left", which)]


def test_metrics_and_status_tell_how_far_the_replica_is(lists, engine, organization_id, follower, monkeypatch):
    monkeypatch.setenv("REPLICA_DATABASE_URL", follower.url)
    worker_settings.reload()
    try:
        registry = CollectorRegistry()
        registry.register(replica.Lag())
        assert "contactsync_replica_used 1.0" in generate_latest(registry).decode()
        assert "contactsync_replica_lag_seconds " in generate_latest(registry).decode()
        assert follower.caught_up()
        assert state_of(engine, organization_id) == {"state": "follows", "lag_s": 0.0, "behind_bytes": 0}
        with follower.paused():
            with engine.begin() as conn:
                api_keys.insert_new(Tx(conn, organization_id), ("contacts:read",))
            found = state_of(engine, organization_id)
            assert found["state"] == "follows"
            assert found["lag_s"] > 0
            assert found["behind_bytes"] > 0
        follower.stop()
        assert state_of(engine, organization_id)["state"] == "away"
        follower.start()
        lists._trouble = "away"
        assert "contactsync_replica_used 0.0" in generate_latest(registry).decode()
        assert "lag_seconds" not in generate_latest(registry).decode()
    finally:
        monkeypatch.undo()
        worker_settings.reload()


def state_of(engine, organization_id):
    with engine.connect() as conn:
        return status.status(Tx(conn, organization_id))["replica"]


def test_without_a_replica_nothing_is_looked_at(engine, client, say, monkeypatch):
    plain = replica.Lists("", most_s=5.0)
    monkeypatch.setattr(replica, "lists", lambda: plain)
    plain.watch()
    plain.look()
    for number in range(2):
        say("shopify", a_profile(str(number), name=f"Ujang {number}"))

    names, is_replicas, cursor = the_list(client, limit=1)

    assert (names, is_replicas) == (["Ujang 1"], False)
    assert paging.Paging(cursor=cursor).position is None
    assert not [thread for thread in threading.enumerate() if thread.name == "replica"]


def test_the_thread_looks_by_itself_until_it_is_closed(engine, follower, monkeypatch, a_reader):
    monkeypatch.setattr(replica, "_EVERY_S", 0.01)
    lists = a_reader(follower.url)
    lists.watch()
    assert until(lambda: lists.lag_s() is not None, timeout_s=10)
    lists.close()
    assert until(lambda: "replica" not in {thread.name for thread in threading.enumerate()}, timeout_s=10)
