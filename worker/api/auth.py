"""API keys: sent in ``X-Api-Key``, or as a bearer token, which Wazapin's own plugin does."""

import time
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from worker.api.errors import ApiError
from worker.api.limits import limiter
from worker.settings import settings
from worker.store import api_keys, db
from worker.store.api_keys import Key

_api_key = APIKeyHeader(name="X-Api-Key", auto_error=False)
_bearer = HTTPBearer(auto_error=False)
#: The use of a key is stored at most this often. People look at it, so a minute is exact enough.
_NOTE_EVERY_S = 60.0
_noted: dict[UUID, float] = {}


def _allowed(*scopes: str) -> Callable[..., Key]:
    """Return a dependency that answers the caller's key if the key has one of these scopes, or ``admin``.

    It raises ApiError: 401 for a missing or unknown key, 403 for a key without the scope, 429 above the rate limit.
    """
    allowed = {*scopes, "admin"}

    def check(
        request: Request,
        api_key: Annotated[str | None, Security(_api_key)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> Key:
        given = api_key or (bearer.credentials if bearer else "")
        with db.tenant_engine().begin() as conn:
            key = api_keys.check(conn, given) if given else None
            if key is None:
                raise ApiError(401, "invalid or missing API key", headers={"WWW-Authenticate": "Bearer"})
            if _noted.get(key.id, 0.0) < time.monotonic():
                _noted[key.id] = time.monotonic() + _NOTE_EVERY_S
                api_keys.note_use(conn, key)
        request.state.headers = limiter().spend(key.id, key.rate_limit or settings().api_rate_limit)
        if not key.scopes & allowed:
            raise ApiError(403, f"the API key lacks the scope {scopes[0]}")
        return key

    return check


#: The caller's key, whatever its scopes. The caller sees only the organization of the key.
Caller = Annotated[Key, Depends(_allowed(*api_keys.SCOPES))]
ReadKey = Annotated[Key, Depends(_allowed("contacts:read"))]
WriteKey = Annotated[Key, Depends(_allowed("contacts:write"))]
#: A look-up at a provider needs its own scope, or the scope to write contacts.
LookupKey = Annotated[Key, Depends(_allowed("channels:lookup", "contacts:write"))]
