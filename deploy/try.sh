#!/bin/sh
# Brings the compose file up, delivers 1,000 signed webhooks, kills each service in turn, and compares what is stored with what
# an undisturbed run stores. Prints a table; the exit code is 0 if all held.
#
# Uses the Docker engine that answers here. Without one, and as root, it starts the dockerd of the PATH (on Debian: apt-get
# install docker.io) in a network of its own, and ends it. Where no registry of images answers, the images are stand-ins made
# of this machine's own programs. Needs .venv (make .venv/.installed); ARGS='--deliveries 200' and the like are passed on.
set -eu
cd "$(dirname "$0")/.."
make --no-print-directory .venv/.installed build/compose/bin/docker-compose

if docker info >/dev/null 2>&1; then
	exec .venv/bin/python -m deploy.trial "$@"
fi
if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
	echo "no Docker engine answers; as root, an installed dockerd would do (Debian: apt-get install docker.io)" >&2
	exit 2
fi
exec unshare --net --mount .venv/bin/python -m deploy.trial --own-engine "$@"
