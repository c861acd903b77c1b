"""`export`."""

import pytest

from worker.errors import ConfigError


def test_an_empty_store_has_an_empty_export(run):
    assert (
        run("export").stdout == run("export", "--canonical").stdout == run("export", "--format", "jsonl").stdout == ""
    )
    assert run("export", "--format", "csv").stdout.startswith("\ufeffcontact_id,name,email,")
    assert run("export", "--format", "csv", "--raw").stdout.startswith("contact_id,name,email,")
    assert run("export", "--format", "xml").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["export", "--canonical", "--format", "csv"], "--canonical"),
        (["export", "--raw"], "--raw"),
        (["export", "--raw", "--format", "jsonl"], "--raw"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
