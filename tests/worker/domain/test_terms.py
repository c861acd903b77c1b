"""Terms: the order of stamps and of decisions, and what the key of a record tells."""

from uuid import uuid4

import pytest

from worker.domain.terms import Decision, Stamp, envelope_of, key_of_guest, kind_of

A, B = ("shop", "1"), ("shop", "2")


def test_stamps_are_compared_by_time_then_by_sending_time_then_by_delivery():
    oldest = Stamp(1, 9, "z", 9, "")

    assert oldest < Stamp(2, 0, "", 0, "") < Stamp(2, 1, "", 0, "") < Stamp(2, 1, "a", 0, "") < Stamp(2, 1, "a", 1, "")


def test_a_baseline_is_older_than_every_stamp_with_a_time():
    assert Stamp(0, 10**15, "z", 9, "f") < Stamp(1, 0, "", 0, "")


def test_the_newest_decision_comes_first_and_of_one_time_the_decision_of_a_person():
    merge = Decision("source_merge", A, B, occurred=5, tie="z")
    link = Decision("link", A, B, occurred=5, tie="")
    apart = Decision("apart", A, B, occurred=6, tie="")

    assert sorted([merge, apart, link], key=lambda decision: decision.strength, reverse=True) == [apart, link, merge]


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        (("shop", "1"), "customer"),
        (("shop", "edit:shop:1"), "customer"),  # whatever a source calls its customers
        (("shop", "guest:email:ayu@example.com"), "guest"),
        (("api", "edit:shop:1"), "edit"),
        (("api", "cnt_01a0"), "edit"),  # the name of an edit in early releases
        (("api", "01a0"), "person"),
        (("api", "guest:email:ayu@example.com"), "person"),
    ],
)
def test_the_key_of_a_record_tells_its_kind(ref, kind):
    assert kind_of(ref) == kind


def test_a_guest_is_keyed_by_the_identifier_in_its_external_id():
    assert key_of_guest(("shop", "guest:email:ayu@example.com")) == ("email", "ayu@example.com")
    assert key_of_guest(("shop", "guest:phone:+62812;ext=7")) == ("phone", "+62812;ext=7")


def test_a_stamp_names_its_envelope():
    envelope_id = uuid4()

    assert envelope_of(Stamp(1, 1, "d", 0, envelope_id.hex)) == envelope_id
