# One image for every process: web, worker, beat and the commands. For other machines than this one:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.2.0 --tag REGISTRY/contactsync:0.2.0 --push .
# The lock has the wheels of both; no step below depends on the architecture. BASE may name a mirror of the base image.
ARG BASE=python:3.12.12-slim-bookworm

FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/contactsync
WORKDIR /src

# The base image's pip installs into the environment, which needs none of its own.
COPY requirements-image.lock .
RUN python -m pip --python /opt/contactsync/bin/python install --require-hashes -r requirements-image.lock

COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY connectors connectors
# setuptools builds the package and goes. The data that goes with it, 60 MB, is of no use here: places of numbers, and
# names of countries in other languages.
RUN python -m pip --python /opt/contactsync/bin/python install --no-deps --no-build-isolation . \
    && python -m pip --python /opt/contactsync/bin/python uninstall --yes setuptools \
    && python -m pip --python /opt/contactsync/bin/python check \
    && rm -r /opt/contactsync/lib/python3*/site-packages/phonenumbers/geodata \
       /opt/contactsync/lib/python3*/site-packages/pycountry/locales \
    && CONTACTSYNC_SECRET_KEYS= /opt/contactsync/bin/python -c "import worker.api.app, worker.beat, worker.cli, worker.tasks"


FROM ${BASE}

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title=contactsync \
      org.opencontainers.image.description="Keeps one clean contact store in step with every shop that knows a customer" \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION

RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin contactsync
COPY --from=build /opt/contactsync /opt/contactsync
ENV PATH=/opt/contactsync/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
USER 10001
WORKDIR /tmp
EXPOSE 8000

# For the web process; docker-compose.yml says otherwise for the rest. No urllib: it would ask the proxy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import http.client, os, sys; \
c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); \
c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]

CMD ["sh", "-c", "exec uvicorn worker.api.app:app --host 0.0.0.0 --port $PORT --loop uvloop --http worker.api.http_protocol:BoundedProtocol --no-access-log --no-server-header --timeout-graceful-shutdown 3"]
