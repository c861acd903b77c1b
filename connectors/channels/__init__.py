"""Channels: messaging platforms that can show a person's profile, by name."""

from connectors.channels import line, telegram, whatsapp
from connectors.channels.contract import Platform

CHANNELS: dict[str, Platform] = {
    "line": line,
    "telegram": telegram,
    "whatsapp": whatsapp,
}


def platform(name: str) -> Platform:
    """Return the channel platform of that name; raises KeyError with the known names if there is none."""
    if name in CHANNELS:
        return CHANNELS[name]
    raise KeyError(f"no channel platform {name!r}; known: {', '.join(sorted(CHANNELS))}")
