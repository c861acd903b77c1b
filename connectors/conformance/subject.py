"""The connector under judgement, and calling it so that every surprise becomes a finding instead of a traceback."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from connectors.conformance.examples import Example, Simulator, envelope
from connectors.conformance.mutations import leaves
from connectors.conformance.shapes import flaw, flaw_of_event
from connectors.contract import Account, BadSignatureError, Envelope, Event, MalformedPayloadError, Receipt

T = TypeVar("T")

MAX_REASON = 300  #: characters that a shop owner reads

_SHORTEST_LEAK = 5  #: characters; shorter values occur in texts by chance
#: Words of the providers themselves, which an error may list as what it expected.
_VOCABULARY = re.compile(r"[a-z_]+|None|True|False")


class BrokenError(Exception):
    """The connector does not keep a promise; the text names example and field, and quotes no value."""


class NotCheckedError(Exception):
    """There is nothing to judge by; the text says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A connector, by what name it is registered, and what there is to judge it by."""

    connector: Any
    registered: str
    examples: Sequence[Example]
    simulator: Simulator | None

    @property
    def account(self) -> Account:
        """A connection without options."""
        return Account(source=self.registered)

    def some_examples(self) -> Sequence[Example]:
        """Return the examples; there must be one."""
        if not self.examples:
            raise NotCheckedError("the connector has no EXAMPLES")
        return self.examples

    def json_examples(self) -> Sequence[tuple[Example, Any]]:
        """Return the examples that are JSON, with what they hold; there must be one."""
        found = [(example, body) for example in self.some_examples() if (body := example.json()) is not None]
        if not found:
            raise NotCheckedError("no example has a body in JSON")
        return found

    def receipt(self, headers: Mapping[str, str], body: bytes, where: str) -> Receipt:
        """Ask ``receive``, which never raises."""
        found = called(f"{where}: receive", lambda: self.connector.receive(headers, body))
        if type(found) is not Receipt:
            raise BrokenError(f"{where}: receive returned something that is no Receipt")
        return found

    def topic(self, example: Example) -> str:
        """Return the topic of an example."""
        if example.topic is not None:
            return example.topic
        return self.receipt(example.lowered(), example.raw(), example.name).topic

    def accepts(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], where: str) -> bool:
        """Ask ``verify``, which raises BadSignatureError or nothing."""

        def verified() -> bool:
            try:
                self.connector.verify(headers, body, secrets)
            except BadSignatureError:
                return False
            return True

        return called(f"{where}: verify", verified)

    def events(self, envelope_: Envelope, account: Account | None, where: str) -> list[Event] | MalformedPayloadError:
        """Ask ``parse``: events, or the one error that it may raise."""

        def parsed() -> list[Event] | MalformedPayloadError:
            try:
                return list(self.connector.parse(envelope_, account or self.account))
            except MalformedPayloadError as error:
                return error

        return called(f"{where}: parse", parsed)

    def events_of(self, example: Example) -> list[Event]:
        """Return what an example gives as it is; it must be readable."""
        found = self.events(envelope(example, self.topic(example)), example.account, example.name)
        if isinstance(found, MalformedPayloadError):
            raise BrokenError(f"{example.name}: parse calls the body malformed")
        return found

    def judge(self, example: Example, topic: str, raw: bytes, held: Any, where: str) -> None:
        """Parse another body in an example's place: sound events, or a reason without values.

        ``held`` is what the body holds, as far as it can be read.
        """
        where = f"{example.name}: {where}"
        found = self.events(envelope(example, topic, raw), example.account, where)
        if isinstance(found, MalformedPayloadError):
            self.judge_reason(found, held, where)
            return
        for event in found:
            if wrong := flaw_of_event(event):
                raise BrokenError(f"{where}: parse gives {wrong}")

    def judge_reason(self, error: MalformedPayloadError, held: Any, where: str) -> None:
        """Judge the text that a shop owner is shown."""
        reason = str(error)
        if not reason or len(reason) > MAX_REASON:
            raise BrokenError(f"{where}: the error's text is empty or longer than {MAX_REASON} characters")
        if "documented shape" in reason:  # of reading.malformed, the net below the readers
            raise BrokenError(f"{where}: a stray error: the value is used before it is known what it is")
        if quotes(reason, leaves(held), self._words()):
            raise BrokenError(f"{where}: the error's text quotes a value of the body")

    def _words(self) -> Collection[str]:
        """Return the words of topics, which are the provider's and nobody's data."""
        topics = [example.topic or "" for example in self.examples]
        return {word for topic in topics for word in re.split(r"[^A-Za-z]+", topic)}


def quotes(text: str, values: Any, words: Collection[str] = ()) -> bool:
    """Say whether a text quotes one of the values that cannot be there by chance."""
    return any(
        len(value) >= _SHORTEST_LEAK and not _VOCABULARY.fullmatch(value) and value not in words and value in text
        for value in values
    )


def called(where: str, call: Callable[[], T]) -> T:
    """Return what a call returns; any error of it that is not expected is a finding, told by its type alone."""
    try:
        return call()
    except (BrokenError, NotCheckedError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a connector raises is judged, not passed on
        raise BrokenError(f"{where} raised {type(error).__name__}") from None


def sound(value: Any, where: str) -> None:
    """Require that a value of the contract is what its annotations say."""
    if wrong := flaw(value):
        raise BrokenError(f"{where}: {wrong}")
