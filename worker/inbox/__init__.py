"""Inbox: envelopes in, the queue, and out again."""
