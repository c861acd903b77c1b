"""The commands about schedules."""

import pytest

from worker.errors import ConfigError


def test_what_can_be_read_is_read_by_schedule(ask, run, connection_id):
    listed = {one["kind"]: one for one in ask("schedules", "list")}
    assert {kind: one["every"] for kind, one in listed.items()} == {
        "full": "1w",
        "increment": "1h",
        "reconcile": "1d",
    }
    ask("schedules", "set", connection_id, "--kind", "increment", "--every", "90m")
    assert ask("schedules", "pause", connection_id) == {
        "connection_id": connection_id,
        "schedules": 3,
        "state": "paused",
    }
    assert {(one["kind"], one["every"], one["state"]) for one in ask("schedules", "list")} == {
        ("full", "1w", "paused"),
        ("increment", "90m", "paused"),
        ("reconcile", "1d", "paused"),
    }
    ask("schedules", "pause", connection_id, "--kind", "full", "--resume")
    assert {one["kind"] for one in ask("schedules", "list") if one["state"] == "active"} == {"full"}
    for every in ("", "1", "h", "1y", "-1h", "1 fortnight"):
        with pytest.raises(ConfigError, match="--every"):
            run("schedules", "set", connection_id, "--kind", "full", f"--every={every}")
