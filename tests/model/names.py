"""Names: which are alike, and which records disagree (section 5, rule 3)."""

import re
import unicodedata
from collections.abc import Iterable

ALIKE = 0.8
#: below this Jaro similarity a common prefix earns nothing, as in Winkler's own definition
BOOST_FROM = 0.7


def tokens(name: str) -> list[str]:
    """Return the words of a name that have letters, without accents and case."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return [word for word in re.split(r"[\W_]+", plain) if any(map(str.isalpha, word))]


def jaro(a: str, b: str) -> float:
    window = max(max(len(a), len(b)) // 2 - 1, 0)
    taken: set[int] = set()
    matched_a = []
    for i, letter in enumerate(a):
        for j in range(max(0, i - window), min(len(b), i + window + 1)):
            if j not in taken and b[j] == letter:
                taken.add(j)
                matched_a.append(letter)
                break
    if not matched_a:
        return 0.0
    m = len(matched_a)
    moved = sum(x != y for x, y in zip(matched_a, (b[j] for j in sorted(taken)), strict=True)) // 2
    return (m / len(a) + m / len(b) + (m - moved) / m) / 3


def jaro_winkler(a: str, b: str) -> float:
    similarity = jaro(a, b)
    if similarity <= BOOST_FROM:
        return similarity
    prefix = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return similarity + min(prefix, 4) * 0.1 * (1 - similarity)


def are_partners(a: str, b: str) -> bool:
    """Whether two words may be the same word; an initial matches its letter."""
    if len(a) == 1 or len(b) == 1:
        return a[0] == b[0]
    return jaro_winkler(a, b) >= ALIKE


def are_alike(a: str, b: str) -> bool:
    """Whether every word of the shorter name has a partner of its own in the longer name, in any order."""
    shorter, longer = sorted((tokens(a), tokens(b)), key=len)
    return _all_find_partners(shorter, longer)


def _all_find_partners(words: list[str], others: list[str]) -> bool:
    if not words:
        return True
    first, rest = words[0], words[1:]
    return any(
        are_partners(first, other) and _all_find_partners(rest, others[:i] + others[i + 1 :])
        for i, other in enumerate(others)
    )


def disagree(names: Iterable[str], others: Iterable[str]) -> bool:
    """Whether two records disagree: both have said a name with letters, and no name of one is like one of the other."""
    a, b = ([name for name in said if tokens(name)] for said in (names, others))
    return bool(a and b) and not any(are_alike(x, y) for x in a for y in b)
