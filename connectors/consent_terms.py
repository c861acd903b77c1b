"""Consent terms: the channels, purposes, statuses and reasons that statements about consent use.

Which type of address a channel has is ``worker/domain/identifiers.py``, ``type_of_address``.
"""

from typing import Literal

Channel = Literal["whatsapp", "sms", "email", "voice", "push", "telegram", "messenger", "instagram", "line", "viber"]
ConsentStatus = Literal["opted_in", "opted_out", "pending", "unknown"]
SuppressionReason = Literal[
    "hard_bounce",
    "soft_bounce",
    "spam_complaint",
    "unsubscribed",
    "stop_keyword",
    "invalid_address",
    "blocked",
    "carrier_deactivated",
    "manual",
    "erasure_request",
]
Scope = Literal["all", "marketing", "transactional"]
Purpose = Literal["marketing", "transactional", "conversational"]
