"""Rejects: the rows of a file that were not taken, in a file beside it, each with its line and the reason.

It holds what the rows hold, so only its owner may read it.
"""

import csv
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from worker.errors import ConfigError
from worker.files.formula_guard import guard

_COLUMNS = ("line", "reason", "row")


class Rejects:
    """Writes ``<file>.rejects.csv``; used in a ``with``.

    The file appears whole when the ``with`` ends, and in place of an earlier one; without a rejected row the earlier
    one goes. After an error nothing has changed.
    """

    def __init__(self, imported: Path) -> None:
        self.path = imported.with_name(imported.name + ".rejects.csv")
        self.count = 0
        self._stream: TextIO | None = None
        self._part: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._stream is None or self._part is None:
            if kind is None:
                self.path.unlink(missing_ok=True)  # it speaks of an earlier state of the file
            return
        self._stream.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)

    def add(self, line: int, reason: str, raw: str) -> None:
        """Note a row, as it was in the file."""
        if self._stream is None:
            self._stream = self._open()
            csv.writer(self._stream).writerow(_COLUMNS)
        self.count += 1
        csv.writer(self._stream).writerow((line, guard(reason), guard(raw)))

    def _open(self) -> TextIO:
        try:
            # Made with mode 0600, in the same directory: only there can it be put in place in one step.
            handle, part = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None
        self._part = Path(part)
        # The mark tells spreadsheets that it is UTF-8; bytes that were not are shown as escapes.
        return os.fdopen(handle, "w", encoding="utf-8-sig", errors="backslashreplace", newline="")
