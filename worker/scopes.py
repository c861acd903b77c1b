"""Scopes: what an API key may do."""

SCOPES = ("contacts:read", "contacts:write", "channels:lookup", "admin")
