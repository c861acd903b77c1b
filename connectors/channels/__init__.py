"""Channels, by name: messaging platforms that can be asked for a person's profile.

A channel is no connector: it shows one profile when somebody asks for it, and writes to no contact.
"""

from connectors.channels import line, telegram, whatsapp
from connectors.channels.contract import Platform

CHANNELS: dict[str, Platform] = {
    "line": line,
    "telegram": telegram,
    "whatsapp": whatsapp,
}


def platform(name: str) -> Platform:
    """Return the platform of that name; raises KeyError, which lists the known names, if there is none."""
    if name in CHANNELS:
        return CHANNELS[name]
    raise KeyError(f"no channel platform {name!r}; known: {', '.join(sorted(CHANNELS))}")
