"""Checking that a request comes from who it says; one function per way of signing.

All of them work on the bytes as received: JSON written again is other bytes.
"""

import base64
import hmac
from collections.abc import Sequence

from connectors.contract import BadSignatureError

_SHA256_BYTES = 32


def check_hmac_sha256_base64(body: bytes, signature_header: str | None, secrets: Sequence[str]) -> None:
    """Check a base64 HMAC-SHA256 of ``body`` against every secret.

    Raises BadSignatureError if none fits, and for a header that is missing or
    is not the base64 of a digest; never anything else, whatever the header holds.
    """
    given = _digest_in(signature_header)
    proven = False
    for secret in secrets:
        # Anyone can sign with an empty key, so an unset secret proves nothing.
        if secret:
            # No early end: the time taken must not tell which of the secrets is in use.
            proven |= hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256"), given)
    if not proven:
        raise BadSignatureError("the signature fits none of the secrets")


def _digest_in(header: str | None) -> bytes:
    if not header:
        raise BadSignatureError("the request has no signature")
    try:
        digest = base64.b64decode(header, validate=True)
    except ValueError:  # of which bad base64 and text that is not ASCII are kinds
        raise BadSignatureError("the signature is not base64") from None
    # Unused bits at the end may differ without changing the digest: only the one true spelling counts.
    if len(digest) != _SHA256_BYTES or base64.b64encode(digest) != header.encode():
        raise BadSignatureError("the signature is not a SHA-256 digest")
    return digest
