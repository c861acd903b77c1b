"""Alembic migrations; each runs beside the previous release."""
