"""The commands of `contactsync`, one module a group; `worker.cli` puts them together."""
