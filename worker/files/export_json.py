"""Export as JSON: one line for each contact, in the canonical form or in the form of the Contacts API.

The canonical export depends only on the set of accepted envelopes, not on when they came, how often or in which
order. So it has no ids of ours, no times of arrival and no delivery ids, and every list is sorted by its content.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from worker import api_schemas
from worker.domain.api_writes import is_of_request
from worker.domain.consent import ConsentEntry, Suppression
from worker.domain.deliveries import is_of_run
from worker.domain.golden import Origin
from worker.domain.times import moment
from worker.pipeline import contact_view
from worker.pipeline.contact_view import ContactView, Identity
from worker.store import contacts
from worker.store.db import Tx

_PAGE = 500
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def canonical(tx: Tx) -> Iterator[bytes]:
    """Yield the contacts as lines of JSON, sorted by their leading customer (external_source, external_id).

    Two stores that accepted the same envelopes yield the same bytes. ``tx`` should see one snapshot
    (``db.snapshot``); otherwise an export during a drain mixes two states of the store.
    """
    for page in pages(tx):
        for one in page:
            yield orjson.dumps(_line(one), option=_OPTIONS)


def jsonl(tx: Tx) -> Iterator[bytes]:
    """Yield the contacts as lines of JSON, as the Contacts API shows them, with identities, consents, suppressions."""
    now = datetime.now(UTC)
    for page in pages(tx):
        for one in page:
            id_ = one.contact.id
            shown = {
                **dict(api_schemas.Contact.of(one.contact)),
                "identities": [dict(api_schemas.Identity.of(identity, id_)) for identity in one.identities],
                "consents": [dict(api_schemas.Consent.of(consent, id_)) for consent in one.consents(now)],
                "suppressions": [
                    dict(api_schemas.Suppression.of(suppression, id_, now)) for suppression in one.suppressions
                ],
            }
            yield orjson.dumps(shown, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def pages(tx: Tx) -> Iterator[list[ContactView]]:
    """Yield the views of all contacts, a page at a time, sorted by their leading customer."""
    after = ("", "")
    while page := contacts.page_by_external_id(tx, after, _PAGE):
        yield contact_view.load(tx, page)
        after = (page[-1].external_source, page[-1].external_id)


def _line(one: ContactView) -> dict[str, Any]:
    contact = one.contact
    return {
        "external_source": contact.external_source,
        "external_id": contact.external_id,
        "name": contact.name,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "custom_fields": contact.custom_fields,
        "tags": contact.tags,
        "origins": {name: _origin(name, origin) for name, origin in one.origins.items()},
        "identities": sorted((_identity(identity) for identity in one.identities), key=_order),
        "unowned": sorted((_identity(identity) for identity in one.unowned), key=_order),
        "records": [
            {
                "source": row.record.source,
                "external_id": row.record.external_id,
                "kind": row.record.kind,
                "lost": row.merged is not None,
            }
            for row in one.records
        ],
        "consents": [_consent(consent.statement) for consent in one.consents()],
        "suppressions": [_suppression(suppression) for suppression in one.suppressions],
    }


def _origin(name: str, origin: Origin) -> dict[str, Any]:
    # An API write that states no time has only its time of arrival. A set of tags read from a provider has only the
    # time at which we read it. Neither is in the canonical form.
    is_untimed = is_of_request(origin.stamp) or (name.startswith("tag:") and is_of_run(origin.stamp))
    return {
        "source": origin.source,
        "external_id": origin.external_id,
        "occurred_at": None if is_untimed else moment(origin.stamp.occurred),
    }


def _identity(identity: Identity) -> dict[str, Any]:
    return {
        "type": identity.type,
        "source": identity.source,
        "key": identity.key,
        "value": identity.value,
        "verified": identity.is_verified,
        "contested": identity.is_contested,
        "claimant": identity.claimant,
        "owner": identity.owner,
    }


def _order(shown: dict[str, Any]) -> tuple[Any, ...]:
    return (shown["type"], shown["source"], shown["key"], shown["claimant"])


def _consent(statement: ConsentEntry) -> dict[str, Any]:
    rest = {"legal_basis": statement.legal_basis, "expires_at": statement.expires_at}
    return {
        "channel": statement.channel,
        "purpose": statement.purpose,
        "status": statement.status,
        "address": statement.address,
        "occurred_at": moment(statement.occurred),
        "source": statement.origin or statement.ref[0],
        "external_id": statement.ref[1],
        "method": statement.method,
        "evidence": statement.evidence,
        **{name: value for name, value in rest.items() if value is not None},
    }


def _suppression(suppression: Suppression) -> dict[str, Any]:
    return {
        "channel": suppression.channel,
        "address": suppression.address,
        "scope": suppression.scope,
        "reason": suppression.reason,
        "source": suppression.source,
        "first_seen_at": moment(suppression.first_seen),
        "last_seen_at": moment(suppression.last_seen),
        "lifted_at": moment(suppression.lifted or 0),
        "expires_at": suppression.expires_at,
        "count": suppression.count,
        **({} if suppression.note is None else {"note": suppression.note}),
    }
