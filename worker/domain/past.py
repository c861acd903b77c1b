"""Past: the names that a record said, and when it claimed its identifiers. Both only grow."""

from collections.abc import Mapping
from typing import Any

from worker.domain.registers import FIRST_NAME, LAST_NAME, NAME
from worker.domain.terms import Ident, Stamp

#: when each identifier was first and last claimed
History = dict[Ident, tuple[Stamp, Stamp]]


def reach(history: History, ident: Ident, stamp: Stamp) -> None:
    """Let a history tell that an identifier was claimed at that time, too."""
    known = history.get(ident)
    if known is None:
        history[ident] = (stamp, stamp)
    elif stamp < known[0]:
        history[ident] = (stamp, known[1])
    elif stamp > known[1]:
        history[ident] = (known[0], stamp)


def name_of(registers: Mapping[str, tuple[Stamp, Any]]) -> tuple[Stamp | None, str]:
    """Return the name in the newest statement that had one, and its stamp; each statement's name stands for itself."""
    held = [(registers[name], name) for name in (NAME, FIRST_NAME, LAST_NAME) if name in registers]
    if not held:
        return None, ""
    newest = max(stamp for (stamp, _), _ in held)
    return newest, name_in({name: value for (stamp, value), name in held if stamp == newest})


def name_in(said: Mapping[str, Any]) -> str:
    """Return the name in the registers of a statement; empty if it has none."""
    whole = said.get(NAME)
    parts = [whole] if whole else [said.get(FIRST_NAME), said.get(LAST_NAME)]
    return " ".join(part for part in parts if part)
