"""Pipeline: the one write path, in one transaction."""
