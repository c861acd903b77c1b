"""The origins that we may send requests to."""

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
