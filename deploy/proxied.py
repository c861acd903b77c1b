"""Behind the proxy of the compose file: TLS, two webs and two workers, what strangers may ask, an update."""

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx

from connectors.shopify.simulator.shop import Shop
from connectors.simulation.deliveries import Delivery
from deploy.engine import Project, inspect
from deploy.line import Line
from deploy.organization import export, wait_empty
from deploy.sender import send

_UP_IN_S = 120.0


def tried(
    project: Project,
    history: list[tuple[Shop, Delivery]],
    urls: dict[str, str],
    update: Callable[[Project], None],
    ports: tuple[int, int],
) -> Iterator[Line]:
    """Bring it up with the proxy, and deliver the history through it while an update goes on."""
    https, plain = ports
    origin = f"https://localhost:{https}"
    project.environment |= {
        "COMPOSE_PROFILES": "proxy",
        "PUBLIC_URL": "https://localhost",
        "HTTPS_PORT": f"127.0.0.1:{https}",
        "HTTP_PORT": f"127.0.0.1:{plain}",
        "PORT": "0",
        "WEB_REPLICAS": "2",
        "WORKER_REPLICAS": "2",
    }
    project("up", "--detach")
    scaled = {service: len(project.containers(service)) for service in ("web", "worker")}
    yield Line("scaled, without a fixed port", str(scaled), set(scaled.values()) == {2})
    with httpx.Client(base_url=origin, verify=False, trust_env=False, timeout=10) as client:
        end = time.monotonic() + _UP_IN_S
        while _status(client, "/healthz") != httpx.codes.OK and time.monotonic() < end:
            time.sleep(0.2)
        found = {path: _status(client, path) for path in ("/healthz", "/", "/docs", "/metrics", "/readyz")}
    expected = dict.fromkeys(("/healthz", "/", "/docs"), 200) | {"/metrics": 404, "/readyz": 404}
    yield Line("TLS; what strangers may ask", str(found), found == expected)

    project.environment["VERSION"] = "try-last"
    before = set(project.containers("web"))
    share = len(history) // 4
    pairs = [(origin + urlsplit(urls[shop.domain]).path, delivery) for shop, delivery in history]
    answers = send(pairs, at={share: lambda: update(project)})
    wait_empty(project, "proxied")
    is_new = not before & set(project.containers("web"))
    found_answers = ", ".join(f"{n} x {answer}" for answer, n in sorted(answers.items()) if n)
    is_unnoticed = answers == {"200": len(history)}
    yield Line("an update behind the proxy, meanwhile", found_answers, is_new and is_unnoticed)
    same = export(project, "proxied") == export(project, "calm")
    yield Line("its export equals the undisturbed one", str(same), same)
    is_confined = all(inspect(one)["HostConfig"]["ReadonlyRootfs"] for one in project.containers("proxy"))
    yield Line("the proxy is read-only", str(is_confined), is_confined)


def _status(client: httpx.Client, path: str) -> int:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0
