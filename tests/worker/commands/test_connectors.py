"""The commands about connectors; packages of others stand in as a directory on the path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import connectors
from worker.cli import app
from worker.errors import ConfigError

ROOT = Path(__file__).parents[3]


def installed(directory: Path, package: str, entry_points: dict[str, str], **modules: str) -> Path:
    """Lay out a package as pip would install it."""
    info = directory / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"[{connectors.ENTRY_POINTS}]", *(f"{name} = {module}" for name, module in entry_points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in modules.items():
        (directory / f"{name}.py").write_text(source)
    return directory


@pytest.fixture
def run(monkeypatch):
    """Run a command without any stack: connectors are looked at without a database."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(connectors, "CONNECTORS", dict(connectors.CONNECTORS))

    def run(*arguments):
        done = CliRunner().invoke(app, ["connectors", *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_ours_are_listed_with_what_they_offer(run):
    listed = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}

    assert listed["shopify"]["package"] == "contactsync"
    assert listed["shopify"]["webhooks"] is True
    assert listed["shopify"]["error"] is None
    assert set(connectors.CONNECTORS) <= set(listed)


def test_a_check_prints_a_line_each_and_a_sum(run):
    done = run("check", "shopify")

    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert any(line.split() == ["passed", "parse.odd_values"] for line in lines)
    assert lines[-1].startswith("shopify: ")


def test_an_unknown_name_is_answered_with_the_known_ones_and_how_to_declare_one(run):
    with pytest.raises(ConfigError, match=r"known: .*shopify.*contactsync\.connectors.*pasar = "):
        run("check", "pasar")


def test_a_broken_package_is_listed_with_its_error_and_breaks_nothing_else(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(
        installed(tmp_path, "broken-shop", {"broken": "broken_shop"}, broken_shop="import nope")
    )
    monkeypatch.syspath_prepend(installed(tmp_path / "a", "bomb", {"bomb": "bomb"}, bomb="raise SystemExit(3)"))
    monkeypatch.syspath_prepend(installed(tmp_path / "b", "second-shop", {"shopify": "second_shop"}))

    listed = json.loads(run("list", "--json").stdout)

    (broken,) = [row for row in listed if row["name"] == "broken"]
    assert broken["package"] == "broken-shop"
    assert "ModuleNotFoundError" in broken["error"]
    assert broken["webhooks"] is None
    assert "SystemExit" in next(row["error"] for row in listed if row["name"] == "bomb")
    (second,) = [row for row in listed if row["package"] == "second-shop"]
    assert second["error"] == "the name is taken by contactsync"
    assert run("check", "shopify").exit_code == 0
    with pytest.raises(ConfigError, match="broken: broken-shop cannot be imported: ModuleNotFoundError"):
        run("check", "broken")


def test_names_are_known_without_importing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(installed(tmp_path, "bomb", {"bomb": "bomb"}, bomb="raise SystemExit(3)"))

    assert "bomb" in [origin.name for origin in connectors.origins()]
    with pytest.raises(KeyError, match=r"known: .*bomb.*shopify"):
        connectors.connector("nobody")


def test_other_commands_do_not_look_at_packages(tmp_path):
    path = installed(tmp_path, "bomb", {"bomb": "bomb"}, bomb="raise SystemExit(3)")
    environment = {**os.environ, "PYTHONPATH": str(path)}

    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "connections", "--help"], cwd=ROOT, env=environment, capture_output=True
    )

    assert done.returncode == 0
