"""Stack: everything on one machine."""
