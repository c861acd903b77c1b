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


class NoKeyFitsError(ConfigError):
    """A stored secret was encrypted with a key that is not among ours."""


def seal(secret: str) -> bytes:
    """Encrypt a secret for the database; raises ConfigError if no usable key is set."""
    return _keys().encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """Decrypt a secret; raises ConfigError if no usable key is set, NoKeyFitsError if none fits."""
    try:
        return _keys().decrypt(sealed).decode()
    except InvalidToken:
        raise NoKeyFitsError("a stored secret fits none of the keys in CONTACTSYNC_SECRET_KEYS") from None


def renewed(sealed: bytes) -> bytes | None:
    """Return a secret encrypted anew with the first key; None if it is so already.

    Raises ConfigError if no usable key is set, NoKeyFitsError if none fits.
    """
    keys = _keys()
    try:
        Fernet(_configured()[0]).decrypt(sealed)
    except InvalidToken:
        secret = unseal(sealed)
        return keys.encrypt(secret.encode())
    return None


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
    # One a line is as good as commas: a file of keys reads better so.
    return tuple(settings().contactsync_secret_keys.replace(",", " ").split())


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
