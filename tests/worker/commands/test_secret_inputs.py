"""Secrets from files and from stdin: every option for a secret has its twin, and no error quotes one."""

import json

import pytest
import typer
from typer.testing import CliRunner

from worker.cli import app
from worker.errors import ConfigError
from worker.store import channels, connections
from worker.store.db import Tx

SECRET = "whsec_invented_4711"
SHOP = ("connections", "add", "shopify", "--shop-domain", "s.myshopify.com")


@pytest.fixture
def from_stdin(engine):
    """Run a command with this text on its stdin."""

    def run(text, *arguments):
        done = CliRunner().invoke(app, [*arguments, "--json"], input=text)
        if isinstance(done.exception, Exception):
            raise done.exception
        return json.loads(done.stdout)

    return run


@pytest.fixture
def file(tmp_path):
    def write(content, name="secret"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture
def stored(engine, organization_id):
    """The only connection."""

    def load():
        with engine.connect() as conn:
            (row,) = connections.of_organization(Tx(conn, organization_id))
        return row

    return load


def test_every_option_for_a_secret_has_a_twin():
    wanting, found = set(), set()

    def walk(command, path):
        for name, one in getattr(command, "commands", {}).items():
            walk(one, [*path, name])
        options = {option for parameter in command.params for option in parameter.opts}
        for option in options:
            if option.endswith(("-secret", "-token", "-api-key", "--credential", "-password")) or option == "--token":
                (found if f"{option}-file" in options else wanting).add((" ".join(path), option))

    walk(typer.main.get_command(app), [])

    assert not wanting
    assert {option for _, option in found} >= {"--webhook-secret", "--access-token", "--credential", "--token"}


def test_a_secret_is_read_from_stdin_without_its_line_end(from_stdin, stored):
    from_stdin(f"{SECRET}\r\n", *SHOP, "--webhook-secret-file", "-")

    assert stored().secrets() == [SECRET]


def test_secrets_are_read_from_files_and_one_from_stdin(from_stdin, stored, file):
    files = ("--webhook-secret-file", file(SECRET, "a"), "--webhook-secret-file", file(b"\xef\xbb\xbfold\n", "b"))

    from_stdin("shpat_invented\n", *SHOP, *files, "--access-token-file", "-")

    assert stored().secrets() == [SECRET, "old"]
    assert stored().credentials() == {"access_token": "shpat_invented"}


def test_all_other_commands_take_files_too(from_stdin, ask, stored, file, engine, organization_id):
    id_ = ask(*SHOP, "--webhook-secret", "old")["connection_id"]
    from_stdin(SECRET, "connections", "rotate-secret", id_, "--webhook-secret-file", "-")
    from_stdin("shpat_new\n", "connections", "authorize", id_, "--credential-file", "access_token=-")
    from_stdin("", "channels", "add", "telegram", "--token-file", file("7:invented\n"))

    assert stored().secrets() == [SECRET, "old"]
    assert stored().credentials() == {"access_token": "shpat_new"}
    with engine.connect() as conn:
        assert [row.secret() for row in channels.of_organization(Tx(conn, organization_id))] == ["7:invented"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--webhook-secret", "x", "--webhook-secret-file", "-"), "give --webhook-secret or --webhook-secret-file"),
        (("--access-token", "x", "--access-token-file", "-"), "give --access-token or --access-token-file"),
        (("--webhook-secret-file", "-", "--webhook-secret-file", "-"), "stdin gives one secret"),
        (("--webhook-secret-file", "-", "--access-token-file", "-"), "stdin gives one secret, and --"),
        (("--credential", "a=b", "--credential-file", "a=-"), "give a to --credential or --credential-file"),
        (("--webhook-secret-file", SECRET), "--webhook-secret-file: cannot be read: No such file"),
        (("--webhook-secret-file", "/"), "--webhook-secret-file: cannot be read: Is a directory"),
        (("--webhook-secret-file", f"{SECRET}/x\0"), "--webhook-secret-file: cannot be read: no such file"),
        (("--webhook-secret-file", "/dev/zero"), "--webhook-secret-file: expected a secret, got a large file"),
        (("--credential-file", SECRET), "--credential-file: expected NAME=VALUE"),
    ],
)
def test_a_mistake_is_told_without_the_secret(from_stdin, given, told):
    with pytest.raises(ConfigError) as caught:
        from_stdin(SECRET, *SHOP, *given)

    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", " \r\n", "a\0b", b"\xff\xfe", "x" * 70_000])
def test_what_is_no_secret_is_refused(run, file, content):
    with pytest.raises(ConfigError, match="--webhook-secret-file: expected"):
        run(*SHOP, "--webhook-secret-file", file(content))
