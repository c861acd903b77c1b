"""URLs of Postgres: one function reads what platforms, poolers and people write."""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from worker.errors import ConfigError

#: ``postgres://`` as platforms write it, and with a driver's name as SQLAlchemy does
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_EXPECTED = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
_ENCODED = "in USER and PASSWORD write % as %25, @ as %40, : as %3A, / as %2F, ? as %3F and # as %23"
#: parameters of which the driver would quote a wrong value, and what each may be
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}


def arguments(url: str, name: str = "DATABASE_URL") -> dict[str, str]:
    """Read a URL; return the arguments for a connection of the driver.

    Postgres' own client library reads it: hosts may be several, or the directory of a socket, and each parameter that
    the library knows may follow. Raises ConfigError that quotes nothing, because any part may be of the password.
    """
    url = url.strip()
    if not url:
        raise ConfigError(f"{name} is not set; expected {_EXPECTED}")
    scheme = _SCHEME.match(url)
    if scheme is None or "\0" in url:
        raise ConfigError(f"{name}: expected {_EXPECTED}")
    try:
        found = conninfo_to_dict("postgresql://" + url[scheme.end() :])
    except (psycopg.Error, UnicodeError):
        raise ConfigError(
            f"{name}: expected {_EXPECTED}?PARAMETER=VALUE with parameters of libpq only, such as sslmode; {_ENCODED}"
        ) from None
    given = {key: str(value) for key, value in found.items() if value is not None}
    _check(given, url, name)
    return given


def conninfo(url: str) -> str:
    """Read a URL; return it as the driver takes it."""
    return make_conninfo(**arguments(url))


def _check(given: dict[str, str], url: str, name: str) -> None:
    ports = given.get("port", "").split(",")
    if any(port and not (port.isdecimal() and 0 < int(port) < 65536) for port in ports):
        raise ConfigError(f"{name}: expected a number from 1 to 65535 as PORT; {_ENCODED}")
    # An unencoded @ ends the password too early, and what follows of it would be looked up as a host.
    if "@" in given.get("host", "") or "#" in url:
        raise ConfigError(f"{name}: expected {_EXPECTED}; {_ENCODED}")
    hosts = given.get("host", "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise ConfigError(f"{name}: expected one PORT for all hosts, or one for each")
    for key, choices in _CHOICES.items():
        if key in given and given[key] not in choices:
            raise ConfigError(f"{name}: expected {key} to be one of {', '.join(choices)}")
