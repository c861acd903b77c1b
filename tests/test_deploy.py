"""The files for platforms: they start what the Procfile starts, with settings that exist, and lock up what they can."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from worker.settings import Settings

ROOT = Path(__file__).parents[1]
KUBERNETES, SYSTEMD = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "systemd"
#: what is no setting of ours: read by the commands of the Procfile
OF_COMMANDS = {"WORKERS"}
SETTINGS = {name.upper() for name in Settings.model_fields} | OF_COMMANDS
SECRET = re.compile(r"(?<!^PUBLIC)_URL$|_KEYS?$|_TOKEN$|PASSWORD")
PARTS = ("web", "worker", "beat")


def procfile():
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def arguments(command):
    """Return a command as a set of arguments, however its options are written."""
    words = shlex.split(command) if isinstance(command, str) else command
    found, option = [], None
    for word in words:
        name = {"-A": "--app"}.get(word, word)
        if option is not None and not name.startswith("-"):
            found[-1] += f"={name}"
            option = None
        else:
            option = name if name.startswith("--") and "=" not in name else None
            found.append(name)
    return sorted(found)


def test_arguments_are_the_same_however_they_are_written():
    assert arguments("a -A x --b c --d") == arguments(["a", "--app=x", "--d", "--b=c"])
    assert arguments("a --b c") != arguments("a --b d")


def documents(*patterns):
    for pattern in patterns or ("*.yaml", "before/*.yaml"):
        for path in sorted(KUBERNETES.glob(pattern)):
            for document in yaml.safe_load_all(path.read_text()):
                yield path, document


def pods():
    for path, document in documents():
        if document["kind"] in ("Deployment", "Job"):
            yield pytest.param(document, id=path.stem)


@pytest.mark.parametrize("part", PARTS)
def test_a_pod_starts_what_the_procfile_starts(part):
    (container,) = first(part)["spec"]["template"]["spec"]["containers"]
    if part == "web":  # the command of the image, which is that of the Procfile
        assert "command" not in container
        assert "args" not in container
        (command,) = re.findall(r'^CMD \["sh", "-c", "exec (.*)"\]$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        assert {"name": "PORT", "value": "8000"} in container["env"]
        assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    else:
        command = [word.replace("$(WORKERS)", "${WORKERS:-2}") for word in container["command"]]
    assert arguments(command) == arguments(procfile()[part])


def first(part):
    return next(document for _, document in documents(f"{part}.yaml"))


def test_the_migration_is_that_of_the_procfile():
    (job,) = [document for _, document in documents() if document["kind"] == "Job"]

    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == procfile()["release"].split()


@pytest.mark.parametrize("document", list(pods()))
def test_a_pod_may_do_nothing_but_its_work(document):
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert [{name: source["name"]} for one in container["envFrom"] for name, source in one.items()] == [
        {"configMapRef": "contactsync"},
        {"secretRef": "contactsync"},
    ]


def test_selectors_find_their_pods():
    labels = {part: first(part)["spec"]["template"]["metadata"]["labels"] for part in PARTS}

    for path, document in documents():
        if document["kind"] in ("Deployment", "PodDisruptionBudget", "Service"):
            selector = document["spec"]["selector"]
            assert selector.get("matchLabels", selector) == labels[path.stem], path
    (scaled,) = [document for _, document in documents("keda.yaml")]
    assert scaled["spec"]["scaleTargetRef"]["name"] == first("worker")["metadata"]["name"]
    assert "replicas" not in first("worker")["spec"]  # else each release takes back what KEDA decided


def test_one_image_and_every_file_belong_to_the_two_steps():
    steps = {path.parent: document for path, document in documents() if document["kind"] == "Kustomization"}

    assert len({str(step["images"]) for step in steps.values()}) == 1
    for folder, step in steps.items():
        others = {"kustomization.yaml", "keda.yaml"} | {path.name for path in folder.glob("*.example.yaml")}
        assert {path.name for path in folder.glob("*.yaml")} - others == set(step["resources"])


def names_set():
    """Yield (file, name, value) of every variable that the files set."""
    for path, document in documents():
        for name, value in {**document.get("data", {}), **document.get("stringData", {})}.items():
            yield path, name, value
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            yield from ((path, one["name"], one["value"]) for one in container.get("env", ()))
    for path in SYSTEMD.iterdir():
        pattern = r"^(?:Environment=)([A-Z_]+)=(.*)$" if path.suffix == ".service" else r"^([A-Z_]+)=(.*)$"
        if path.suffix != ".target":
            yield from ((path, *found) for found in re.findall(pattern, path.read_text(), re.MULTILINE))


def test_every_variable_is_a_setting():
    found = list(names_set())

    assert len(found) > 12
    assert {name for _, name, _ in found} <= SETTINGS
    required = {"DATABASE_URL", "REDIS_URL", "CONTACTSYNC_SECRET_KEYS", "PUBLIC_URL"}
    assert required <= {name for path, name, _ in found if KUBERNETES in path.parents}
    assert required <= {name for path, name, _ in found if SYSTEMD in path.parents}


def test_no_secret_is_in_a_map_that_everybody_reads():
    for path, document in documents():
        if document["kind"] == "ConfigMap":
            assert not [name for name in document["data"] if SECRET.search(name)], path


def units():
    return {path.stem.removeprefix("contactsync-"): path for path in sorted(SYSTEMD.glob("*.service"))}


def exec_start(path):
    (command,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", path.read_text(), re.MULTILINE)
    return command.replace("\\\n", " ")


def test_a_unit_starts_what_the_procfile_starts():
    expected = {"migrate" if name == "release" else name: command for name, command in procfile().items()}

    assert set(units()) == set(expected)
    for name, path in units().items():
        started = exec_start(path).removeprefix("/opt/contactsync/bin/")
        # A proxy stands before it; systemd knows no defaults, and reads % itself.
        started = started.replace("127.0.0.1", "0.0.0.0").replace("${PORT}", "$PORT")
        started = started.replace("${WORKERS}", "${WORKERS:-2}").replace("%%", "%")
        assert arguments(started) == arguments(expected[name]), name


def test_units_are_hardened_alike():
    hardened = {
        re.search(r"\n# The programs need the network.*?(?=\n\n|\Z)", path.read_text(), re.DOTALL)[0].strip()
        for path in units().values()
    }

    assert len(hardened) == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed here")
def test_systemd_takes_the_units(tmp_path):
    for path in SYSTEMD.iterdir():
        if path.suffix in (".service", ".target"):  # the programs are elsewhere here
            unit = path.read_text().replace("/opt/contactsync/bin", str(Path(sys.executable).parent))
            (tmp_path / path.name).write_text(unit)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", ["kubernetes", "heroku", "systemd"])
def test_a_page_names_files_and_settings_that_exist(page):
    text = (ROOT / "docs" / f"deploy-{page}.md").read_text()

    for path in re.findall(r"deploy/(?:kubernetes|systemd)[\w./-]*", text):
        assert (ROOT / path.rstrip("./")).exists(), path
    for name in re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", text):
        assert name in SETTINGS, name
    assert f"deploy-{page}.md" in (ROOT / "docs" / "site" / "mkdocs.yml").read_text()
