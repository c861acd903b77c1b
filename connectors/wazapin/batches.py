"""Answers to requests about many contacts: an outcome for each row."""

import json
from dataclasses import dataclass

import httpx

from connectors.wazapin.errors import ApiError, problem_error
from connectors.wazapin.models import Contact, read


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one row has come to: a contact, or the error that the row would have raised alone."""

    status: int  #: as of a request about this row alone
    contact: Contact | None = None
    error: ApiError | None = None

    def result(self) -> Contact:
        """Return the contact; raises the ApiError of the row."""
        if self.error is not None:
            raise self.error
        if self.contact is None:
            raise ValueError("the row has neither a contact nor an error")
        return self.contact


def outcomes(response: httpx.Response) -> tuple[Outcome, ...]:
    """Read ``{"data": [{"index", "status", "contact" or "error"}]}`` in the order of the rows that were sent."""
    answered = json.loads(response.content)
    rows = answered.get("data") if isinstance(answered, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("data is not a list of rows")
    return tuple(_outcome(row) for row in sorted(rows, key=_index))


def _index(row: dict[str, object]) -> int:
    index = row.get("index")
    if not isinstance(index, int):
        raise ValueError("a row has no index")  # noqa: TRY004 - the body is wrong, not our code
    return index


def _outcome(row: dict[str, object]) -> Outcome:
    status, problem = row.get("status"), row.get("error")
    if not isinstance(status, int):
        raise ValueError("a row has no status")  # noqa: TRY004 - as above
    if isinstance(problem, dict):
        return Outcome(status=status, error=problem_error(status, problem))
    return Outcome(status=status, contact=read(Contact, row.get("contact")))
