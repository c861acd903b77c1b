"""Checks values against the contract's annotations: types, times in UTC, and text that can be stored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

from connectors.contract import Event, FieldValue, Receipt
from connectors.reader import Page, Row

_EVENTS: tuple[type, ...] = get_args(Event)
_HINTS = {type_: get_type_hints(type_) for type_ in (*_EVENTS, Receipt, Row, Page)}


def flaw_of_event(event: object) -> str | None:
    """Return what is wrong with an event, without quoting it; None if nothing is wrong."""
    if type(event) not in _EVENTS:
        return "something that is not an event of the contract"
    return flaw(event)


def flaw(value: Any) -> str | None:
    """Return which field does not fit its annotation, without quoting it; None if all fit."""
    hints = _HINTS[type(value)] if type(value) in _HINTS else get_type_hints(type(value))
    for each in fields(value):
        held = getattr(value, each.name)
        if not fits(held, hints[each.name]):
            return f"{type(value).__name__}.{each.name} is not of the type or form that the contract says"
        if each.name.endswith("external_id") and held == "" and not isinstance(value, Row):
            return f"{type(value).__name__}.{each.name} is empty"
    return None


def fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911 - one line for each kind of annotation
    """Whether a value is of the annotated type."""
    if hint is Any:
        return True
    if hint is None or hint is NoneType:
        return value is None
    if isinstance(hint, str | ForwardRef):  # only FieldValue refers to itself
        return fits(value, FieldValue)
    if hint is datetime:
        return isinstance(value, datetime) and value.utcoffset() == timedelta(0)
    if hint is str:
        return isinstance(value, str) and is_storable(value)
    if hint is float:
        return type(value) is float and math.isfinite(value)
    if get_origin(hint) is not None:
        return _fits_generic(value, get_origin(hint), get_args(hint))
    if is_dataclass(hint):
        return type(value) is hint and flaw(value) is None
    return type(value) is hint


def _fits_generic(value: Any, origin: Any, args: tuple[Any, ...]) -> bool:  # noqa: PLR0911 - as above
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in (Union, UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        expected = (args[0],) * len(value) if args[1:] == (...,) else args
        return len(value) == len(expected) and all(map(fits, value, expected))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())
    if origin is Sequence:
        return (
            isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(fits(v, args[0]) for v in value)
        )
    return isinstance(value, origin)


def is_storable(text: str) -> bool:
    """Whether Postgres takes the text: it has neither NUL nor half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
