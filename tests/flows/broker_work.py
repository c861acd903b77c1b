"""Work for a stack, whatever its broker: webhooks, which need none, and the public task, which only a worker takes."""

import base64
import time
import uuid
from contextlib import suppress

import httpx
from celery import Celery

from connectors.shopify.simulator.shop import signed
from connectors.simulation.deliveries import Delivery
from tests.flows.stack import RunningStack, processes, wait_until

DOMAIN = "brokers.myshopify.com"
#: for a webhook until it is settled, whatever the broker does: a busy machine takes seconds to start a stand-in
LONGEST_S = 20.0


class Work:
    """Sends work and waits until it is settled; ``url`` is the broker's, for a producer."""

    def __init__(self, stack: RunningStack, url: str, prefix: str = "csync:", **options: object) -> None:
        self._stack = stack
        self._secret = "brokers"
        self._webhook = stack.connect(DOMAIN, secret=self._secret, source="brokers", organization="brokers")
        self._producer = Celery(broker=url, set_as_current=False)
        self._producer.conf.broker_transport_options = {"global_keyprefix": prefix, **options}
        self._producer.conf.task_publish_retry = False
        self._sent = 0

    def main(self) -> int:
        """Return the id of the worker's main process, once its pool is there."""
        wait_until(lambda: len(self._stack.workers()) >= 3, 20)
        return min(self._stack.workers())

    def processes(self) -> int:
        """Count the processes that work: the worker's, and stand-ins."""
        names = ("worker.app worker", "worker.stand_in")
        lines = [(pid, line) for pid, line in processes() if any(name in line for name in names) and "-c " not in line]
        return sum(self._stack.is_ours(pid) for pid, _ in lines)

    def webhook(self) -> float:
        """Deliver a webhook, which is answered at once; return the seconds until it is settled."""
        delivery, began = self._delivery(), time.monotonic()
        answer = httpx.post(self._webhook, content=delivery.body, headers=delivery.headers, trust_env=False, timeout=5)
        assert answer.status_code == 200
        assert time.monotonic() - began < 2
        self._settled()
        return time.monotonic() - began

    def public_task(self) -> None:
        """Have a worker take a delivery from the broker, and wait until it is settled; try again if it gets lost."""
        delivery = self._delivery()
        args = [self._webhook.rpartition("/")[2], delivery.headers, base64.b64encode(delivery.body).decode()]

        def publish() -> bool:
            try:
                self._producer.send_task("worker.tasks.ingest", args, queue="ingest")
            except Exception:  # noqa: BLE001 - whatever a broker says that is only just coming back
                return False
            return True

        end = time.monotonic() + 60
        while time.monotonic() < end:  # the same delivery twice counts once
            wait_until(publish, 20)
            with suppress(AssertionError):
                self._settled(15)
                return
        raise AssertionError("no worker took the task")

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.pool.force_close_all()

    def _delivery(self) -> Delivery:
        self._sent += 1
        customer = {"id": self._sent, "updated_at": "2026-10-01T00:00:00Z", "first_name": "Ayu"}
        return signed(customer, self._secret, topic="customers/update", domain=DOMAIN, webhook_id=str(uuid.uuid4()))

    def _settled(self, timeout: float = 60) -> None:
        wait_until(lambda: self._stack.status("brokers")["inbox"]["settled"] == self._sent, timeout)
