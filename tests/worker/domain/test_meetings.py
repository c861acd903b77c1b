"""Envelopes of a batch meet if anything connects the people that they are about."""

from uuid import uuid4

import pytest

from worker.domain.folded import Folded
from worker.domain.grouping import Limits
from worker.domain.meetings import meetings
from worker.domain.record import Record
from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.statements import ConsentStatement, EnvelopeStatements, SuppressionStatement
from worker.domain.terms import Claim, Decision, Stamp, kind_of

A, B, C = ("shop", "1"), ("shop", "2"), ("crm", "3")
EMAIL = ("email", "a@example.com")


def a_row(ref, email=None, contact_id=None):
    record = Record(*ref, kind_of(ref))
    record.seen = Stamp(1, 1, "d", 0, "e")
    if email is not None:
        record.registers["@email"] = (Stamp(1, 1, "d", 0, "e"), Claim("email", email, email, False))
    return RecordRow(uuid4(), record, 1, contact_id)


def a_snapshot(rows, *stated, decisions=()):
    return Snapshot(
        Folded({}), Limits(5, 50), uuid4, rows={row.ref: row for row in rows}, stated=stated, decisions={*decisions}
    )


def about(ref, **more):
    return EnvelopeStatements(uuid4(), "api", records={ref: []}, **more)


def test_envelopes_about_different_people_do_not_meet():
    assert meetings(a_snapshot([a_row(A, "a@example.com"), a_row(B, "b@example.com")], about(A), about(B))) == set()


def test_the_later_of_two_about_one_record_is_late():
    first, second, third = about(A), about(A), about(B)

    assert meetings(a_snapshot([a_row(A), a_row(B)], first, second, third)) == {second.envelope_id}


def one_contact():
    id_ = uuid4()
    return a_snapshot([a_row(A, contact_id=id_), a_row(B, contact_id=id_)], about(A), about(B))


def neighbours():
    return a_snapshot(
        [a_row(A, "a@example.com"), a_row(C, "a@example.com"), a_row(B, "a@example.com")], about(A), about(B)
    )


def decided():
    decision = Decision("apart", A, B, 1, "t")
    return a_snapshot([a_row(A), a_row(B)], about(A), about(B), decisions=[decision])


def linked():
    link = Decision("link", A, B, 1, "t")
    return a_snapshot([a_row(A), a_row(B), a_row(C)], about(C, decisions=[link]), about(A))


def named():
    return a_snapshot([a_row(A, "a@example.com"), a_row(B)], about(A), about(B, idents={EMAIL}))


def refused():
    consent = ConsentStatement("email", "marketing", "a@example.com", "opted_out", 1, B, None, {})
    return a_snapshot([a_row(A, "a@example.com"), a_row(B)], about(A), about(B, consents=[consent]))


def suppressed():
    one = SuppressionStatement("email", "a@example.com", "all", "manual", False, 1, None, B)
    return a_snapshot([a_row(A, "a@example.com"), a_row(B)], about(A), about(B, suppressions=[one]))


@pytest.mark.parametrize("story", [one_contact, neighbours, decided, linked, named, refused, suppressed])
def test_what_connects_their_people_makes_envelopes_meet(story):
    snapshot = story()

    assert meetings(snapshot) == {snapshot.stated[1].envelope_id}


def test_what_was_tied_before_the_batch_connects_too():
    snapshot = a_snapshot([a_row(A), a_row(B, "a@example.com")], about(A), about(B))
    snapshot.folded.ties_before[A] = {EMAIL: None}

    assert meetings(snapshot) == {snapshot.stated[1].envelope_id}
