"""The commands of `contactsync`, one module for each noun; `worker.cli` puts them together."""
