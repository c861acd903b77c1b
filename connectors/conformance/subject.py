"""The connector that is checked; calls to it turn every unexpected error into a finding instead of a traceback."""

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
#: Words of a provider's own vocabulary; an error may list them as the expected values.
_VOCABULARY = re.compile(r"[a-z_]+|None|True|False")


class BrokenError(Exception):
    """The connector does not keep a promise. The text names example and field, and quotes no value."""


class NotCheckedError(Exception):
    """A check has no example or simulator to use. The text says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A connector, the name under which it is registered, and its examples and simulator."""

    connector: Any
    registered: str
    examples: Sequence[Example]
    simulator: Simulator | None

    @property
    def account(self) -> Account:
        """Return a connection without options."""
        return Account(source=self.registered)

    def some_examples(self) -> Sequence[Example]:
        """Return the examples; raises NotCheckedError if there are none."""
        if not self.examples:
            raise NotCheckedError("the connector has no EXAMPLES")
        return self.examples

    def json_examples(self) -> Sequence[tuple[Example, Any]]:
        """Return the examples in JSON, each with its body; raises NotCheckedError if there are none."""
        found = [(example, body) for example in self.some_examples() if (body := example.json()) is not None]
        if not found:
            raise NotCheckedError("no example has a body in JSON")
        return found

    def receipt(self, headers: Mapping[str, str], body: bytes, where: str) -> Receipt:
        """Call ``receive``, which must not raise."""
        found = called(f"{where}: receive", lambda: self.connector.receive(headers, body))
        if type(found) is not Receipt:
            raise BrokenError(f"{where}: receive returned something that is not a Receipt")
        return found

    def topic(self, example: Example) -> str:
        """Return the topic of an example."""
        if example.topic is not None:
            return example.topic
        return self.receipt(example.lowered(), example.raw(), example.name).topic

    def accepts(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], where: str) -> bool:
        """Call ``verify``, which may raise BadSignatureError only."""

        def verified() -> bool:
            try:
                self.connector.verify(headers, body, secrets)
            except BadSignatureError:
                return False
            return True

        return called(f"{where}: verify", verified)

    def events(self, envelope_: Envelope, account: Account | None, where: str) -> list[Event] | MalformedPayloadError:
        """Call ``parse``; return its events, or the only error that it may raise."""

        def parsed() -> list[Event] | MalformedPayloadError:
            try:
                return list(self.connector.parse(envelope_, account or self.account))
            except MalformedPayloadError as error:
                return error

        return called(f"{where}: parse", parsed)

    def events_of(self, example: Example) -> list[Event]:
        """Return the events of an example; raises BrokenError if ``parse`` refuses it."""
        found = self.events(envelope(example, self.topic(example)), example.account, example.name)
        if isinstance(found, MalformedPayloadError):
            raise BrokenError(f"{example.name}: parse calls the body malformed")
        return found

    def judge(self, example: Example, topic: str, raw: bytes, held: Any, where: str) -> None:
        """Parse another body in an example's place; raises BrokenError for a bad event, or a reason that quotes.

        ``held`` is the content of the body, as far as it can be read: the values that the reason may not quote.
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
        """Check the text that a shop owner is shown."""
        reason = str(error)
        if not reason or len(reason) > MAX_REASON:
            raise BrokenError(f"{where}: the error's text is empty or longer than {MAX_REASON} characters")
        if "documented shape" in reason:  # the text of json_values.malformed, which catches stray errors
            raise BrokenError(f"{where}: a stray error: the value is used before its type is checked")
        if quotes(reason, leaves(held), self._words()):
            raise BrokenError(f"{where}: the error's text quotes a value of the body")

    def _words(self) -> Collection[str]:
        """Return the words of topics, which are the provider's and not personal data."""
        topics = [example.topic or "" for example in self.examples]
        return {word for topic in topics for word in re.split(r"[^A-Za-z]+", topic)}


def quotes(text: str, values: Any, words: Collection[str] = ()) -> bool:
    """Whether a text quotes one of the values, leaving out values that it may contain by chance."""
    return any(
        len(value) >= _SHORTEST_LEAK and not _VOCABULARY.fullmatch(value) and value not in words and value in text
        for value in values
    )


def called(where: str, call: Callable[[], T]) -> T:
    """Return the call's result; raises BrokenError, which names the type only, for an unexpected error."""
    try:
        return call()
    except (BrokenError, NotCheckedError):
        raise
    except Exception as error:  # noqa: BLE001 - an error of a connector becomes a finding
        raise BrokenError(f"{where} raised {type(error).__name__}") from None


def sound(value: Any, where: str) -> None:
    """Raise BrokenError if a value of the contract does not fit its annotations."""
    if wrong := flaw(value):
        raise BrokenError(f"{where}: {wrong}")
