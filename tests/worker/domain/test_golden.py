"""Golden: what a contact shows, and how an edit through the API changes it."""

import pytest

from worker.domain.fold import fold
from worker.domain.golden import golden
from worker.domain.limits import units
from worker.domain.record import Record
from worker.domain.registers import of_field
from worker.domain.statements import ProfileStatement, RemovalStatement
from worker.domain.terms import API_SOURCE, Stamp, kind_of


def a_stamp(at):
    return Stamp(at, at, f"d{at}", 0, f"{at:032x}")


def a_record(source, external_id, *statements):
    """Return a record of profile statements, given as (time, registers), folded in this order."""
    record = Record(source, external_id, kind_of((source, external_id)))
    fold(record, [ProfileStatement(a_stamp(at), registers) for at, registers in statements])
    return record


def an_edit(about, *statements):
    return a_record(API_SOURCE, f"edit:{about}", *statements)


def a_person(*statements):
    return a_record(API_SOURCE, "1", *statements)


def shown(*records):
    return golden(records, (), {})


def test_an_edit_comes_before_the_values_of_sources():
    shop = a_record("shop", "1", (9, {"name": "Ujang", "tier": "basic"}))
    edit = an_edit("shop:1", (5, {"name": "Pak Ujang", "tier": "premium"}))

    contact = shown(shop, edit)

    assert (contact.name, contact.custom_fields) == ("Pak Ujang", {"tier": "premium"})
    assert contact.origins["tier"].source == API_SOURCE
    assert (contact.external_source, contact.external_id) == ("shop", "1")


@pytest.mark.parametrize(
    ("statements", "name", "at"),
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
def test_a_name_is_whole_or_put_together(statements, name, at):
    contact = shown(a_record("shop", "1", *statements))

    assert contact.name == name
    assert (contact.origins["name"].stamp if name else None) == (a_stamp(at) if at else None)


def test_an_edit_that_was_taken_back_lets_the_source_show_again():
    shop = a_record("shop", "1", (1, {"name": "Ujang", "tier": "basic"}))
    edit = an_edit("shop:1", (5, {"name": "Pak Ujang", "tier": "x"}), (6, {"name": None, "tier": None}))

    contact = shown(shop, edit)

    assert (contact.name, contact.custom_fields) == ("Ujang", {"tier": "basic"})


@pytest.mark.parametrize("newest_first", [True, False])
def test_after_a_merge_the_newest_edit_of_each_field_counts(newest_first):
    old = an_edit("a:1", (5, {"name": "Old", "city": "Bandung"}))
    new = an_edit("b:1", (6, {"name": "New"}))

    contact = shown(a_person((1, {})), *([new, old] if newest_first else [old, new]))

    assert (contact.name, contact.custom_fields) == ("New", {"city": "Bandung"})


def test_an_edit_taken_back_on_one_record_is_not_revived_by_an_older_one():
    old = an_edit("a:1", (5, {"name": "Old"}))
    cleared = an_edit("b:1", (6, {"name": None}))

    assert shown(a_person((1, {})), old, cleared).name is None


@pytest.mark.parametrize(
    "name", ["name", "first_name", "email", "phone_number", "a.b", "#created", "@email", ":x", "tag:vip", "tags", ""]
)
def test_a_custom_field_may_have_any_name(name):
    edit = an_edit("shop:1", (5, {"name": "Ujang", of_field(name): 1}))

    contact = shown(a_person((1, {})), edit)

    assert contact.custom_fields == {name: 1}
    assert contact.name == "Ujang"


def test_the_register_of_a_plain_field_is_its_name_so_an_edit_replaces_a_sources_value():
    assert of_field("orders_count") == "orders_count"


def test_entries_of_one_field_may_come_from_several_sources():
    one = a_record("a", "1", (1, {"segments.3": "Loyal"}))
    two = a_record("b", "1", (1, {"segments.4": "New", "segments.3": "Other"}))

    assert shown(one, two).custom_fields == {"segments": {"3": "Loyal", "4": "New"}}


def test_a_whole_field_is_not_mixed_with_entries_of_a_source_that_comes_after_it():
    whole = an_edit("shop:1", (5, {"segments": {"mine": True}}))
    entry = a_record("shop", "1", (9, {"segments.3": "Loyal"}))

    assert shown(whole, entry).custom_fields == {"segments": {"mine": True}}
    assert whole.registers["segments"][1] == {"mine": True}  # the record itself stays as it was


def test_of_two_sources_the_one_with_the_smaller_priority_comes_first_then_the_older_record():
    old = a_record("a", "1", (1, {"name": "Old", "#created": 1}))
    young = a_record("b", "1", (1, {"name": "Young", "#created": 2}))

    assert golden([young, old], (), {}).name == "Old"
    assert golden([young, old], (), {"b": 99}).name == "Young"
    assert golden([young, old], (), {"a": 101}).name == "Young"


def test_a_record_whose_source_told_no_age_comes_after_those_with_one():
    assert (
        shown(a_record("a", "1", (1, {"name": "A"})), a_record("b", "1", (1, {"name": "B", "#created": 9}))).name == "B"
    )


def test_a_guest_gives_values_only_where_nobody_else_does():
    guest = a_record("a", "guest:email:ayu@example.com", (1, {"name": "Guest", "note": "gift", "#created": 1}))
    customer = a_record("b", "1", (1, {"#created": 2}))

    assert shown(guest).name == "Guest"
    for somebody in (customer, a_person((1, {}))):
        contact = shown(guest, somebody)
        assert (contact.name, contact.custom_fields) == (None, {})
        assert (contact.external_source, contact.external_id) == somebody.ref


def test_a_customer_leads_a_contact_before_a_person_of_the_api():
    person, customer = a_person((1, {"#created": 1})), a_record("shop", "1", (1, {"#created": 2}))

    contact = golden([person, customer], (), {API_SOURCE: 1})

    assert (contact.external_source, contact.external_id) == customer.ref


def test_a_removed_record_and_one_that_was_merged_away_give_no_values():
    removed = a_record("a", "1", (1, {"name": "Removed"}))
    fold(removed, [RemovalStatement(a_stamp(2))])
    lost = a_record("a", "2", (1, {"name": "Lost", "tier": "x"}))

    contact = golden([removed, lost, a_record("a", "3", (1, {}))], [lost.ref], {})

    assert (contact.name, contact.custom_fields, contact.external_id) == (None, {}, "3")


def test_a_contact_of_many_records_shows_no_more_than_one_record_may_have():
    people = []
    for n in range(4):
        registers = {f"f{n}-{m}": (a_stamp(n), 1) for m in range(400)} | {f"long{n}": (a_stamp(n), "x" * 100_000)}
        tags = {f"t{n}-{m}": (a_stamp(n), True, f"T{n}-{m}") for m in range(400)}
        people.append(Record(f"s{n}", "1", "customer", registers, tags, seen=a_stamp(n), sizes={"long": []}))

    shown = golden(people, (), {})

    assert len(shown.tags) == 1_000
    assert {"T3-0", "T2-399", "T1-399"} <= set(shown.tags)
    assert sum(tag.startswith("T0") for tag in shown.tags) == 0
    assert sum(units(value) for value in shown.custom_fields.values()) <= 1_000
    assert "long3" in shown.custom_fields
    assert "long0" not in shown.custom_fields
