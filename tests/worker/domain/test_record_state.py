"""Record state: a record as JSON and back is the same record, and equal records are stored alike."""

import orjson
from hypothesis import given

from tests.worker.people import records
from worker.domain import record_state


@given(records())
def test_a_record_comes_back_from_json_as_it_was(drawn):
    for record in drawn:
        stored = orjson.dumps(record_state.encode(record))
        again = record_state.decode(record.source, record.external_id, record.kind, orjson.loads(stored))

        assert orjson.dumps(record_state.encode(again)) == stored
        assert (again.is_live, again.ties(), again.names(), again.history()) == (
            record.is_live,
            record.ties(),
            record.names(),
            record.history(),
        )
