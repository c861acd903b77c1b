"""Folded: what a batch of statements makes of the records that it is about. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from worker.domain.fold import fold, repeats, withdraw
from worker.domain.record import Record
from worker.domain.rows import RecordRow
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE, Ident, Ref, Stamp, Tie, kind_of


@dataclass(slots=True)
class Withdrawn:
    """What a replay took back before the statements of its envelopes are folded anew."""

    envelope_ids: Sequence[UUID]
    records: Sequence[RecordRow]  #: those that the envelopes were about
    unspoken: Collection[UUID]  #: ids of those of them that no kept envelope is about any more
    addresses: Collection[Ident] = ()  #: what the ledgers said something about that is taken back


@dataclass(slots=True)
class Regrouped:
    """Records to group again under new rules. Nothing new is said about them."""

    rows: Sequence[RecordRow]
    changed: Collection[Ref]  #: those whose state is no longer as it is stored
    ties: Mapping[Ref, Mapping[Ident, Tie]]  #: what is stored about what ties them to others


@dataclass(slots=True)
class Folded:
    """Records after the statements of a batch."""

    rows: dict[Ref, RecordRow]  #: every record that the batch is about; ``version`` 0 for a new one
    changed: set[Ref] = field(default_factory=set)  #: their state has to be written
    #: what tied the active ones to others before. Active records say something else than before, so that groups and
    #: contacts may change; the others repeat themselves, at most at a later time
    ties_before: dict[Ref, Mapping[Ident, Tie]] = field(default_factory=dict)
    deleted: list[UUID] = field(default_factory=list)  #: records that nobody is left to speak of
    were_gone: set[Ref] = field(default_factory=set)  #: active records that were stored, and not live, before the batch

    @classmethod
    def of(cls, regrouped: Regrouped) -> "Folded":
        """Return the records of a batch without statements. Each of them may change its group and its contact."""
        rows = {row.ref: row for row in regrouped.rows}
        return cls(rows, set(regrouped.changed), {ref: regrouped.ties.get(ref, {}) for ref in rows})

    @property
    def active(self) -> dict[Ref, RecordRow]:
        """The records that may change groups and contacts."""
        return {ref: self.rows[ref] for ref in self.ties_before}

    @property
    def repeating(self) -> set[Ref]:
        """The records that say what they said before."""
        return self.rows.keys() - self.ties_before.keys()


def fold_batch(
    stored: Iterable[RecordRow],
    statements: Sequence[EnvelopeStatements],
    new_id: Callable[[], UUID],
    withdrawn: Withdrawn | None = None,
) -> Folded:
    """Fold statements into the records that they are about, in place.

    ``stored`` are those that are stored, ``new_id`` gives the others their ids. A record that repeats itself
    cannot regroup anybody, and changes no contact: after a replay no record passes for one.
    """
    rows = {row.ref: row for row in stored}
    for stated in statements:
        for ref in stated.records:
            if ref not in rows:
                rows[ref] = RecordRow(new_id(), Record(*ref, kind_of(ref)))
    suspects = set(rows) if withdrawn is not None else _with_news(rows, statements)
    ties_before = {ref: rows[ref].record.ties() for ref in suspects}
    were_gone = {ref for ref in suspects if rows[ref].version > 0 and not rows[ref].record.is_live}
    contents = {ref: rows[ref].record.content() for ref in suspects if rows[ref].version > 0 and withdrawn is None}
    changed = set() if withdrawn is None else _take_back(rows, withdrawn)
    for stated in statements:
        for ref, about in stated.records.items():
            if fold(rows[ref].record, about):
                changed.add(ref)
    deleted = [] if withdrawn is None else _remove_unspoken(statements, withdrawn)
    repeating = _repeating(rows, contents, changed, statements)
    active = {ref: known for ref, known in ties_before.items() if ref not in repeating}
    return Folded(rows, changed, active, deleted, were_gone)


def _take_back(rows: Mapping[Ref, RecordRow], withdrawn: Withdrawn) -> set[Ref]:
    """Take back what the withdrawn envelopes stated; return the records concerned, which is all of them."""
    for envelope_id in withdrawn.envelope_ids:
        for row in rows.values():
            withdraw(row.record, envelope_id.hex)
    return set(rows)


def _remove_unspoken(statements: Iterable[EnvelopeStatements], withdrawn: Withdrawn) -> list[UUID]:
    """Find records that only a withdrawn statement was about; they count as removed, and are to be deleted."""
    spoken_of = {ref for stated in statements for ref in stated.records}
    gone = [row for row in withdrawn.records if row.ref not in spoken_of and row.id in withdrawn.unspoken]
    for row in gone:
        row.record.removed = row.record.removed or Stamp(0, 0, "", 0, "")
    return [row.id for row in gone]


def _with_news(rows: Mapping[Ref, RecordRow], statements: Iterable[EnvelopeStatements]) -> set[Ref]:
    """Find the records about which something is stated, or decided, that they do not plainly say already.

    Whatever a request of the API is about has news: of edits the newest counts, and its answer is judged by the
    outcome.
    """
    news = {ref for ref, row in rows.items() if row.version == 0}
    for stated in statements:
        for ref, about in stated.records.items():
            if ref not in news and (stated.source == API_SOURCE or not repeats(rows[ref].record, about)):
                news.add(ref)
        for decision in stated.decisions:
            news.update({decision.a, decision.b} & rows.keys())  # an edit is made of records that it does not speak of
    return news


def _repeating(
    rows: Mapping[Ref, RecordRow],
    contents: Mapping[Ref, object],
    changed: Collection[Ref],
    statements: Iterable[EnvelopeStatements],
) -> set[Ref]:
    """Find the records that repeat themselves: those without news, and those whose content is as it was.

    ``contents`` is what those with news said before the statements were folded; new records have none.
    """
    of_api = {ref for stated in statements if stated.source == API_SOURCE for ref in stated.records}
    decided = {ref for stated in statements for decision in stated.decisions for ref in (decision.a, decision.b)}
    return {
        ref
        for ref, before in contents.items()
        if ref not in decided and (ref not in changed or (ref not in of_api and rows[ref].record.content() == before))
    }
