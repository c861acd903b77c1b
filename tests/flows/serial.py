"""A checker: it seeks an order of requests that explains their answers and their end, one after the other.

A plain model says what each request answers and leaves. The search tries the requests that nobody else's answer came
before, and goes on where the model agrees with the answer. Requests about one contact are understood: its profile,
tags, consent, deletion, and what comes back under a key.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

#: Whether a consent changes the contact's ETag depends on what it showed before; the model does not know.
UNSURE = "unsure"


class Sent(NamedTuple):
    """A request as it was sent, and its answer."""

    client: int
    began: float
    ended: float
    kind: str  #: patch, upsert, tag, untag, consent, delete
    given: dict[str, Any]
    status: int
    shown: Any  #: what the answer shows of the contact
    etag: str | None


@dataclass(frozen=True)
class State:
    """The contact, as the model has it."""

    exists: bool = True
    name: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    tags: frozenset[str] = frozenset()
    consent: str = "unknown"
    etags: frozenset[str | None] = frozenset()  #: those that it may have now
    answered: tuple[tuple[str, Any], ...] = ()  #: by ``Idempotency-Key``

    def shows(self, shown: Any) -> bool:
        """Return whether an answer shows this state."""
        return (shown["name"], dict(shown["custom_fields"]), set(shown["tags"])) == (
            self.name,
            dict(self.fields),
            set(self.tags),
        )


def serial_order(sent: list[Sent], first: State, last: Any) -> list[Sent] | None:
    """Return an order that explains all answers and ends in ``last``; None if there is none.

    ``last`` is what is shown of the contact at the end, None if it is gone. The order keeps to time: a request that was
    answered before another was sent comes first.
    """
    return _Search(sent, last).run(first)


@dataclass
class _Search:
    sent: list[Sent]
    last: Any
    _failed: set[tuple[frozenset[int], State]] = field(default_factory=set)

    def run(self, first: State) -> list[Sent] | None:
        """Search deeper and deeper; each step takes one request more."""
        stack = [(frozenset(range(len(self.sent))), first, [])]
        while stack:
            left, state, order = stack.pop()
            if not left:
                if self._is_end(state):
                    return order
                continue
            if (left, state) in self._failed:
                continue
            self._failed.add((left, state))
            horizon = min(self.sent[number].ended for number in left)
            for number in left:
                one = self.sent[number]
                if one.began <= horizon and (after := step(state, one)) is not None:
                    stack.append((left - {number}, after, [*order, one]))
        return None

    def _is_end(self, state: State) -> bool:
        return state.exists == (self.last is not None) and (self.last is None or state.shows(self.last))


def step(state: State, sent: Sent) -> State | None:
    """Return the state after a request; None if its answer is not the one that this state gives."""
    key = sent.given.get("key")
    known = dict(state.answered)
    if key in known:
        return state if known[key] == (sent.status, repr(sent.shown)) else None
    after = _STEPS[sent.kind](state, sent)
    if after is not None and key is not None and sent.status < 300:
        after = replace(after, answered=(*after.answered, (key, (sent.status, repr(sent.shown)))))
    return after


def _merged(state: State, given: dict[str, Any]) -> State:
    fields = dict(state.fields) | given.get("custom_fields", {})
    fields = {name: value for name, value in fields.items() if value is not None}
    name = given.get("name", state.name)
    return replace(state, name=name, fields=tuple(sorted(fields.items())))


def _profile(state: State, sent: Sent, status: int) -> State | None:
    after = replace(_merged(state, sent.given), etags=frozenset({sent.etag}), exists=True)
    return after if sent.status == status and after.shows(sent.shown) else None


def _patch(state: State, sent: Sent) -> State | None:
    if not state.exists:
        return state if sent.status == 404 else None
    if_match = sent.given.get("if_match")
    if sent.status == 412:
        may_differ = state.etags != frozenset({if_match})
        return state if if_match is not None and may_differ else None
    if if_match is not None and if_match not in state.etags:
        return None
    return _profile(state, sent, 200)


def _upsert(state: State, sent: Sent) -> State | None:
    if state.exists:
        return _profile(state, sent, 200)
    gone = replace(state, name=None, fields=(), tags=frozenset())
    return _profile(gone, sent, 201)


def _tag(state: State, sent: Sent) -> State | None:
    if not state.exists:
        return state if sent.status == 404 else None
    given = set(sent.given["tags"])
    if given <= state.tags:
        return state if sent.status == 200 else None
    return replace(state, tags=state.tags | given, etags=frozenset({None})) if sent.status == 201 else None


def _untag(state: State, sent: Sent) -> State | None:
    tag = sent.given["tag"]
    if not state.exists or tag not in state.tags:
        return state if sent.status == 404 else None
    return replace(state, tags=state.tags - {tag}, etags=frozenset({None})) if sent.status == 204 else None


def _consent(state: State, sent: Sent) -> State | None:
    if not state.exists:
        return state if sent.status == 404 else None
    if sent.status != 200 or sent.shown["status"] != sent.given["status"]:
        return None
    return replace(state, consent=sent.given["status"], etags=state.etags | {UNSURE})


def _delete(state: State, sent: Sent) -> State | None:
    if not state.exists:
        return state if sent.status == 404 else None
    return replace(state, exists=False, etags=frozenset({None})) if sent.status == 204 else None


_STEPS = {"patch": _patch, "upsert": _upsert, "tag": _tag, "untag": _untag, "consent": _consent, "delete": _delete}
