"""What a contact shows, and what an edit through the API does to it."""

import pytest

from worker.domain.fold import Record, fold
from worker.domain.golden import golden
from worker.domain.registers import of_field
from worker.domain.statements import ProfileStatement
from worker.domain.terms import API_SOURCE, Stamp


def a_stamp(at):
    return Stamp(at, at, f"d{at}", 0, f"{at:032x}")


def a_record(source, external_id, *said):
    """A record that was told (time, registers) in this order."""
    kind = "guest" if source == API_SOURCE else "customer"
    record = Record(source, external_id, kind)
    fold(record, [ProfileStatement(a_stamp(at), registers) for at, registers in said])
    return record


def shown(*records):
    return golden(records, (), {})


def test_an_edit_goes_before_what_sources_say():
    shop = a_record("shop", "1", (9, {"name": "Ujang", "tier": "basic"}))
    edit = a_record(API_SOURCE, "e", (5, {"name": "Pak Ujang", "tier": "premium"}))

    contact = shown(shop, edit)

    assert (contact.name, contact.custom_fields) == ("Pak Ujang", {"tier": "premium"})
    assert contact.origins["tier"].source == API_SOURCE
    assert (contact.external_source, contact.external_id) == ("shop", "1")


@pytest.mark.parametrize(
    ("said", "name", "at"),
    [
        ([(1, {"first_name": "Emma"}), (2, {"last_name": "Miller"})], "Emma Miller", 2),
        ([(2, {"first_name": "Emma"}), (1, {"last_name": "Miller"})], "Emma Miller", 2),
        ([(1, {"first_name": "Emma", "last_name": None})], "Emma", 1),
        ([(1, {"first_name": None, "last_name": "Miller"})], "Miller", 1),
        ([(1, {"name": "E. Miller"}), (2, {"first_name": "Emma"})], "E. Miller", 1),
        ([(1, {"name": ""}), (2, {"first_name": "Emma"})], "Emma", 2),
        ([(1, {"first_name": "", "last_name": None})], None, None),
    ],
)
def test_a_name_is_whole_or_put_together(said, name, at):
    contact = shown(a_record("shop", "1", *said))

    assert contact.name == name
    assert (contact.origins["name"].stamp if name else None) == (a_stamp(at) if at else None)


def test_an_edit_that_was_taken_back_lets_the_source_show_again():
    shop = a_record("shop", "1", (1, {"name": "Ujang", "tier": "basic"}))
    edit = a_record(API_SOURCE, "e", (5, {"name": "Pak Ujang", "tier": "x"}), (6, {"name": None, "tier": None}))

    contact = shown(shop, edit)

    assert (contact.name, contact.custom_fields) == ("Ujang", {"tier": "basic"})


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_the_edits_that_a_merge_brought_together_the_newest_counts_field_by_field(newest_first):
    old = a_record(API_SOURCE, "a", (5, {"name": "Old", "city": "Bandung"}))
    new = a_record(API_SOURCE, "b", (6, {"name": "New"}))

    contact = shown(*([new, old] if newest_first else [old, new]))

    assert (contact.name, contact.custom_fields) == ("New", {"city": "Bandung"})


def test_an_edit_taken_back_on_one_record_is_not_revived_by_an_older_one():
    old = a_record(API_SOURCE, "a", (5, {"name": "Old"}))
    cleared = a_record(API_SOURCE, "b", (6, {"name": None}))

    assert shown(old, cleared).name is None


@pytest.mark.parametrize(
    "name", ["name", "first_name", "email", "phone_number", "a.b", "#created", "@email", ":x", "tag:vip", "tags", ""]
)
def test_a_custom_field_may_have_any_name(name):
    edit = a_record(API_SOURCE, "e", (5, {"name": "Ujang", of_field(name): 1}))

    contact = shown(edit)

    assert contact.custom_fields == {name: 1}
    assert contact.name == "Ujang"


def test_a_plain_field_keeps_its_name_so_that_an_edit_meets_the_sources():
    assert of_field("orders_count") == "orders_count"


def test_entries_of_a_field_come_together_from_several_sources():
    one = a_record("a", "1", (1, {"segments.3": "Loyal"}))
    two = a_record("b", "1", (1, {"segments.4": "New", "segments.3": "Other"}))

    assert shown(one, two).custom_fields == {"segments": {"3": "Loyal", "4": "New"}}


def test_a_whole_field_is_not_mixed_with_entries_of_a_lesser_source():
    whole = a_record(API_SOURCE, "e", (5, {"segments": {"mine": True}}))
    entry = a_record("shop", "1", (9, {"segments.3": "Loyal"}))

    assert shown(whole, entry).custom_fields == {"segments": {"mine": True}}
    assert whole.registers["segments"][1] == {"mine": True}  # nothing is written into what a record holds
