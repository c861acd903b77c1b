"""Registers: the grammar of the names under which a record holds its values.

========================  ======================================================================
``name``, ``first_name``  the name, whole or in parts
``@email``                the identifier of the slot ``email``
``@phone?``               a number that can be read in two ways; it counts while no newer ``@phone`` is there
``#created``              when the source created the customer, in microseconds; the earliest counts
``#about``                the records that an edit is about, as [source, external id]
``email_as_given``        a value that the source gave as an identifier, and that is none
``segments``              a custom field
``segments.3``            the entry ``3`` of the custom field ``segments``
``:name``                 a custom field whose plain name means something else here
========================  ======================================================================
"""

from functools import lru_cache
from typing import NamedTuple

NAME, FIRST_NAME, LAST_NAME = "name", "first_name", "last_name"
#: the name that a person gave themselves at a messenger: shown where there is no other, and it never parts anybody
PROFILE_NAME = "profile_name"
CREATED = "#created"
ABOUT = "#about"

_IDENTIFIER = "@"
_UNCERTAIN = "?"
_VERBATIM = ":"
_AS_GIVEN = "_as_given"
_NAMES = frozenset({NAME, FIRST_NAME, LAST_NAME})
#: what a contact shows beside its custom fields
_SHOWN = _NAMES | {"email", "phone_number", "external_source", "external_id", "tags"}
#: of registers, and of the names under which the change log tells of other things
_PREFIXES = (_IDENTIFIER, "#", _VERBATIM, "tag:", "consent:", "suppression:", "identity:")


class FieldPlace(NamedTuple):
    """Where a custom field is shown."""

    name: str
    entry: str | None  #: ``3`` of the register ``segments.3``; None for a whole field
    whole: str  #: the register that holds the whole field


def of_slot(slot: str) -> str:
    """Return the register of a slot's identifier."""
    return _IDENTIFIER + slot


def of_uncertain(slot: str) -> str:
    """Return the register for a number that has two readings. The likelier reading is shown; neither identifies."""
    return _IDENTIFIER + slot + _UNCERTAIN


def certain(uncertain: str) -> str:
    """Return the register that an uncertain one gives way to."""
    return uncertain.removesuffix(_UNCERTAIN)


def as_given(slot: str) -> str:
    """Return the register of what a source gave for a slot, and what is no identifier."""
    return slot + _AS_GIVEN


def is_identifier(register: str) -> bool:
    """Whether a register holds an identifier that the record claims."""
    return register.startswith(_IDENTIFIER) and not register.endswith(_UNCERTAIN)


def is_uncertain(register: str) -> bool:
    """Whether a register holds an identifier whose text has two readings."""
    return register.startswith(_IDENTIFIER) and register.endswith(_UNCERTAIN)


def is_field(register: str) -> bool:
    """Whether a register holds a custom field, or an entry of one."""
    return register not in _NAMES and register[:1] not in ("#", _IDENTIFIER)


@lru_cache(maxsize=4096)
def of_field(name: str) -> str:
    """Return the register of a custom field by its plain name; the origins of values use it, too."""
    is_special = name in _SHOWN or name.startswith(_PREFIXES) or name.endswith(_AS_GIVEN)
    is_plain = not is_special and "." not in name
    return name if is_plain else _VERBATIM + name


def place_of(register: str) -> FieldPlace:
    """Return where the custom field of a register is shown."""
    if register.startswith(_VERBATIM):
        name = register.removeprefix(_VERBATIM)
        return FieldPlace(name, None, of_field(name))
    name, dot, entry = register.partition(".")
    return FieldPlace(name, entry if dot else None, of_field(name))
