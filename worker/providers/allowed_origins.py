"""The origins that we may send requests to: https, or http on this machine, where simulators run."""

import re
from ipaddress import ip_address

import httpx

from worker.errors import ConfigError

_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")


def origin(text: str, *, may_have_path: bool = False) -> str:
    """Check the origin of a provider's API and return it without a trailing slash.

    With ``may_have_path`` a path may follow the host, because some shops are installed below a folder. Raises
    ConfigError for any other scheme or host, and for a text that holds more than an origin.
    """
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    is_allowed = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))
    path = url.path.rstrip("/") if may_have_path and not url.query else ""
    is_bare = not url.userinfo and not url.fragment and (url.raw_path in (b"", b"/") or bool(path))
    if not is_allowed or not is_bare or not _HOST.fullmatch(url.raw_host):
        raise ConfigError("expected an origin such as https://api.example.com (http for this machine only)")
    return f"{url.scheme}://{url.netloc.decode()}{path}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
