"""Delivery ids of rows that were read from a provider. Those of API requests are in ``api_writes``. Pure."""

from uuid import UUID

from worker.domain.terms import Stamp

#: leads the delivery id of every row that was read; part of the stored data, so it never changes
_READ = "read:"


def of_row(read_id: UUID, digest: str) -> str:
    """Name a row among the deliveries.

    ``read_id`` is the id of the run, or one of its own for a row that is read outside of a run. ``digest`` tells the
    rows of one run apart: the same content read twice in a run is one delivery.
    """
    return f"{_READ}{read_id.hex}:{digest[:32]}"


def is_of_run(stamp: Stamp) -> bool:
    """Return whether a statement comes from a row that was read, not from a webhook, an import or a request."""
    return stamp.delivery_id.startswith(_READ)
