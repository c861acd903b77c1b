"""Our rules: rows become events, events become records, and resolve groups the records.

What is used of the worker: how it normalises events, folds records and resolves. When ``resolve`` changes, change
``groups`` and nothing else here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bench.identity.rows import Row, Statement
from connectors.contract import Identifier, MalformedPayloadError, ProfileSeen
from worker import ids
from worker.domain.folded import fold_batch
from worker.domain.grouping import Limits
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.resolve import resolve
from worker.domain.statements import EnvelopeStatements
from worker.settings import Settings

_FIRST_DAY = datetime(2021, 1, 1, tzinfo=UTC)


def groups(rows: Sequence[Row]) -> list[int]:
    """Return a group for each row; a guest without a readable address or number is nobody, and alone."""
    envelopes = [[_stated(row, shown) for shown in row.statements] for row in rows]
    folded = fold_batch([], [stated for of_row in envelopes for stated in of_row], ids.new)
    fields = Settings.model_fields
    limits = Limits(crowd=fields["crowd_limit"].default, component=fields["component_limit"].default)
    resolution = resolve([row.record for row in folded.rows.values()], [], limits)
    group_of = {ref: number for number, refs in enumerate(resolution.groups) for ref in refs}
    found = []
    for place, (first, *_) in enumerate(envelopes, 1):
        ref = next(iter(first.records), None)
        found.append(-place if ref is None else group_of[ref])
    return found


def _stated(row: Row, shown: Statement) -> EnvelopeStatements:
    day = _FIRST_DAY + timedelta(days=shown.day)
    said = [(row.source, _event(row, shown))]
    try:
        statements = normalise_api_write(ids.new(), said, sent_at=day, delivery_id="", ceiling=ceiling_of(day))
    except MalformedPayloadError:  # a guest of whom nothing can be read: the envelope would be parked
        statements = EnvelopeStatements(ids.new(), row.source)
    statements.source = row.source  # as if a webhook of the source had delivered them, not a request to our API
    return statements


def _event(row: Row, shown: Statement) -> ProfileSeen:
    email = None if shown.email is None else Identifier(type="email", value=shown.email)
    phone = None if shown.number is None else Identifier(type="phone", value=shown.number + shown.extension)
    names = (
        {"profile_name": shown.given} if row.is_messenger else {"first_name": shown.given, "last_name": shown.surname}
    )
    return ProfileSeen(
        external_id=row.external_id,
        occurred_at=_FIRST_DAY + timedelta(days=shown.day),
        created_at=_FIRST_DAY + timedelta(days=row.statements[0].day),
        fields=names,
        identifiers={"email": email, "phone": phone},
        region=row.region,
    )
