"""Names of people: whether two records can be about one person, as far as their names tell.

People shorten, misspell and reorder their names, so a name is compared token by token. Accents, case and order do not
matter, and an initial stands for every name with that letter.
"""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import product

from rapidfuzz.distance import JaroWinkler

from connectors.cleaning import is_normalisable, normalised

#: Jaro-Winkler similarity from which two tokens are one name in two spellings
MIN_SIMILARITY = 0.8
#: tokens of a name that count; people have fewer, and the comparison grows with their product
MAX_TOKENS = 8
#: letters of a token that count
_MAX_LETTERS = 64
#: characters of a name that are looked at
_MAX_NAME = 512
#: names that are remembered: those of some batches, because records of one batch meet again and again
_CACHED = 8192

#: Words that address a person and name nobody. Words that are also names of people (Don, Pak, Dean) are not listed.
_TITLES = frozenset(
    {"bapak", "dr", "dra", "fr", "frau", "herr", "hr", "ibu", "ir", "mlle", "mme", "mr", "mrs"}
    | {"ms", "msgr", "mx", "prof", "professor", "sr", "sra", "srta"}
)
#: Apostrophes in all their spellings do not part a name: O'Brien is also written OBrien.
_APOSTROPHES = "'`´‘’‛ʹʻʼʽʾʿ′＇\u05f3\u05f4"  # noqa: RUF001 - the look-alikes are meant
#: Neither do characters that only steer how text is drawn: joiners, the soft hyphen, marks of direction, the tatweel.
_INVISIBLE = "\u00ad\u0640\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_DROPPED = str.maketrans("", "", _APOSTROPHES + _INVISIBLE)
#: Letters that Unicode does not take apart, and how people write them on another keyboard.
_PLAIN_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe"}  # noqa: RUF001
)
_PLAIN_TOKENS = re.compile(r"[a-z]+")


@lru_cache(maxsize=_CACHED)
def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name in the form in which they are compared: lower case, letters only, no accents.

    Titles are left out. The result is empty for a name without letters. Of a very long name only the beginning counts.
    """
    text = name[:_MAX_NAME].translate(_DROPPED)
    words = _PLAIN_TOKENS.findall(text.lower()) if text.isascii() else _words(text)
    return tuple([word[:_MAX_LETTERS] for word in words if word not in _TITLES][:MAX_TOKENS])


def _words(text: str) -> list[str]:
    """Split text of any script into words.

    Vowel signs of Indian and Thai script are no letters to Unicode and belong to the word. They have no combining
    class. Accents, and the vowel points of Arabic and Hebrew, have one.
    """
    if not is_normalisable(text):  # the marks are dropped below in any case
        text = "".join(one for one in text if not unicodedata.combining(one))
    folded = normalised("NFKD", normalised("NFKD", text).casefold()).translate(_DROPPED)
    kept = "".join(
        character if character.isalpha() or unicodedata.category(character) in ("Mc", "Mn", "Me") else " "
        for character in folded.translate(_PLAIN_LETTERS)
        if not unicodedata.combining(character)
    )
    # Korean syllables were taken apart with the accents. Put together again, a syllable counts as one letter.
    words = normalised("NFC", kept).split()
    return [word for word in words if any(map(str.isalpha, word))]


def are_alike(a: str, b: str) -> bool:
    """Whether every token of the shorter name has a partner of its own in the longer name.

    A name without letters is like no other.
    """
    return _are_alike(tokens(a), tokens(b))


def disagree(names_a: Collection[str], names_b: Collection[str]) -> bool:
    """Whether two people speak from these names: both sides have a name with letters, and no two of them are alike."""
    tokens_a, tokens_b = ({found for name in names if (found := tokens(name))} for names in (names_a, names_b))
    if not tokens_a or not tokens_b or tokens_a & tokens_b:
        return False
    return not any(_are_alike(a, b) for a, b in product(tokens_a, tokens_b))


def _are_alike(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    if not a or not b:
        return False
    # Names of one length are ordered too, so that both ways to ask are one question.
    shorter, longer = sorted((a, b), key=lambda name: (len(name), name))
    return _all_have_partners(shorter, longer)


@lru_cache(maxsize=_CACHED)
def _all_have_partners(shorter: tuple[str, ...], longer: tuple[str, ...]) -> bool:
    """Whether each token of ``shorter`` can be given a token of ``longer`` that no other has.

    A token whose partners are all taken asks each holder to move to another partner (Kuhn's algorithm). Without that,
    the "A." of "A. Ayu" would take the "Ayu" of "Ayu Ali", and leave its own "Ayu" without a partner.
    """
    partners = [[place for place, other in enumerate(longer) if _is_partner(token, other)] for token in shorter]
    holders: dict[int, int] = {}  # place in the longer name -> place in the shorter

    def is_placed(token: int, tried: set[int]) -> bool:
        for place in partners[token]:
            if place not in tried:
                tried.add(place)
                if place not in holders or is_placed(holders[place], tried):
                    holders[place] = token
                    return True
        return False

    return all(partners) and all(is_placed(token, set()) for token in range(len(shorter)))


def _is_partner(a: str, b: str) -> bool:
    if len(a) == 1 or len(b) == 1:
        return a[0] == b[0]
    return JaroWinkler.similarity(a, b) >= MIN_SIMILARITY
