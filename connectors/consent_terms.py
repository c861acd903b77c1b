"""Consent terms: the channels, purposes, statuses and reasons that statements about consent use.

And the words that sources write for a status, one vocabulary for all connectors.

Which type of address a channel has is ``worker/domain/identifiers.py``, ``type_of_address``.
"""

import re
from collections.abc import Mapping
from typing import Literal

from connectors.cleaning import plain_text

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

PLAIN_YES = frozenset({"yes", "y", "true", "t", "1", "on", "ja", "ya", "si", "sí", "oui", "sim"})
PLAIN_NO = frozenset({"no", "n", "false", "f", "0", "off", "nein", "nee", "tidak", "non", "não", "nao"})
#: every word that is known; None: it says nothing about consent
WORDS: Mapping[str, ConsentStatus | None] = {
    **dict.fromkeys(PLAIN_YES, "opted_in"),
    **dict.fromkeys(PLAIN_NO, "opted_out"),
    **dict.fromkeys(("subscribed", "opted_in", "opt_in", "optin", "confirmed", "granted"), "opted_in"),
    **dict.fromkeys(("unsubscribed", "opted_out", "opt_out", "optout", "revoked", "withdrawn"), "opted_out"),
    # Lists of mail programs keep such addresses and send nothing to them.
    **dict.fromkeys(("cleaned", "archived", "bounced", "complained", "suppressed", "blocked"), "opted_out"),
    **dict.fromkeys(("pending", "unconfirmed"), "pending"),
    # A customer who was never asked has not answered.
    **dict.fromkeys(("unknown", "not_subscribed", "never_subscribed", "none", "null", "n/a"), None),
}
#: the same in a column whose name says "no": there a plain yes and a plain no could mean either
PLAINER_WORDS = {word: status for word, status in WORDS.items() if word not in PLAIN_YES | PLAIN_NO}
#: names in the evidence of a consent: a word that nobody knows and that counts as "no", and where it stood
UNKNOWN, UNKNOWN_AT = "unknown_word", "unknown_word_at"
KNOWN = "yes, no, subscribed, unsubscribed or pending"
_LONGEST = 100  #: characters; no word of the vocabulary has half as many
_JOINERS = re.compile(r"[-\s_]+")


def word_of(written: str) -> str:
    """Return a word in the form that the vocabulary has it in; of a longer text nothing, which is no known word."""
    return _JOINERS.sub("_", plain_text(written).casefold()) if len(written) <= _LONGEST else ""
