#!/bin/sh
# Brings a new release up beside the old one: builds, migrates, replaces web, then the rest. `up` alone would do the same with
# web away while everything else ends and the schema is migrated.
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker compose}

# shellcheck disable=SC2086 # it may be several words
{
	$compose build
	$compose up --detach --wait postgres valkey
	$compose run --rm --no-deps migrate
	$compose up --detach --no-deps --wait web
	$compose up --detach
}
