"""Vault: encrypts secrets for the database. The first key encrypts and all keys decrypt, so keys can be rotated."""

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


def _keys() -> MultiFernet:
    keys = [key.strip() for key in settings().contactsync_secret_keys.split(",") if key.strip()]
    if not keys:
        raise ConfigError(
            "CONTACTSYNC_SECRET_KEYS is not set: give one or more Fernet keys, comma separated "
            "(make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')"
        )
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ConfigError("CONTACTSYNC_SECRET_KEYS: expected Fernet keys (32 bytes, url-safe base64)") from None
