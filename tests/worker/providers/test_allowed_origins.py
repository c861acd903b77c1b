"""The origins that we may send requests to."""

import socket

import pytest

from worker.errors import ConfigError
from worker.providers import allowed_origins


@pytest.mark.parametrize(
    "origin",
    [
        "https://api.telegram.org",
        "https://api.telegram.org/",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8081",
        "http://[::1]:8081",
        "http://localhost:8081",
    ],
)
def test_an_origin_is_https_or_on_this_machine(origin):
    assert allowed_origins.origin(origin) == origin.rstrip("/")


@pytest.mark.parametrize(
    "origin",
    [
        "http://api.telegram.org",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "https://",
        "https://user:secret@api.telegram.org",
        "https://api.telegram.org/bot",
        "https://api.telegram.org?x=1",
        "https://api.telegram.org#x",
        "ftp://127.0.0.1",
        "api.telegram.org",
        "",
        "https://a b",
        "https://[::1",
    ],
)
def test_anything_but_an_origin_is_refused(origin):
    with pytest.raises(ConfigError, match="origin"):
        allowed_origins.origin(origin)


@pytest.mark.parametrize("path", ["/blog/shop", "/a.b-c_d~e"])
def test_a_shop_may_be_below_a_folder(path):
    assert allowed_origins.origin(f"https://shop.example{path}/", may_have_path=True) == f"https://shop.example{path}"


@pytest.mark.parametrize("path", ["//evil.example", "/a%2f..", "/@evil.example", "/a;b", "/a b"])
def test_a_folder_is_a_plain_path(path):
    with pytest.raises(ConfigError, match="origin"):
        allowed_origins.origin(f"https://shop.example{path}", may_have_path=True)


@pytest.mark.parametrize(
    "host",
    [
        *("10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"),
        *("169.254.169.254", "169.254.1.1"),
        *("[fd00:ec2::254]", "[fe80::1]", "[::]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[fc00::1]"),
        *("[2002:a00:1::]", "[64:ff9b::a9fe:a9fe]", "[2001:db8::1]"),
    ],
)
def test_an_address_of_a_private_network_needs_a_yes(host):
    checked = allowed_origins.origin(f"https://{host}")

    with pytest.raises(ConfigError, match="--allow-private"):
        allowed_origins.require_public(checked, is_allowed=False)
    allowed_origins.require_public(checked, is_allowed=True)


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "127.0.0.1", "localhost", "[::1]"])
def test_a_public_address_and_this_machine_need_none(host):
    allowed_origins.require_public(allowed_origins.origin(f"https://{host}"), is_allowed=False)


@pytest.mark.parametrize("found", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%eth0"], ["169.254.169.254"]])
def test_a_name_of_a_private_address_needs_a_yes(monkeypatch, found):
    answers = [(None, None, None, "", (address, 0)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    with pytest.raises(ConfigError, match="private network"):
        allowed_origins.require_public("https://shop.example", is_allowed=False)


def test_a_name_that_nobody_knows_is_taken(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    allowed_origins.require_public("https://shop.example", is_allowed=False)
