"""Rejects: a file beside the imported one, with every rejected row, its line number and the reason.

The rows hold personal data, so only the owner of the file may read it.
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

    The complete file appears when the ``with`` ends, and replaces the file of an earlier import. If no row was
    rejected, the earlier file is deleted. If the ``with`` ends with an error, the earlier file stays as it was.
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
                self.path.unlink(missing_ok=True)  # it lists rejects of an earlier import
            return
        self._stream.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)

    def add(self, line: int, reason: str, raw: str) -> None:
        """Write a rejected row as it was in the file. Raises ConfigError if the directory cannot be written."""
        if self._stream is None:
            self._stream = self._open()
            csv.writer(self._stream).writerow(_COLUMNS)
        self.count += 1
        csv.writer(self._stream).writerow((line, guard(reason), guard(raw)))

    def _open(self) -> TextIO:
        try:
            # mkstemp creates it with mode 0600. It is in the same directory, because a rename across file systems is
            # not one step.
            handle, part = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None
        self._part = Path(part)
        # The mark (BOM) tells spreadsheets that the file is UTF-8. Bytes that are not UTF-8 appear as escapes.
        return os.fdopen(handle, "w", encoding="utf-8-sig", errors="backslashreplace", newline="")
