"""The faults of a simulated shop, which can be switched on."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

#: happen every n-th time: at a request to the API, or at a download for ``cut``, ``truncate`` and ``expire_url``
EVERY = (
    "throttle_every",  # THROTTLED, as HTTP 200
    "error_every",  # HTTP 503
    "html_every",  # an HTML page, as HTTP 200
    "internal_every",  # INTERNAL_SERVER_ERROR, as HTTP 200
    "expire_token_every",  # the access token dies; only if there is a refresh token
    "cut_every",  # the connection breaks in the middle of a body
    "truncate_every",  # a body that is too short, with a right Content-Length
    "expire_url_every",
)
#: happen the next n times
TIMES = (
    "busy_times",  # OPERATION_IN_PROGRESS
    "cancel_bulk_times",
    "fail_bulk_times",
    "refuse_cursor_times",
    "repeat_page_times",  # a page whose endCursor is the one that was sent
    "partial_times",  # data, and an error beside the data
)
#: on or off, or a number
SWITCHES = (
    "children",  # rows with __parentId, before and after their parents
    "garbage",  # three lines at the end of a file that are not customers
    "expired_url_status",  # the status of an expired address; 403 if off
    "whole_days",  # updated_at matches whole days
    "max_cost",  # of one query; 1,000 at Shopify
    "status",  # of every answer of the API
)
#: lists of fields of a customer
NAMES = (
    "deny",  # the scope is missing
    "unapproved",  # protected data the app is not approved for
    "deny_topics",  # webhooks whose scope is missing
)


class CutError(Exception):
    """The connection is cut here; the server drops it in the middle of the body."""


class Faults:
    """Which faults are on, and how often each has happened."""

    def __init__(self) -> None:
        self._set: dict[str, Any] = {}
        self._seen: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    def change(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Set these faults and return all; 0, false or an empty list ends a fault.

        Raises KeyError for an unknown name.
        """
        for name, value in settings.items():
            if name not in (*EVERY, *TIMES, *SWITCHES, *NAMES):
                raise KeyError(name)
            self._set[name] = value
            self._seen[name] = 0
        return dict(self._set)

    def due(self, name: str) -> bool:
        """Whether a fault of ``EVERY`` happens this time."""
        every = self.number(name)
        if not every:
            return False
        self._seen[name] += 1
        return self._count(name, is_so=self._seen[name] % every == 0)

    def takes(self, name: str) -> bool:
        """Whether a fault of ``TIMES`` happens this time."""
        left = self.number(name)
        if left:
            self._set[name] = left - 1
        return self._count(name, is_so=left > 0)

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self._set.get(name))

    def number(self, name: str) -> int:
        """Return the number a fault is set to; 0 if it is off."""
        return int(self._set.get(name) or 0)

    def names(self, name: str) -> frozenset[str]:
        """Return the fields or topics that a fault of ``NAMES`` is about."""
        return frozenset(self._set.get(name) or ())

    def _count(self, name: str, *, is_so: bool) -> bool:
        self.happened[name] += is_so
        return is_so
