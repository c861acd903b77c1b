"""The commands about runs; nothing works on the runs they start."""

import pytest

from worker.errors import ConfigError


def test_a_run_is_started_once_shown_and_cancelled(ask, run, connection_id):
    run_id = ask("backfill", "start", connection_id, "--kind", "full")["run_id"]

    shown = ask("backfill", "status", run_id)
    assert (shown["state"], shown["kind"], shown["read"], shown["expected"]) == ("running", "full", 0, None)
    with pytest.raises(ConfigError, match=run_id):
        run("backfill", "start", connection_id, "--kind", "full")
    increment = ask("backfill", "start", connection_id, "--kind", "increment", "--since", "2026-11-01T00:00:00Z")
    assert ask("backfill", "status", increment["run_id"])["since"] == "2026-11-01T00:00:00Z"

    assert ask("backfill", "cancel", run_id) == {"run_id": run_id, "state": "cancelled"}
    with pytest.raises(ConfigError, match="has ended already"):
        run("backfill", "cancel", run_id)
    assert {one["run_id"]: one["state"] for one in ask("backfill", "list", connection_id)} == {
        run_id: "cancelled",
        increment["run_id"]: "running",
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("start", "con_nobody"), "con_nobody"),
        (("status", "run_nobody"), "run_nobody"),
        (("start", "CONNECTION", "--since", "yesterday"), "--since"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, connection_id, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run("backfill", *(connection_id if one == "CONNECTION" else one for one in arguments))
