"""Kinship: who has to be looked at together, the same for everybody in a family."""

from itertools import pairwise
from uuid import UUID

import pytest

from tests.worker.upgrade.release_before import ReleaseBefore
from worker.store import upgrades
from worker.store.db import Tx
from worker.upgrade.kinship import kin

NOBODY = UUID(int=0)
P1, P2 = "+6281273509100", "+6281273509110"


@pytest.fixture
def before(engine):
    return ReleaseBefore(engine)


@pytest.fixture
def families(engine, before):
    """Return the families of records, as names; each is asked for by one of them."""

    def families(*names, after=NOBODY, most=200):
        with engine.begin() as conn:
            tx = Tx(conn, before.organization_id)
            upgrades.tie(tx, NOBODY, 1000)
            found = kin(tx, sorted(before.ids[name] for name in names), after, most)
        return {":".join(ref) for ref in found.rows}

    return families


def test_a_shared_identifier_makes_kin_and_so_on(before, families):
    before.shop.seen("1", email="a@example.com", at=0)
    before.woo.seen("1", email="a@example.com", phone=P1, at=1)
    before.eu.seen("1", phone=P1, at=2)
    before.eu.seen("2", phone=P2, at=3)
    before.write(["shop:1", "woo:1"], ["eu:1"], ["eu:2"])

    for name in ("shop:1", "woo:1", "eu:1"):
        assert families(name) == {"shop:1", "woo:1", "eu:1"}
    assert families("eu:2") == {"eu:2"}


def test_a_removed_customer_is_kin_of_who_has_its_identifiers(before, families):
    before.shop.seen("1", email="a@example.com", at=0)
    before.shop.deleted("1", at=9)
    before.woo.seen("1", email="a@example.com", at=1)
    before.write(["woo:1"])

    assert families("woo:1") == families("shop:1") == {"shop:1", "woo:1"}


def test_decisions_and_contacts_make_kin(before, families):
    before.shop.seen("1", email="a@example.com", at=0)
    before.shop.seen("2", email="b@example.com", at=1)
    before.shop.merged(kept="1", lost="2", at=2)
    before.edited("shop:1", "shop:1", name="Edited")
    before.write(["shop:1", "shop:2", "api:cnt_shop:1"], lost=["shop:2"])

    for name in ("shop:1", "shop:2", "api:cnt_shop:1"):
        assert families(name) == {"shop:1", "shop:2", "api:cnt_shop:1"}


def test_a_value_that_many_hold_makes_nobody_kin(before, families):
    for number in range(1, 5):
        before.shop.seen(str(number), email=f"{number}@example.com", phone=P1, at=number)
    before.write(*([f"shop:{number}"] for number in range(1, 5)))

    assert families("shop:1", most=3) == {"shop:1"}
    assert len(families("shop:1", most=4)) == 4


def test_a_placeholder_makes_nobody_kin(before, families):
    before.shop.seen("1", email="noreply@example.com", at=0)
    before.eu.seen("1", email="noreply@example.com", at=1)
    before.write(["shop:1"], ["eu:1"])

    assert families("shop:1") == {"shop:1"}


def test_a_walk_looks_at_each_family_once(before, families):
    for number in range(1, 10):
        shared = {"email": "a@example.com"} if number % 3 == 0 else {"phone": P1 if number % 2 else P2}
        (before.shop, before.eu, before.woo)[number % 3].seen(str(number), **shared, at=number)
    sources = ("shop", "eu", "woo")
    names = [f"{sources[number % 3]}:{number}" for number in range(1, 10)]
    before.write(*([name] for name in names))
    ids = sorted(before.ids.values())

    seen = []
    for after, own in pairwise([NOBODY, *ids]):
        name = next(name for name, id_ in before.ids.items() if id_ == own)
        seen += families(name, after=after)

    assert sorted(seen) == sorted(names)
