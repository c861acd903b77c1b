"""The commands of `contactsync`, one module for each noun; `worker.cli` puts them together."""

from worker import logs

# Here, because the modules of the commands take most of a command's start: Ctrl-C then shall show no traceback either.
logs.take_over_hooks()
