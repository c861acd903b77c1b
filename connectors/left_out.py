"""Left out: texts that a body can do without, and that are too long or take too long to normalise.

A hostile name in a body must not take the "no" beside it along. So the name is left out, and a note says which.
"""

from contextvars import ContextVar
from types import TracebackType

from connectors.contract import UnusableTextError

_notes: ContextVar[list[str] | None] = ContextVar("left_out", default=None)


def collect() -> list[str]:
    """Return a list that gets a line, without values, for each text that is left out from now on."""
    notes: list[str] = []
    _notes.set(notes)
    return notes


def note(error: UnusableTextError) -> None:
    """Note that a text is left out."""
    notes = _notes.get()
    if notes is not None:
        notes.append(str(error))


class _IfUnusable:
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if isinstance(error, UnusableTextError):
            note(error)
            return True
        return False


#: a context whose block ends at a text that cannot be used; the text is left out, and what follows the block is done
if_unusable = _IfUnusable()
