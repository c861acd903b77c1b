"""Stopping: a worker that is told to end does so within seconds, whatever it is at.

Celery waits for the tasks that run, without a limit, and for the broker. A drain would go on for its whole budget, so
it asks here between two batches. What has not ended after a few seconds is cut off: Celery's cold shutdown first, then
the process. Nothing is lost by that: what was not committed is due again when its lease ends.

Celery's soft shutdown is not used: it needs a variable in the environment of each worker, and sleeps its whole time
whenever a task runs, even if that ends at once.
"""

import mmap
import os
import signal
import threading
import time

#: after SIGTERM, until the tasks that run are given up; a batch takes a second
_PATIENCE_S = 2.5
#: after that, until the process ends without what is left of Celery's shutdown, which waits for the broker
_LAST_S = 1.0

# One byte that the processes of the pool share with the one that is told to end: they are its forks.
_told = mmap.mmap(-1, 1)


def is_told() -> bool:
    """Return whether this worker has been told to end."""
    return _told[0] == 1


def tell() -> None:
    """Have the tasks of this worker end early."""
    _told[0] = 1


def end_soon() -> None:
    """Have this worker end early, and see to it that it does; called in its main process."""
    if not is_told():
        tell()
        threading.Thread(target=_see_to_it, name="stopping", daemon=True).start()


def _see_to_it() -> None:
    time.sleep(_PATIENCE_S)
    os.kill(os.getpid(), signal.SIGQUIT)
    time.sleep(_LAST_S)
    os._exit(1)
