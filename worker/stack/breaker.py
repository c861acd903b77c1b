"""Breaker: who waits for a database that hangs gets an error after a while.

The time-outs of a session are kept by the server, so they do not help against a server that is frozen or a network that
swallows everything, and no signal interrupts the driver while it waits. But a connection whose socket is shut down ends
the wait like one that broke by itself.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, event


class Breaker:
    """Breaks off the connections that an engine makes from now on. Only one block may run at a time."""

    def __init__(self, engine: Engine) -> None:
        self._made: WeakSet[Any] = WeakSet()
        event.listen(engine, "connect", lambda connection, _record: self._made.add(connection))

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Break all connections off if the block takes longer, and again while it goes on."""
        is_over = threading.Event()

        def watch() -> None:
            pause = seconds
            while not is_over.wait(pause):
                self._break_off()
                pause = seconds / 10

        thread = threading.Thread(target=watch, name="breaker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _break_off(self) -> None:
        for connection in list(self._made):
            # It may have been closed just now.
            with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as shared:
                shared.shutdown(socket.SHUT_RDWR)
