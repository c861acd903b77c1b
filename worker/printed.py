"""Printed: what somebody prints in a process of ours becomes a line of its log.

Libraries print banners and tracebacks. Who reads the log by program could not parse them, and a traceback may quote
anybody. So the line tells where something was printed and how long it is. Only texts about the command line are shown.
"""

import io
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

#: (stream, place, characters, text), the text only of those who are known to print nothing of a person
Tell = Callable[[str, str, int, str | None], None]

#: modules between who prints and the stream
_BETWEEN = frozenset({"traceback", "warnings", "logging", "threading", "contextlib", __name__})
#: who speaks of options, processes and files of ours
_SPEAKERS = ("click.", "celery.bin.", "celery.platforms", "celery.apps.")
#: of a place that goes on printing, so many seconds make one line
_PAUSE_S = 1.0


class Stream(io.TextIOBase):
    """Stands in the place of stdout or stderr, and tells of what is written to it."""

    def __init__(self, name: str, real: TextIO, tell: Tell) -> None:
        super().__init__()
        self.real = real  #: the stream that is stood in for
        self._name = name
        self._tell = tell
        self._last: tuple[str, float] = ("", 0.0)

    def write(self, text: str) -> int:
        """Tell of a text; the pieces of one print make one line."""
        if text.strip():
            module, place = _who()
            speaks = module.startswith(_SPEAKERS)
            last, until = self._last
            if speaks or place != last or time.monotonic() > until:
                self._last = (place, time.monotonic() + _PAUSE_S)
                self._tell(self._name, place, len(text), " ".join(text.split()) if speaks else None)
        return len(text)

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the number of the real stream's file."""
        return self.real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override] # it may not be set
        """Return the encoding, which who prints may ask for."""
        return "utf-8"

    @property
    def buffer(self) -> Any:
        """Return the real stream's buffer: what comes as bytes is no text of a library."""
        return getattr(self.real, "buffer", None)


def _who() -> tuple[str, str]:
    frame: Any = sys._getframe()  # noqa: SLF001 - documented, and the only way
    while frame is not None and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    if frame is None:  # as for the argument of ``sys.exit``
        return "", "python"
    return frame.f_globals.get("__name__") or "", f"{frame.f_code.co_filename}:{frame.f_lineno}"


def take_over(tell: Tell) -> None:
    """Stand in the place of stdout and stderr of this process; a second call changes nothing."""
    for name in ("stdout", "stderr"):
        real = getattr(sys, name)
        if real is not None and not isinstance(real, Stream):
            setattr(sys, name, Stream(name, real, tell))


def behind(stream: Any) -> Any:
    """Return the real stream behind one that stands in for it."""
    return stream.real if isinstance(stream, Stream) else stream
