"""E-mails: the one normal form of an address, for every source and every look-up. It is compared in lower case."""

import re
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from connectors.cleaning import is_normalisable, plain_email
from worker.domain.terms import CACHED, MAX_LENGTH, Address

#: what most addresses look like: a local part that has one reading, and a domain in ASCII
_PLAIN_EMAIL = re.compile(r"([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_DOTTED = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_+./?-]+")
_MAX_EMAIL, _MAX_LOCAL = 254, 64
_MOST_GIVEN = 1024  #: characters, with a name and what else people put around an address


@lru_cache(maxsize=CACHED)
def email(value: str) -> Address | None:
    """Return the normal form of an e-mail address; None if the text is no address."""
    if len(value) > _MOST_GIVEN or not is_normalisable(value):
        return None
    text, plain = value, _PLAIN_EMAIL.fullmatch(value)
    if plain is None or value[-1] == ".":  # nearly all are clean
        text = plain_email(value)
        plain = _PLAIN_EMAIL.fullmatch(text)
    if not text or len(text) > MAX_LENGTH:
        return None
    # The library checks a domain letter by letter. The customers of a shop share few domains, so these are remembered.
    if plain is not None and "--" not in plain[2] and len(text) <= _MAX_EMAIL:
        domain = _domain(plain[2])
        shown = domain and f"{plain[1]}@{domain}"
    else:
        shown = _email(text) or _accepted(text)
    return None if shown is None else Address(shown.lower(), shown)


def given_email(value: str) -> Address | None:
    """Return the normal form of an address that somebody asks for or writes through the API.

    No blank inside it is dropped: a ``+`` in a query is a blank, and without it the address would be somebody else's.
    """
    return None if any(map(str.isspace, value.strip())) else email(value)


@lru_cache(maxsize=4096)
def _domain(given: str) -> str | None:
    """Return the normal form of a domain; None if no address can have it."""
    shown = _email(f"a@{given}")
    return shown and shown.removeprefix("a@")


def _email(given: str) -> str | None:
    try:
        return validate_email(given, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def _accepted(given: str) -> str | None:
    """Return an address with dots where RFC 5321 has none, as Japanese carriers gave out; it matches only itself."""
    local, _, domain = given.rpartition("@")
    if not (_DOTTED.fullmatch(local) and len(given) <= _MAX_EMAIL and len(local) <= _MAX_LOCAL):
        return None
    shown = _domain(domain)
    return shown and f"{local}@{shown}"
