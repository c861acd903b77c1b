"""Changes: details and their causes."""

from uuid import uuid4

import orjson

from worker.domain.changes import Change, EncodedDetails, causes_of, only_cause

CAUSE, OTHER = uuid4(), uuid4()


def test_a_cause_is_left_out_where_it_is_the_only_one():
    assert only_cause({CAUSE}) == CAUSE.hex
    assert only_cause({CAUSE, OTHER}) is None
    assert only_cause(()) is None


def test_causes_are_those_of_entries_and_those_that_details_name_encoded_or_not():
    plain = Change(uuid4(), "changed", {"name": (None, "Ayu", OTHER.hex)}, (CAUSE,))
    encoded = Change(uuid4(), "created", {}, (CAUSE,), EncodedDetails.of(plain.details, orjson.dumps))

    assert causes_of([plain]) == causes_of([encoded]) == {CAUSE, OTHER}
    assert plain.fields() == encoded.fields() == {"name"}
