"""The API keeps to its own document: no 5xx, no undocumented answer, nothing valid refused, nothing invalid accepted.

This is a short form of `make fuzz`. ``schemathesis.toml`` has the options, and the exceptions with their reasons.
"""

from tests.flows.fuzz import fuzz

#: Cases for each operation: about a minute in all. They are the same each time; `make fuzz` looks for others.
EXAMPLES = 40
SEED = 7


def test_the_api_keeps_to_its_document(stack, tmp_path):
    report, output = fuzz(stack, tmp_path, "--max-examples", str(EXAMPLES), "--seed", str(SEED))

    assert report["exit_code"] == 0, output
    assert report["complete"], output
    assert report["operations"]["tested"] == report["operations"]["total"] > 20
    assert {name: phase["status"] for name, phase in report["phases"].items()} == {
        "examples": "success",
        "coverage": "success",
        "fuzzing": "success",
        "stateful": "success",
    }
    assert report["test_cases"]["generated"] > 1000
