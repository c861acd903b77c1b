"""Our rules: rows become events, events become records, and resolve groups the records.

What is used of the worker: how it normalises events, folds records and resolves. When ``resolve`` changes, change
``groups`` and nothing else here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bench.identity.rows import Row, Said
from connectors.contract import Identifier, ProfileSeen
from worker import ids
from worker.domain.folded import fold_batch
from worker.domain.normalise import normalise_api_write
from worker.domain.resolve import Limits, resolve
from worker.domain.snapshot import member
from worker.domain.statements import EnvelopeStatements
from worker.settings import Settings

_FIRST_DAY = datetime(2021, 1, 1, tzinfo=UTC)


def groups(rows: Sequence[Row]) -> list[int]:
    """Return a group for each row; a guest without a readable address or number is nobody, and alone."""
    statements = [[_stated(row, said) for said in row.said] for row in rows]
    folded = fold_batch([], [stated for of_row in statements for stated in of_row], ids.new)
    fields = Settings.model_fields
    limits = Limits(crowd=fields["crowd_limit"].default, component=fields["component_limit"].default)
    resolution = resolve([member(row) for row in folded.rows.values()], [], limits)
    group_of = {ref: number for number, refs in enumerate(resolution.groups) for ref in refs}
    return [
        group_of[next(iter(first.records))] if first.records else -place
        for place, (first, *_) in enumerate(statements, 1)
    ]


def _stated(row: Row, said: Said) -> EnvelopeStatements:
    day = _FIRST_DAY + timedelta(days=said.day)
    statements = normalise_api_write(ids.new(), [(row.source, _event(row, said))], sent_at=day, delivery_id="")
    statements.source = row.source  # as if a webhook of the source had delivered them, not a request to our API
    return statements


def _event(row: Row, said: Said) -> ProfileSeen:
    email = None if said.email is None else Identifier(type="email", value=said.email)
    phone = None if said.number is None else Identifier(type="phone", value=said.number + said.extension)
    names = {"name": said.given} if row.is_messenger else {"first_name": said.given, "last_name": said.surname}
    return ProfileSeen(
        external_id=row.external_id,
        occurred_at=_FIRST_DAY + timedelta(days=said.day),
        created_at=_FIRST_DAY + timedelta(days=row.said[0].day),
        fields=names,
        identifiers={"email": email, "phone": phone},
        region=row.region,
    )
