"""Snapshot: which keys a writer locks, and which decisions of a batch are new."""

from itertools import count
from uuid import UUID, uuid4

from connectors.contract import ConsentStated, ProfilesMerged
from tests.worker.histories import EMAILS, T0, a_profile, statements_of
from worker.domain.folded import fold_batch
from worker.domain.grouping import Limits
from worker.domain.record import Record
from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot, lock_keys
from worker.domain.terms import Decision

numbers = count(1)


def new_id():
    return UUID(int=next(numbers))


def a_snapshot(*statements):
    folded = fold_batch([], statements, new_id)
    return Snapshot(folded, Limits(10, 200), new_id, rows=folded.active, stated=statements)


def test_every_record_and_every_identifier_of_a_snapshot_is_locked():
    consent = ConsentStated(external_id="1", channel="email", status="opted_out", address=EMAILS[1], occurred_at=T0)
    snapshot = a_snapshot(statements_of("a", a_profile("1", email=EMAILS[0])), statements_of("a", consent, number=1))
    snapshot.claimed["email", EMAILS[0]] = []
    snapshot.claimed["phone", "+4915112345"] = []  # dropped by its record, or claimed by a record nearby
    snapshot.rows["b", "7"] = RecordRow(uuid4(), Record("b", "7", "customer"), 1)

    assert lock_keys(snapshot) == {
        "record:a:1",
        "record:b:7",
        f"email:{EMAILS[0]}",
        f"email:{EMAILS[1]}",
        "phone:+4915112345",
    }


def test_a_decision_that_is_stored_already_is_not_new_whatever_its_time():
    merged = statements_of("a", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))
    snapshot = a_snapshot(merged, merged)
    (new,) = snapshot.new_decisions()
    assert (new.actor, new.envelope_id) == ("a", merged.envelope_id)

    known = new.decision
    snapshot.decisions = {Decision(known.kind, known.a, known.b, known.occurred + 1, known.tie)}

    assert snapshot.new_decisions() == []
    assert snapshot.all_decisions() == snapshot.decisions


def test_the_folded_row_of_a_record_comes_before_the_row_that_was_loaded():
    snapshot = a_snapshot(statements_of("a", a_profile("1")))
    folded_row = snapshot.folded.rows["a", "1"]
    snapshot.rows = {("a", "1"): RecordRow(uuid4(), Record("a", "1", "customer"), 1)}

    assert snapshot.record_rows()["a", "1"] is folded_row
