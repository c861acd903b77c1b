"""The baseline of sync, as many teams write it: a Celery task per webhook, the ORM, and a SELECT before each INSERT.

It is honest but simple. It has races, believes the last webhook to arrive, and does not store the source of a value.
"""
