"""The origins that we may send requests to: https, or http on this machine, where simulators run.

An address in a network that the internet does not reach (private, link-local, a cloud's metadata) is taken only if an
operator says so. The answer of a name server can change later; the certificate that https asks for then does not fit.
"""

import re
import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from worker.errors import ConfigError

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}|[0-9a-f:.]+".encode())
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
#: for a name server to answer; without an answer a name is taken for a public one
_LOOKUP_S = 3.0

_Address = IPv4Address | IPv6Address
_NAT64 = ip_network("64:ff9b::/96")  #: https://www.rfc-editor.org/rfc/rfc6052: the last 32 bits are an IPv4 address


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
    is_whole = _PATH.fullmatch(path) is not None and ".." not in path.split("/")
    is_bare = not url.userinfo and not url.fragment and (url.raw_path in (b"", b"/") or (bool(path) and is_whole))
    if not is_allowed or not is_bare or not _HOST.fullmatch(url.raw_host):
        raise ConfigError("expected an origin such as https://api.example.com (http for this machine only)")
    return f"{url.scheme}://{url.netloc.decode()}{path}"


def require_public(checked: str, *, is_allowed: bool) -> None:
    """Raise ConfigError if an origin is in a network of its own, unless an operator has allowed that.

    This machine, written as such, is allowed: simulators run there. A name is looked up, and every address that it has
    must be public.
    """
    host = httpx.URL(checked).host
    if is_allowed or _is_loopback(host):
        return
    if any(not _is_public(address) for address in _addresses_of(host)):
        raise ConfigError("the address is in a private network; give --allow-private if that is meant")


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _addresses_of(host: str) -> list[_Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    found: list[_Address] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return  # nobody knows the name, so nothing is there to be reached
        found.extend(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers)

    # A thread, because a name server that is away is waited for much longer than an operator waits.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_LOOKUP_S)
    return list(found)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
