"""Providers: HTTP to providers."""
