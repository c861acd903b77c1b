"""Countries: the code of a country that a source wrote as a code or as a name."""

from functools import lru_cache

import pycountry

from connectors.cleaning import plain_text

#: what people write and ISO 3166 does not have
_OTHERS = {
    "UK": "GB",
    "EL": "GR",  # as the European Union writes it
    **dict.fromkeys(("GREAT BRITAIN", "ENGLAND", "SCOTLAND", "WALES", "NORTHERN IRELAND"), "GB"),
    "TURKEY": "TR",
    "RUSSIA": "RU",
    "UAE": "AE",
    "BRUNEI": "BN",
    "MACAU": "MO",
    "IVORY COAST": "CI",
}

#: characters; the longest name of a country has 59
_LONGEST = 100


@lru_cache(maxsize=4096)
def code_of(written: str | None) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a country; None if the text names none.

    Codes of two and three letters are read, and English names.
    """
    if written is not None and len(written) > _LONGEST:
        return None
    text = plain_text(written or "").upper().replace(".", "").removeprefix("THE ")
    if text in _OTHERS:
        return _OTHERS[text]
    if len(text) == 2:
        return text if text.isascii() and text.isalpha() else None
    if not text or text.isdigit():
        return None
    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        return None
