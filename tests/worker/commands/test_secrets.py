"""`secrets reencrypt`: everything under the first key, as often as one likes."""

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from worker import settings

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TOKEN = "7:invented"


@pytest.fixture
def use(monkeypatch):
    def use(*keys):
        monkeypatch.setenv("CONTACTSYNC_SECRET_KEYS", ",".join(keys))
        settings.reload()

    yield use
    monkeypatch.undo()
    settings.reload()


@pytest.fixture
def connections(use, ask):
    """Five connections and a channel whose secrets the old key encrypts: sixteen values."""
    use(OLD)
    shop = ("--webhook-secret", "x", "--webhook-secret", "y", "--access-token", "shpat_invented")
    for n in range(5):
        ask("connections", "add", "shopify", "--shop-domain", f"s{n}.myshopify.com", "--source", f"s{n}", *shop)
    ask("channels", "add", "telegram", "--token", TOKEN)


def sealed(engine):
    with engine.connect() as conn:
        rows = conn.execute(text("SELECT webhook_secrets || credentials FROM connections ORDER BY id")).scalars()
        found = [bytes(value) for row in rows for value in row]
        return [*found, *map(bytes, conn.execute(text("SELECT token FROM channels")).scalars())]


def test_everything_is_under_the_first_key_afterwards(engine, ask, use, connections):
    use(NEW, OLD)

    done = ask("secrets", "reencrypt", "--batch", "2")

    assert done == {"reencrypted": 16, "unchanged": 0, "unreadable": 0, "deletions_with_hashes": 0}
    texts = [Fernet(NEW).decrypt(one) for one in sealed(engine)]
    assert texts == [b"x", b"y", b'{"access_token":"shpat_invented"}'] * 5 + [TOKEN.encode()]
    assert ask("secrets", "reencrypt") == {**done, "reencrypted": 0, "unchanged": 16}


def test_a_run_that_was_stopped_is_finished_by_the_next(engine, ask, run, use, connections, monkeypatch):
    use(NEW, OLD)
    calls = iter([1])

    def renew(*arguments):
        next(calls, None) or pytest.fail("stopped")
        return original(*arguments)

    original = __import__("worker.store.sealed_secrets", fromlist=["renew"]).renew
    with monkeypatch.context() as stopped:
        stopped.setattr("worker.store.sealed_secrets.renew", renew)
        with pytest.raises(pytest.fail.Exception):
            run("secrets", "reencrypt", "--batch", "2")

    assert ask("secrets", "reencrypt", "--batch", "2")["reencrypted"] == 16 - 6


def test_what_no_key_fits_is_counted_and_left(engine, run, use, connections):
    lost = Fernet.generate_key().decode()
    use(lost, NEW)
    before = sealed(engine)

    done = run("secrets", "reencrypt", "--json")

    assert done.exit_code == 1
    assert '"unreadable": 16' in done.stdout
    assert sealed(engine) == before
    assert "x" not in before


def test_a_removed_connection_has_nothing_to_encrypt(ask, use, connections):
    id_ = ask("connections", "list")[0]["connection_id"]
    ask("connections", "remove", id_)
    use(NEW, OLD)

    assert ask("secrets", "reencrypt")["reencrypted"] == 13


def test_keys_may_stand_on_lines_of_their_own(ask, use, connections):
    use(f"{NEW}\n{OLD}\n")

    assert ask("secrets", "reencrypt")["reencrypted"] == 16
