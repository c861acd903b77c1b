"""The Celery application: messages are nudges and may be lost, doubled or late (``docs/adr/0002``)."""

import gc
from typing import Any

from celery import Celery, signals

from worker import logs
from worker.settings import settings
from worker.store import db

NUDGES = "wake"
INGEST = "ingest"

app = Celery("contactsync", broker=settings().redis_url or "memory://", include=["worker.tasks"])
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    # Lost nudges cost nothing, so they are acknowledged early; the public ingest task decides for itself.
    task_acks_late=False,
    task_default_queue=NUDGES,
    task_create_missing_queues=True,
    task_routes={"worker.tasks.ingest": {"queue": INGEST}},
    task_publish_retry=False,
    task_time_limit=60,
    task_soft_time_limit=45,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=10_000,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 120,
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "global_keyprefix": "csync:",
    },
)


@signals.worker_process_init.connect
def _start_child(**_: Any) -> None:
    """Start a pool process afresh: sockets of the parent are not its own."""
    db.forget_engine()
    _start_draining()


@signals.beat_init.connect
def _start_beat(**_: Any) -> None:
    _start_draining()


def _start_draining() -> None:
    logs.configure()
    collect_seldom()


def collect_seldom() -> None:
    """Set the collector for batches, which make a million short-lived objects and no cycles.

    With the defaults it takes a tenth of a drain's time looking for them, and a third of a reader's.
    """
    gc.freeze()
    gc.set_threshold(500_000, 50, 100)
