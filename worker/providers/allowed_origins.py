"""Where we may send requests: origins that an operator configured, over https, or http on this machine."""

import re
from ipaddress import ip_address

import httpx

from worker.errors import ConfigError

_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")


def origin(text: str, *, may_have_path: bool = False) -> str:
    """Read the origin of a provider's API: https, or http on this machine for simulators.

    Raises ConfigError for anything else, and for more than an origin; with ``may_have_path`` a path may follow, as
    that of a shop below a folder.
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
