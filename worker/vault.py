"""Vault: encrypts secrets for the database, and hashes addresses that nobody may read there.

The first key encrypts and hashes. All keys decrypt and find hashes again, so keys can be rotated.
"""

import base64
import hmac
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.errors import ConfigError
from worker.settings import settings


def seal(secret: str) -> bytes:
    """Encrypt a secret for the database; raises ConfigError if no usable key is set."""
    return _keys().encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """Decrypt a secret; raises ConfigError if no usable key is set, or none fits."""
    try:
        return _keys().decrypt(sealed).decode()
    except InvalidToken:
        raise ConfigError("a stored secret fits none of the keys in CONTACTSYNC_SECRET_KEYS") from None


def digests(organization_id: UUID) -> Callable[[tuple[str, str]], list[bytes]]:
    """Return the function that hashes the identifiers of an organization, with each key, the first key first.

    Raises ConfigError if no usable key is set.
    """
    _keys()
    keys = [hmac.digest(key, organization_id.bytes, "sha256") for key in _hashing_keys(_configured())]
    return lambda ident: [hmac.digest(key, "\0".join(ident).encode(), "sha256") for key in keys]


@lru_cache(maxsize=4)
def _hashing_keys(keys: tuple[str, ...]) -> list[bytes]:
    # Keys of their own, so that no secret is used for two things.
    return [hmac.digest(base64.urlsafe_b64decode(key), b"contactsync addresses", "sha256") for key in keys]


def _configured() -> tuple[str, ...]:
    return tuple(key.strip() for key in settings().contactsync_secret_keys.split(",") if key.strip())


def _keys() -> MultiFernet:
    keys = _configured()
    if not keys:
        raise ConfigError(
            "CONTACTSYNC_SECRET_KEYS is not set: give one or more Fernet keys, comma separated "
            "(make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')"
        )
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ConfigError("CONTACTSYNC_SECRET_KEYS: expected Fernet keys (32 bytes, url-safe base64)") from None
