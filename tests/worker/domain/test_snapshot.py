"""Snapshot: what is locked, and which decisions are new."""

from itertools import count
from uuid import UUID, uuid4

from connectors.contract import ConsentStated, ProfilesMerged
from tests.worker.histories import EMAILS, T0, a_profile, a_reading
from worker.domain.fold import Record
from worker.domain.folded import fold_batch
from worker.domain.resolve import Limits
from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot, lock_keys
from worker.domain.terms import Decision

numbers = count(1)


def a_snapshot(*statements):
    folded = fold_batch([], statements, lambda: UUID(int=next(numbers)))
    return Snapshot(folded, Limits(10, 200), rows=folded.active, stated=statements)


def test_every_record_and_every_identifier_that_matters_is_locked():
    consent = ConsentStated(external_id="1", channel="email", status="opted_out", address=EMAILS[1], occurred_at=T0)
    snapshot = a_snapshot(a_reading("a", a_profile("1", email=EMAILS[0])), a_reading("a", consent, number=1))
    snapshot.claimed["email", EMAILS[0]] = []
    snapshot.claimed["phone", "+4915112345"] = []  # let go, or a neighbour's
    snapshot.rows["b", "7"] = RecordRow(uuid4(), Record("b", "7", "customer"), 1)

    assert lock_keys(snapshot) == {
        "record:a:1",
        "record:b:7",
        f"email:{EMAILS[0]}",
        f"email:{EMAILS[1]}",
        "phone:+4915112345",
    }


def test_a_decision_that_is_stored_is_not_new_whatever_its_time():
    merged = a_reading("a", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))
    snapshot = a_snapshot(merged, merged)
    (new,) = snapshot.new_decisions()
    assert (new.actor, new.envelope_id) == ("a", merged.envelope_id)

    known = new.decision
    snapshot.decisions = {Decision(known.kind, known.a, known.b, known.occurred + 1, known.tie)}

    assert snapshot.new_decisions() == []
    assert snapshot.all_decisions() == snapshot.decisions


def test_a_record_of_the_batch_comes_before_one_that_was_loaded_beside_it():
    snapshot = a_snapshot(a_reading("a", a_profile("1")))
    ours = snapshot.folded.rows["a", "1"]
    snapshot.rows = {("a", "1"): RecordRow(uuid4(), Record("a", "1", "customer"), 1)}

    assert snapshot.record_rows()["a", "1"] is ours
