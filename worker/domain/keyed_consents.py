"""Keyed consents: the same statement twice has the same key, made of everything it says."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import orjson

from worker.domain.statements import ConsentStatement, EnvelopeStatements


class KeyedConsent(NamedTuple):
    """A consent on its way into the ledger."""

    key: bytes  #: the same statement twice has the same key
    consent: ConsentStatement
    envelope_id: UUID


def keyed_consents(statements: Iterable[EnvelopeStatements]) -> list[KeyedConsent]:
    """Key the consents of a batch. It takes a while, and needs no lock."""
    return [keyed(consent, stated.envelope_id) for stated in statements for consent in stated.consents]


def keyed(consent: ConsentStatement, envelope_id: UUID) -> KeyedConsent:
    """Key a consent by everything it says."""
    parts: tuple[object, ...] = (
        consent.channel,
        consent.purpose,
        consent.address,
        consent.status,
        consent.occurred,
        consent.ref,
        consent.method,
        sorted(consent.evidence.items()),
    )
    rest = (consent.origin, consent.legal_basis, consent.expires_at, consent.is_repeat)
    if any(rest) or consent.is_undated:  # appended, so that statements without these keep the key they always had
        parts += rest
    if consent.is_undated:
        parts += ("undated",)
    return KeyedConsent(blake2b(orjson.dumps(parts), digest_size=16).digest(), consent, envelope_id)
