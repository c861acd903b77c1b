"""Metrics: what is counted has a stored name, and Prometheus reads what is stored."""

from prometheus_client import CollectorRegistry, generate_latest

from worker import metrics
from worker.inbox.drain import Drained


def shown(counted):
    class Collector:
        def collect(self):
            return metrics.families(counted)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    lines = generate_latest(registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_a_batch_counts_what_became_of_its_envelopes_and_nothing_that_is_zero():
    counted = metrics.of_batch(Drained(leased=9, settled=4, ignored=3, parked=2, left_out=1, postponed=5))

    assert counted == {"envelopes/settled": 4, "envelopes/ignored": 3, "envelopes/parked": 2, "texts_left_out": 1}
    assert shown(counted)['contactsync_envelopes_total{outcome="settled"}'] == "4.0"


def test_every_answer_of_the_webhook_route_has_a_name():
    counted = metrics.of_answers(dict.fromkeys(metrics.ANSWERS, 1))

    assert shown(counted)['contactsync_ingested_total{answer="503"}'] == "1.0"
    assert len(counted) == len(metrics.ANSWERS)


def test_times_are_sorted_into_buckets_once():
    times = metrics.BatchTimes()
    for seconds in (0.005, 0.006, 0.3, 99):
        times.add(seconds)

    lines = shown(times.take())

    assert [
        float(lines[f'contactsync_batch_seconds_bucket{{le="{le}"}}']) for le in ("0.005", "0.01", "0.5", "10.0")
    ] == [
        1,
        2,
        3,
        3,
    ]
    assert lines['contactsync_batch_seconds_bucket{le="+Inf"}'] == lines["contactsync_batch_seconds_count"] == "4.0"
    assert abs(float(lines["contactsync_batch_seconds_sum"]) - 99.311) < 1e-9
    assert times.take() == {}


def test_what_was_never_counted_is_zero():
    assert set(shown({}).values()) == {"0.0"}
