"""The deployment files: no setting is forgotten, the keys are made as the first lines say, all end in time."""

import base64
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.images import IMAGES
from worker.settings import Settings
from worker.stack.programs import our_programs

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = {name.upper(): field for name, field in Settings.model_fields.items()}
NEEDED = {"CONTACTSYNC_SECRET_KEYS", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"}


def environment_of_the_app():
    block = COMPOSE.split("x-app:")[1].split("\nx-after")[0].split("  environment:\n")[1]
    return set(re.findall(r"^    ([A-Z_]+):", block, re.MULTILINE))


def examples():
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_every_setting_passes_through_compose():
    # The container listens on the port of the image; PORT says where it is published.
    assert set(SETTINGS) - {"PORT"} == environment_of_the_app()


def test_the_example_names_all_that_compose_takes_and_every_setting():
    taken = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE)) | {"COMPOSE_PROFILES"}

    assert set(examples()) == taken | set(SETTINGS)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_example_shows_the_default_of_a_setting(name):
    shown, default = examples()[name], SETTINGS[name].default

    assert shown == str(default) or name == "PUBLIC_URL" or default == ""


def test_the_example_sets_nothing_by_itself():
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


@pytest.mark.parametrize("program", ["openssl", "python3"])
def test_the_first_lines_make_the_keys(program, tmp_path):
    first = [line.removeprefix("#   ") for line in EXAMPLE.splitlines()[:12]]
    (command,) = [line for line in first if program in line and line.endswith(">> .env")]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)

    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == NEEDED
    Fernet(made["CONTACTSYNC_SECRET_KEYS"])
    assert len(base64.urlsafe_b64decode(made["CONTACTSYNC_SECRET_KEYS"])) == 32
    assert all(re.fullmatch(r"[0-9a-f]{48}", made[name]) for name in NEEDED - {"CONTACTSYNC_SECRET_KEYS"})


def test_git_never_takes_the_keys():
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_one_service_builds_and_the_others_use_its_image():
    assert len(re.findall(r"^ +build:", COMPOSE, re.MULTILINE)) == 1


def test_web_ends_in_time_however_it_is_started(tmp_path):
    commands = {
        "Dockerfile": DOCKERFILE,
        "Procfile": (ROOT / "Procfile").read_text(),
        "contactsync up": " ".join(our_programs(tmp_path, 8000, 2)[0].command),
    }

    assert [name for name, text in commands.items() if "--timeout-graceful-shutdown 3" not in text] == []


def test_the_image_has_nothing_for_development():
    names = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-image.lock").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {re.split(r"[\[><=;]", one)[0].strip() for of in project["optional-dependencies"].values() for one in of}
    needed = {re.split(r"[\[><=;]", one)[0].strip() for one in project["dependencies"]}

    assert needed <= names
    assert not names & extras


def test_the_lock_of_the_image_agrees_with_that_of_development():
    pins = {
        lock: set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "requirements-image.lock")
    }

    assert pins["requirements-image.lock"] <= pins["requirements.lock"]


def test_the_label_has_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f"ARG VERSION={version}\n" in DOCKERFILE


def test_the_stand_ins_stand_for_the_images_of_the_file():
    for real, _ in IMAGES.values():
        assert real in COMPOSE + DOCKERFILE
