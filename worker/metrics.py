"""Metrics: what is counted, under which names it is stored, and how Prometheus is told.

Every process adds to the same counters in Postgres (``worker/store/counts.py``), so the answer of ``/metrics`` does not
depend on which web process is asked, and what a process counted outlives it. Labels are outcomes and statuses, never
personal data.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

OUTCOMES = ("settled", "ignored", "parked", "postponed")
ANSWERS = (200, 400, 401, 404, 405, 413, 415, 503)
#: upper bounds in seconds; more are above the last
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_OUTCOME = {outcome: f"envelopes/{outcome}" for outcome in OUTCOMES}
_ANSWER = {status: f"ingested/{status}" for status in ANSWERS}
_SECONDS = [f"batch_seconds/{bound}" for bound in (*BUCKETS, "+Inf")]
_SUM = "batch_seconds/sum"


class _Counter(NamedTuple):
    help: str
    label: str | None  #: what the part of a stored name behind the slash tells
    values: Mapping[str, str]  #: the stored name by the label's value


_COUNTERS = {
    "contactsync_envelopes": _Counter("Envelopes by what became of them", "outcome", _OUTCOME),
    "contactsync_texts_left_out": _Counter(
        "Texts left out, because they are too long or hostile", None, {"": "texts_left_out"}
    ),
    "contactsync_times_clamped": _Counter(
        "Times that were later than their arrival: a clock is wrong", None, {"": "times_clamped"}
    ),
    "contactsync_ingested": _Counter(
        "Requests to the webhook route by answer", "answer", {str(status): name for status, name in _ANSWER.items()}
    ),
}


class _Drained(Protocol):
    settled: int
    ignored: int
    parked: int
    left_out: int
    clamped: int


def of_batch(drained: _Drained) -> dict[str, float]:
    """Return what a transaction of a batch counts, by stored name. Postponed envelopes count themselves."""
    counted = {
        _OUTCOME["settled"]: drained.settled,
        _OUTCOME["ignored"]: drained.ignored,
        _OUTCOME["parked"]: drained.parked,
        "texts_left_out": drained.left_out,
        "times_clamped": drained.clamped,
    }
    return {name: number for name, number in counted.items() if number}


def of_answers(answers: Mapping[int, int]) -> dict[str, float]:
    """Return what answers of the webhook route count, by stored name."""
    return {_ANSWER[status]: number for status, number in answers.items()}


class BatchTimes:
    """How long batches took, until a statement takes it along to Postgres: each lease of the same process does."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque()

    def add(self, seconds: float) -> None:
        """Remember the time of a batch."""
        self._seconds.append(seconds)

    def take(self) -> dict[str, float]:
        """Return what the times count, by stored name, and forget them."""
        counted: dict[str, float] = {}
        while self._seconds:
            seconds = self._seconds.popleft()
            bucket = _SECONDS[bisect_left(BUCKETS, seconds)]
            counted[bucket] = counted.get(bucket, 0) + 1
            counted[_SUM] = counted.get(_SUM, 0) + seconds
        return counted


batch_times = BatchTimes()


def families(counted: Mapping[str, float]) -> Iterator[Metric]:
    """Return the metrics for Prometheus, made of all counters by stored name; who was never counted is 0."""
    for name, (help_, label, values) in _COUNTERS.items():
        counter = CounterMetricFamily(name, help_, labels=[] if label is None else [label])
        for value, stored in values.items():
            counter.add_metric([] if label is None else [value], counted.get(stored, 0))
        yield counter
    numbers = accumulate(counted.get(name, 0) for name in _SECONDS)
    bounds = [*(str(float(bound)) for bound in BUCKETS), "+Inf"]
    yield HistogramMetricFamily(
        "contactsync_batch_seconds",
        "Time to work off one batch",
        buckets=list(zip(bounds, numbers, strict=True)),
        sum_value=counted.get(_SUM, 0),
    )
