"""What a row says about consent and about addresses that must not be used.

Quirk: "no" in a column of consent may mean "never asked" (Shopify's "Accepts Email Marketing"). It is read as "no",
because whoever maps the column vouches for its "no".
Quirk: "yes" in a column named "Unsubscribed" means "no" (HubSpot). In such a column plain yes and no are refused, and
only words that cannot mean the opposite are read.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, cast, get_args

from connectors.consent_terms import (
    KNOWN,
    PLAINER_WORDS,
    WORDS,
    Channel,
    ConsentStatus,
    SuppressionReason,
    word_of,
)
from connectors.contract import ConsentStated, Event, MalformedPayloadError, SuppressionStated
from connectors.files.cells import Cells


class _Kind(NamedTuple):
    name: str
    channel: Channel
    slot: str

    @property
    def at(self) -> str:
        return f"{self.name}_at"


_CONSENTS = (
    _Kind("email_consent", "email", "email"),
    _Kind("sms_consent", "sms", "phone"),
    _Kind("whatsapp_consent", "whatsapp", "phone"),
)
#: their cells hold a reason
_SUPPRESSIONS = (_Kind("email_suppression", "email", "email"), _Kind("sms_suppression", "sms", "phone"))
NAMES = tuple(known for kind in (*_CONSENTS, *_SUPPRESSIONS) for known in (kind.name, kind.at))
REASONS: tuple[str, ...] = get_args(SuppressionReason)

_NEGATIVE = re.compile(r"unsubscri|opt(?:ed)?[-_ ]*out|do[-_ ]*not|abgemeldet|désabonn|desabonn", re.IGNORECASE)


def is_readable(written: str, column: str = "") -> bool:
    """Whether a cell of a column with that name can be read as consent; an empty cell can."""
    return not written.strip() or word_of(written) in _words_of(column)


def stated(
    cells: Cells,
    external_id: str | None,
    contacts: Mapping[str, str | None],
    as_of: datetime | None,
    region: str | None,
) -> Iterator[Event]:
    """Yield the consents and suppressions of a row.

    ``contacts`` holds the e-mail and the number of the row, by slot. ``as_of`` is the time of the file: it dates
    a statement whose own date is missing.

    Raises MalformedPayloadError, which names the column, for a word that is not known.
    """
    for kind in _CONSENTS:
        yield from _consented(cells, kind, external_id, contacts[kind.slot], as_of, region)
    for kind in _SUPPRESSIONS:
        reason, at = cells.word(kind.name), cells.moment(kind.at)
        address = contacts[kind.slot]
        if reason is None or address is None:
            continue
        if reason.lower() not in REASONS:
            raise MalformedPayloadError(f"{cells.column(kind.name)}: expected {', '.join(REASONS)}, got another word")
        yield SuppressionStated(
            external_id=external_id,
            channel=kind.channel,
            address=address,
            reason=cast("SuppressionReason", reason.lower()),
            occurred_at=at or as_of,
            region=region,
        )


def _consented(
    cells: Cells,
    kind: _Kind,
    external_id: str | None,
    address: str | None,
    as_of: datetime | None,
    region: str | None,
) -> Iterator[Event]:
    """Yield what a column of consent says; a "no" also suppresses the address, if there is one."""
    # The time is read first, because a bad time is an error whatever the word.
    at = cells.moment(kind.at)
    written = cells.word(kind.name)
    if written is None:
        return
    word = word_of(written)
    words = _words_of(cells.column(kind.name))
    if word not in words:
        raise MalformedPayloadError(f"{cells.column(kind.name)}: expected {_expected(words)}, got another word")
    status = words[word]
    if status is None or (external_id is None and address is None):
        return  # there is neither an address nor a customer that the consent could belong to
    # A "no" without a time is as old as the file; a "yes" without one must not overrule an older "no".
    occurred_at = at or (as_of if status == "opted_out" else None)
    yield ConsentStated(
        external_id=external_id,
        channel=kind.channel,
        status=status,
        address=address,
        occurred_at=occurred_at,
        evidence={"word": word},
        region=region,
    )
    if status == "opted_out" and address is not None:
        yield SuppressionStated(
            external_id=external_id,
            channel=kind.channel,
            address=address,
            reason="unsubscribed",
            occurred_at=occurred_at,
            scope="marketing",
            region=region,
        )


def _words_of(column: str) -> Mapping[str, ConsentStatus | None]:
    is_negative = _NEGATIVE.search(column) and not column.startswith("--set ")
    return PLAINER_WORDS if is_negative else WORDS


def _expected(words: Mapping[str, ConsentStatus | None]) -> str:
    if words is WORDS:
        return KNOWN
    return "subscribed, unsubscribed or pending (yes and no could mean either in a column with this name)"
