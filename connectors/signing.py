"""Checks that a request comes from its provider; one function for each way of signing.

All of them work on the bytes as received, because JSON that is parsed and written again has other bytes.
"""

import base64
import hmac
from collections.abc import Sequence

from connectors.contract import BadSignatureError

_SHA256_BYTES = 32


def check_hmac_sha256_base64(body: bytes, signature_header: str | None, secrets: Sequence[str]) -> None:
    """Check a base64 HMAC-SHA256 of ``body`` against every secret.

    Raises BadSignatureError if no secret fits, or if the header is missing or is
    not the base64 of a digest. Raises nothing else, whatever the header holds.
    """
    given = _digest_in(signature_header)
    proven = False
    for secret in secrets:
        # Anyone can sign with an empty key, so an unset secret proves nothing.
        if secret:
            # The loop does not end early: its time must not reveal which secret is in use.
            proven |= hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256"), given)
    if not proven:
        raise BadSignatureError("the signature fits none of the secrets")


def _digest_in(header: str | None) -> bytes:
    if not header:
        raise BadSignatureError("the request has no signature")
    try:
        digest = base64.b64decode(header, validate=True)
    except ValueError:  # binascii.Error for bad base64, UnicodeEncodeError for text that is not ASCII
        raise BadSignatureError("the signature is not base64") from None
    # The last character has unused bits, so several spellings give one digest; only the standard one is accepted.
    if len(digest) != _SHA256_BYTES or base64.b64encode(digest) != header.encode():
        raise BadSignatureError("the signature is not a SHA-256 digest")
    return digest
