"""Which headers of a request are kept with its envelope: those that the connector looks at, and never a proof.

Headers are not signed. A kept one is for a replay and for a person who looks; nothing is decided by it alone. What
proves a sender (signatures, keys, cookies) proves nothing later, and whoever reads a backup must not find it.

A connector names its headers in ``HEADERS``. Of a connector without that name all are kept but those that may be a
proof or a secret, and those that our own rows use.
"""

import re
from collections.abc import Collection, Mapping

#: of one envelope; the names and values that are beyond are left out, from the last on
MOST_HEADERS, MOST_CHARACTERS = 100, 16 * 1024

_SECRET = re.compile(r"signature|hmac|digest|auth|cookie|token|secret|api-?key|passw|credential|session|x-hub-")
_OURS = ("read-", "file-")
_PERHAPS_OURS = re.compile('"(?:actor"|read-|file-)', re.IGNORECASE)


def is_ours(name: str) -> bool:
    """Whether a header, in lower case, has a name by which our own rows and requests were marked."""
    return name == "actor" or name.startswith(_OURS)


def may_have_ours(kept_as_json: str) -> bool:
    """Return False if surely none of the kept headers has such a name. Nearly always it is so, and quicker to see."""
    return _PERHAPS_OURS.search(kept_as_json) is not None


def kept(connector: object, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of a request that are kept; ``headers`` has names in lower case."""
    names: Collection[str] | None = getattr(connector, "HEADERS", None)
    if names is not None:
        found = [pair for pair in headers.items() if pair[0] in names]
    else:
        found = [(name, value) for name, value in headers.items() if not _SECRET.search(name) and not is_ours(name)]
    if len(found) <= MOST_HEADERS and sum([len(name) + len(value) for name, value in found]) <= MOST_CHARACTERS:
        return found
    size = 0
    for place, (name, value) in enumerate(found):
        size += len(name) + len(value)
        if size > MOST_CHARACTERS or place == MOST_HEADERS:
            return found[:place]
    return found
