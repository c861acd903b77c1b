"""Backfill: reading providers, page by page."""
