"""HTTP: webhooks in, the Contacts API out, health."""
