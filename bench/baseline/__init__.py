"""What most people write instead: one Celery task per webhook, the ORM, select before insert.

Honest but ordinary: it has races, takes whatever comes last for the truth, and forgets who said what.
"""
