"""The Celery application. Its messages are nudges, which may be lost, doubled or late (``docs/adr/0002``)."""

import gc
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, signals
from celery.apps import worker as worker_program
from kombu.transport import TRANSPORT_ALIASES

from worker import logs, stopping
from worker.broker import INGEST, NUDGES
from worker.broker_urls import celery_options
from worker.settings import settings
from worker.store import db

# An alias and no `broker_transport`: Kombu treats the rest of a `rediss://` URL as before.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "worker.broker:Transport"))

TRANSPORT_ALIASES["sentinel"] = "worker.broker:SentinelTransport"

log = structlog.get_logger()

if logs.is_program("celery"):  # and no program that only uses our modules
    logs.begin()


class _Application(Celery):
    """Celery's application, whose beat prints no banner."""

    @property
    def Beat(self) -> Callable[..., Any]:  # noqa: N802 - Celery's name
        """Return what makes the program of beat."""
        program = super().Beat
        return lambda **options: program(**{**options, "quiet": True})


_broker = celery_options(settings().celery_broker, settings().broker_prefix)
app = _Application("contactsync", broker=_broker["broker_url"], include=["worker.tasks"])
app.conf.update(
    **_broker,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    # A lost nudge costs nothing, so nudges are acknowledged early. The public ingest task acknowledges late.
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
    worker_redirect_stdouts=False,
    worker_consumer="worker.consumer:Consumer",
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,  # else an error that the broker answers ends the worker
)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    """Take logging over in every Celery process, before anything of it runs; Celery then sets up nothing."""
    logs.configure()
    logs.take_over_hooks()


def _say(text: str, _stream: object = None) -> None:
    """Log what Celery says to a terminal when it is told to stop."""
    log.info("celery_said", text=" ".join(text.split()))


worker_program.safe_say = _say  # else it writes text to the file of stdout


@signals.celeryd_init.connect
def _be_quiet(instance: Any, **_: Any) -> None:
    instance.quiet = True  # no banner


@signals.worker_ready.connect
def _tell_worker(sender: Any, **_: Any) -> None:
    log.info("worker_started", hostname=sender.hostname, processes=sender.pool.num_processes)


@signals.worker_shutdown.connect
def _tell_end(sender: Any, **_: Any) -> None:
    log.info("worker_ended", hostname=getattr(sender, "hostname", None))


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    stopping.end_soon()


@signals.worker_process_init.connect
def _start_child(**_: Any) -> None:
    """Drop the parent's sockets, which a pool process must not use, and prepare the process."""
    db.forget_engine()
    _prepare_process()


@signals.beat_init.connect
def _start_beat(**_: Any) -> None:
    _prepare_process()
    log.info("beat_started")


def _prepare_process() -> None:
    logs.configure()
    collect_seldom()


def collect_seldom() -> None:
    """Let the garbage collector run seldom: a batch makes a million short-lived objects and no cycles.

    With its default thresholds the collector takes a tenth of a drain's time, and a third of the time of reading.
    """
    gc.freeze()
    gc.set_threshold(500_000, 50, 100)
