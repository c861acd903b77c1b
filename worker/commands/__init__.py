"""The commands of `contactsync`, one module a noun; `worker.cli` puts them together."""
