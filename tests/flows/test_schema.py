"""The API keeps to its own document: no 5xx, no undocumented answer, nothing valid refused, nothing invalid taken.

A short form of `make fuzz`; what is asked, and what is left out and why, is in ``schemathesis.toml``.
"""

from tests.flows.fuzz import fuzz

#: they take about a minute; other cases each time, and the seed is in what is printed
EXAMPLES = 40


def test_the_api_keeps_to_its_document(stack, tmp_path):
    report, said = fuzz(stack, tmp_path, "--max-examples", str(EXAMPLES))

    assert report["exit_code"] == 0, said
    assert report["complete"], said
    assert report["operations"]["tested"] == report["operations"]["total"] > 20
    assert {name: phase["status"] for name, phase in report["phases"].items()} == {
        "examples": "success",
        "coverage": "success",
        "fuzzing": "success",
        "stateful": "success",
    }
    assert report["test_cases"]["generated"] > 1000
