"""Delivery ids of our own making: what their beginnings tell of a statement."""

from worker.domain.terms import Stamp

#: leads the delivery id of a row that was read from a provider
READ = "read:"


def is_of_run(stamp: Stamp) -> bool:
    """Whether a statement was read from a provider, and not sent by it."""
    return stamp.delivery_id.startswith(READ)
