"""Report: counts that go on where they stopped, and few examples."""

from worker.upgrade.report import COUNTED, Report


def test_a_report_goes_on_where_it_stopped():
    report = Report(most_examples=2, records=5)
    for number in range(3):
        report.add("part", number)

    again = Report.of(report.shown(), 2)
    again.add("part", 3)

    assert (again.records, again.counts["part"], again.examples["part"]) == (5, 4, [0, 1])


def test_every_count_is_told_with_its_meaning():
    assert [name for name, _, _ in Report(0).rows()] == list(COUNTED)
