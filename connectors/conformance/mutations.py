"""Ways to damage a body or a header. All are fixed or seeded: an example is damaged the same way every time."""

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]

#: Values of every type, some of odd sizes. They are long, so that an error text cannot contain them by chance.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    -987654321,
    987654321987654321987654321,
    987654.321987,
    1e300,
    "",
    " \t\n\u00a0",
    "Wrong Of Type 4711",
    "Nul \0 and half a pair \ud800",
    "x" * 30_000,
    "2026-09-14T18:42:07",
    "gid://shopify/Shop/987654321",
    ["Wrong Of Type 4711", {"Wrong": "Of Type 4712"}],
    [[["Wrong Of Type 4711"]]],
    {"id": "Wrong Of Type 4711"},
    {},
    [],
)

#: Values that a broken or malicious sender may put into a header.
ODD_HEADERS = (
    "",
    " ",
    "\0",
    "\u00e9",
    "\ud800",
    "0",
    "-1",
    "1e400",
    "NaN",
    "9" * 400,
    "253402300800000",  # seconds after the year 9999
    "2026-02-30T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "2026-09-14T18:42:07",
    "x" * 10_000,
    "A" * 43 + "=",
    "v1,",
    ",",
    ";;==",
)

#: Bodies that are not objects; some of them are JSON.
NO_OBJECTS = (b"[]", b"null", b'"text"', b"17", b"\xff\xfe{}")

_TWICE = "\x01the key that is given twice"


def paths(node: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path of every value inside, at every depth."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


def shown(path: Path) -> str:
    """Return a path as errors name it: ``lines[0].name``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".") or "the body"


def at(node: Any, path: Path) -> Any:
    """Return the value at a path."""
    for key in path:
        node = node[key]
    return node


def leaves(node: Any) -> Iterator[str]:
    """Yield every value that is not an object or list, as text."""
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from leaves(child)
    else:
        yield str(node)


def changed(body: Any, path: Path, value: Any) -> Any:
    """Return a copy with another value at the path."""
    body = copy.deepcopy(body)
    at(body, path[:-1])[path[-1]] = value
    return body


def without(body: Any, path: Path) -> Any:
    """Return a copy without the key or entry at the path."""
    body = copy.deepcopy(body)
    del at(body, path[:-1])[path[-1]]
    return body


def with_odd_values(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield copies in which one value is replaced by an odd value, or left out; each with the path."""
    for path in list(paths(body)):
        for odd in ODD_VALUES:
            yield shown(path), changed(body, path, odd)
        yield f"{shown(path)} (left out)", without(body, path)


def with_several_odd_values(body: Any, seed: str, n: int = 100) -> Iterator[tuple[str, Any]]:
    """Yield ``n`` copies with odd values in two or three places, each with the paths."""
    rng = random.Random(seed)  # noqa: S311 - drawn again the same way, not a secret
    for _ in range(n):
        spoilt, names = body, []
        for _ in range(rng.randint(2, 3)):
            places = list(paths(spoilt))
            if places:
                place = rng.choice(places)
                spoilt = changed(spoilt, place, rng.choice(ODD_VALUES))
                names.append(shown(place))
        yield " and ".join(names), spoilt


def reordered(node: Any) -> Any:
    """Return a copy with the keys of every object in the opposite order."""
    if isinstance(node, dict):
        return {key: reordered(node[key]) for key in reversed(node)}
    return [reordered(child) for child in node] if isinstance(node, list) else node


def with_keys_twice(body: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the body with one key twice: first with an odd value, then with its own."""
    for path in list(paths(body)):
        if isinstance(path[-1], str):
            holder = at(body, path[:-1])
            doubled = {_TWICE: "Wrong Of Type 4711", **holder}
            whole = changed(body, path[:-1], doubled) if path[:-1] else doubled
            yield shown(path), json.dumps(whole).replace(json.dumps(_TWICE), json.dumps(path[-1]), 1).encode()


def nested_deeply(body: Any) -> Iterator[bytes]:
    """Yield bodies with so many levels that a recursive function may run out of stack."""
    yield b'{"a":' * 100_000
    yield b"[" * 100_000
    for levels in (70, 500):
        deep: Any = "Wrong Of Type 4711"
        for _ in range(levels):
            deep = {"a": deep}
        for key in body if isinstance(body, dict) else ():
            yield json.dumps({**body, key: deep}).encode()


def with_id(node: Any, old: str, new: str) -> Any:
    """Return a copy in which one id is replaced everywhere: as a number, as text, in a path or query."""
    if isinstance(node, dict):
        return {key: with_id(child, old, new) for key, child in node.items()}
    if isinstance(node, list):
        return [with_id(child, old, new) for child in node]
    if isinstance(node, str):
        return re.sub(rf"(?<![0-9]){old}(?![0-9])", new, node)
    return int(new) if type(node) is int and str(node) == old else node
