"""Changes: which envelopes caused an entry of the change log, and each of its details."""

from uuid import uuid4

import orjson

from worker.domain.changes import Change, EncodedDetails, causes_of, only_cause

CAUSE, OTHER = uuid4(), uuid4()


def test_only_a_single_cause_may_be_left_out_of_the_details():
    assert only_cause({CAUSE}) == CAUSE.hex
    assert only_cause({CAUSE, OTHER}) is None
    assert only_cause(()) is None


def test_causes_come_from_entries_and_from_their_details_encoded_or_not():
    plain = Change(uuid4(), "changed", {"name": (None, "Ayu", OTHER.hex)}, (CAUSE,))
    encoded = Change(uuid4(), "created", {}, (CAUSE,), EncodedDetails.of(plain.details, orjson.dumps))

    assert causes_of([plain]) == causes_of([encoded]) == {CAUSE, OTHER}
    assert plain.fields() == encoded.fields() == {"name"}
