"""Backfill: providers are read page by page, and their rows become envelopes."""
