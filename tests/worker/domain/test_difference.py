"""Difference: which fields of a contact changed, and which envelope said the new value."""

from uuid import UUID

from tests.worker.people import a_stamp
from worker.domain.difference import difference
from worker.domain.golden import Golden, Origin
from worker.domain.rows import ContactRow

ORIGIN = Origin("shop", "1", a_stamp(7))


def stored(**more):
    about = {"name": "Ayu", "email": None, "phone_number": None, "custom_fields": {}, "tags": ["vip"]}
    return ContactRow(id=UUID(int=1), external_source="shop", external_id="1", first_id=UUID(int=1), **about | more)


def shown(**more):
    return Golden("shop", "1", **{"name": "Ayu", "tags": ["vip"]} | more)


def test_nothing_changed():
    assert difference(stored(), shown(), None) == {}


def test_a_field_tells_before_after_and_its_cause_unless_the_entry_has_only_that_one():
    renamed = shown(name="Ayu Sari", origins={"name": ORIGIN})

    assert difference(stored(), renamed, None) == {"name": ("Ayu", "Ayu Sari", ORIGIN.stamp.envelope_id)}
    assert difference(stored(), renamed, ORIGIN.stamp.envelope_id) == {"name": ("Ayu", "Ayu Sari")}


def test_a_field_that_is_gone_has_no_cause():
    assert difference(stored(custom_fields={"tier": "gold"}), shown(), None) == {"tier": ("gold", None, None)}


def test_a_new_contact_tells_what_it_has():
    assert difference(None, shown(), None) == {
        "name": (None, "Ayu", None),
        "external_source": (None, "shop", None),
        "external_id": (None, "1", None),
        "tags": ([], ["vip"], None),
    }
