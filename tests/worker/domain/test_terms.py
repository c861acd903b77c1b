"""Terms: the order of stamps, and the strength of decisions."""

from uuid import uuid4

from worker.domain.terms import Decision, Stamp, envelope_of

A, B = ("shop", "1"), ("shop", "2")


def test_stamps_are_compared_by_time_then_by_sending_time_then_by_delivery():
    oldest = Stamp(1, 9, "z", 9, "")

    assert oldest < Stamp(2, 0, "", 0, "") < Stamp(2, 1, "", 0, "") < Stamp(2, 1, "a", 0, "") < Stamp(2, 1, "a", 1, "")


def test_a_baseline_is_older_than_every_stamp_with_a_time():
    assert Stamp(0, 10**15, "z", 9, "f") < Stamp(1, 0, "", 0, "")


def test_a_decision_of_an_operator_beats_a_newer_decision_of_a_source():
    merge = Decision("source_merge", A, B, occurred=9, tie="")
    apart = Decision("apart", A, B, occurred=1, tie="")

    assert max(merge, apart, key=lambda decision: decision.strength) is apart


def test_a_stamp_names_its_envelope():
    envelope_id = uuid4()

    assert envelope_of(Stamp(1, 1, "d", 0, envelope_id.hex)) == envelope_id
