"""Difference: which fields of a contact changed, as the change log tells it."""

from typing import Any

from worker.domain import registers
from worker.domain.changes import StoredDetail
from worker.domain.golden import Golden
from worker.domain.rows import ContactRow


def difference(old: ContactRow | None, shown: Golden, only: str | None) -> dict[str, StoredDetail]:
    """Return each field that changed: before, after, and the envelope that said the new value.

    Of the tags it tells those that went and those that came; else each change would log the whole set twice.
    """
    origins = shown.origins
    details: dict[str, StoredDetail] = {}
    last_origin, cause = None, None
    for name, before, after in _changed_fields(old, shown):
        origin = origins.get(name)
        if origin is not last_origin:  # most fields have the same
            last_origin, cause = origin, None if origin is None else origin.stamp.envelope_id
        details[name] = (before, after) if cause == only and cause is not None else (before, after, cause)
    old_tags = [] if old is None else old.tags
    if old_tags != shown.tags:
        had, has = set(old_tags), set(shown.tags)
        details["tags"] = (
            [one for one in old_tags if one not in has],
            [one for one in shown.tags if one not in had],
            None,
        )
    return details


def _changed_fields(old: ContactRow | None, shown: Golden) -> list[tuple[str, Any, Any]]:
    after = _fields(shown)
    if old is None:
        return [(name, None, value) for name, value in after.items() if value is not None]
    before = _fields(old)
    names = {**before, **after}
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _fields(contact: ContactRow | Golden) -> dict[str, Any]:
    """Return what the change log tells of, but for tags, by the names that origins go by."""
    found = {
        "name": contact.name,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "external_source": contact.external_source,
        "external_id": contact.external_id,
    }
    for name, value in contact.custom_fields.items():
        found[registers.of_field(name)] = value
    return found
