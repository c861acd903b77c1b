"""Metrics for Prometheus; labels are outcomes and statuses, never personal data."""

from typing import Protocol

from prometheus_client import Counter, Histogram

envelopes_total = Counter("contactsync_envelopes", "Envelopes by what became of them in this process", ["outcome"])
texts_left_out_total = Counter("contactsync_texts_left_out", "Texts left out, because they are too long or hostile")
times_clamped_total = Counter("contactsync_times_clamped", "Times that were later than their arrival: a clock is wrong")
ingested_total = Counter("contactsync_ingested", "Requests to the webhook route by answer", ["answer"])
batch_seconds = Histogram(
    "contactsync_batch_seconds",
    "Time to work off one batch",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class _Drained(Protocol):
    settled: int
    ignored: int
    parked: int
    postponed: int
    left_out: int
    clamped: int


_answers = {status: ingested_total.labels(str(status)) for status in (200, 400, 401, 404, 405, 413, 415, 503)}


def answered(status: int) -> None:
    """Count an answer of the webhook route by its HTTP status."""
    _answers[status].inc()


def count(drained: _Drained) -> None:
    """Add the outcomes of a drained batch to the counters."""
    for outcome in ("settled", "ignored", "parked", "postponed"):
        envelopes_total.labels(outcome).inc(getattr(drained, outcome))
    texts_left_out_total.inc(drained.left_out)
    times_clamped_total.inc(drained.clamped)
