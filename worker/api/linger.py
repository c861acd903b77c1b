"""The end of a refused request: we go on reading for a moment, and keep nothing.

A connection that is closed while bytes come in takes our answer with it, before the sender has read it.
"""

import asyncio
from contextlib import suppress

from starlette.types import Receive

#: How much, and how long, we read on after a refusal.
_BYTES, _S = 1024 * 1024, 1.0


async def linger(receive: Receive) -> None:
    """Take what still comes, for at most a second."""
    size, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(_S):
            while more and size < _BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
