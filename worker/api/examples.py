"""Examples in the API's document: one invented person, Ujang, in every operation.

A test checks each example against its schema, so that none becomes outdated.
"""

from typing import Any

from worker.api import errors

Json = dict[str, Any]

CONTACT_ID = "cnt_01a0f755f20070008000000000000001"
CHANNEL_ID = "chn_01a0f755f20070008000000000000002"
OTHER_CONTACT_ID = "cnt_01a0f755f20070008000000000000003"
TAG_ID = "tag_dmlw"
#: Leads to the page after Ujang.
CURSOR = "AQGg91XyAHAAgAAAAAAAAAE"
#: Leads to the page of the feed after the removal of the other contact.
FEED_CURSOR = "AgAGXMuxQ_AAAaD3VfIAcACAAAAAAAAAAw"
ETAG = '"01a0f755f20070008000000000000001-65cc627b95000"'
REQUEST_ID = "req_5f0c1f6a7d3e4b2c9a8b7c6d5e4f3a2b"
_ENVELOPE_ID = "env_01a0f755f1f670008000000000000004"
_EDIT_ID = "env_01a0f8c0d60070008000000000000005"
_AT = "2026-10-01T12:00:00Z"
_EDITED_AT = "2026-10-01T18:36:22.400000Z"
_LAST_PAGE: Json = {"next_cursor": None}

_UJANG: Json = {
    "phone_number": "+6281234567890",
    "name": "Ujang",
    "email": "ujang@example.com",
    "external_source": "shopify",
    "external_id": "cust_123",
    "custom_fields": {"tier": "premium"},
}
_CONTACT: Json = {"id": CONTACT_ID, **_UJANG, "tags": ["vip"], "created_at": _AT, "updated_at": _AT}
_TAG: Json = {
    "id": TAG_ID,
    "name": "vip",
    "color": None,
    "assigned_at": _AT,
    "assigned_by": None,
    "source": "shopify",
    "external_id": "cust_123",
    "envelope_id": _ENVELOPE_ID,
}
_NOTE: Json = {
    "id": "nte_01a0f8c0d60070008000000000000006",
    "contact_id": CONTACT_ID,
    "body": "Prefers to be called in the evening.",
    "author": {"type": "api_key", "id": "key_01a0f755f1f670008000000000000007", "name": "Dewi"},
    "created_at": _EDITED_AT,
    "updated_at": _EDITED_AT,
    "envelope_id": _EDIT_ID,
}
_CONSENT: Json = {
    "id": "cst_b52f1fed57a7a8860365c5a1d59364e1",
    "contact_id": CONTACT_ID,
    "channel": "whatsapp",
    "purpose": "marketing",
    "status": "opted_in",
    "source": "api",
    "method": "form",
    "occurred_at": _AT,
    "evidence": {"url": "https://shop.example.com/newsletter"},
    "legal_basis": None,
    "expires_at": None,
    "created_at": _EDITED_AT,
    "updated_at": _EDITED_AT,
    "address": "+6281234567890",
    "external_id": "cust_123",
    "envelope_id": _EDIT_ID,
}
_SUPPRESSION: Json = {
    "id": "sup_01a0f8c0d60070008000000000000008",
    "contact_id": CONTACT_ID,
    "channel": "whatsapp",
    "reason": "stop_keyword",
    "scope": "all",
    "address": "+6281234567890",
    "source": "api",
    "note": "Wrote STOP",
    "active": True,
    "expires_at": None,
    "first_seen_at": _EDITED_AT,
    "last_seen_at": _EDITED_AT,
    "lifted_at": None,
    "event_count": 1,
    "created_at": _EDITED_AT,
    "updated_at": _EDITED_AT,
    "envelope_ids": [_EDIT_ID],
}
_CHANGE: Json = {
    "id": "chg_01a0f8c0d60070008000000000000009",
    "contact_id": CONTACT_ID,
    "kind": "changed",
    "changed_at": _EDITED_AT,
    "fields": [{"field": "name", "before": "Ujang", "after": "Ujang Updated", "envelope_id": _EDIT_ID}],
    "causes": [
        {
            "envelope_id": _EDIT_ID,
            "source": "api",
            "topic": "PATCH /v1/contacts/{contact_id}",
            "actor": "key_01a0f755f1f670008000000000000007",
            "sent_at": _EDITED_AT,
            "received_at": _EDITED_AT,
        }
    ],
}
_PROFILE: Json = {
    "channel_id": CHANNEL_ID,
    "platform": "telegram",
    "identity": {"type": "telegram", "value": "5550001111"},
    "profile": {
        "id": "5550001111",
        "name": "Ujang Example",
        "first_name": "Ujang",
        "last_name": "Example",
        "username": "ujang_example",
        "avatar_url": None,
        "avatar_expires_at": None,
        "locale": None,
        "country": None,
    },
    "contact_id": CONTACT_ID,
    "fetched_at": _AT,
    "cached": False,
}


def _identity(digest: str, type_: str, value: str, *, source: str | None = None) -> Json:
    return {
        "id": f"idn_{digest}",
        "type": type_,
        "value": value,
        "source": source,
        "channel_id": None,
        "is_primary": True,
        "verified": source is not None,
        "contested": False,
        "first_seen_at": _AT,
        "last_seen_at": _AT,
        "created_at": _AT,
    }


_RESOLVE: Json = {
    "by phone": {"identifiers": [{"type": "phone", "value": "+6281234567890"}]},
    "by external identity": {"identifiers": [{"type": "external_id", "source": "shopify", "value": "cust_123"}]},
    "by whatever is known": {
        "identifiers": [{"type": "wa_id", "value": "6281234567890"}, {"type": "email", "value": "ujang@example.com"}]
    },
}

#: Bodies to send: operation -> title -> body.
REQUESTS: dict[str, Json] = {
    "upsert_contact": {
        "a customer of a shop": _UJANG,
        "somebody who wrote": {"phone_number": "+6281234567890", "name": "Ujang", "tags": ["vip"]},
    },
    "upsert_contacts": {
        "two people": {"contacts": [_UJANG, {"phone_number": "+6281234567891", "name": "Dewi"}]},
    },
    "resolve_contacts": {
        "two people": {
            "contacts": [
                {"identifiers": [{"type": "phone", "value": "+6281234567890"}]},
                {"identifiers": [{"type": "email", "value": "nobody@example.com"}]},
            ]
        },
    },
    "update_contact": {
        "new name and address": {"name": "Ujang Updated", "email": "ujang-updated@example.com"},
        "edits taken back": {"name": None, "custom_fields": {"tier": None}},
    },
    "resolve_contact": _RESOLVE,
    "lookup_contact": _RESOLVE,
    "assign_tags": {"by name": {"name": "vip"}, "by id": {"tag_id": TAG_ID}, "several": {"tags": ["vip", "jakarta"]}},
    "create_note": {"a note": {"body": "Prefers to be called in the evening.", "author_name": "Dewi"}},
    "put_consent": {
        "an opt-in with its proof": {
            "status": "opted_in",
            "method": "form",
            "occurred_at": _AT,
            "evidence": {"url": "https://shop.example.com/newsletter"},
        },
        "an opt-out": {"status": "opted_out", "method": "keyword"},
    },
    "upsert_suppression": {
        "a STOP": {"channel": "whatsapp", "reason": "stop_keyword", "note": "Wrote STOP"},
        "a mailbox that is full": {
            "channel": "email",
            "reason": "soft_bounce",
            "scope": "marketing",
            "expires_at": "2026-10-08T12:00:00Z",
        },
        "lifted": {"channel": "whatsapp", "reason": "stop_keyword", "active": False},
    },
    "look_up_profile": {
        "a person on Telegram": {"type": "telegram", "value": "5550001111"},
        "a stored contact": {"contact_id": CONTACT_ID},
    },
}


def _problem(status: int, text: str, *details: Json, code: str | None = None) -> Json:
    return errors.problem(REQUEST_ID, status, text, details, code)


def _belongs_to(field: str, type_: str, contact_id: str) -> Json:
    return {"field": field, "reason": "belongs to this contact", "type": type_, "contact_id": contact_id}


_ROW_CONFLICT = _problem(
    409,
    "contact identifiers resolve to different contacts",
    _belongs_to("email", "email", OTHER_CONTACT_ID),
    _belongs_to("phone_number", "phone", CONTACT_ID),
)
_ROW_UNKNOWN = _problem(404, "contact not found")
_ONE_CONTACT: Json = {"Ujang": {"data": _CONTACT}}
_RESOLVED: Json = {
    **_ONE_CONTACT,
    "with explain=true": {
        "data": _CONTACT,
        "explanation": {
            "given": [{"field": "identifiers[0]", "standing": "found"}],
            "joined_by": [
                {
                    "type": "email",
                    "value": "ujang@example.com",
                    "records": [
                        {"source": "shopify", "external_id": "cust_123"},
                        {"source": "woocommerce", "external_id": "45"},
                    ],
                }
            ],
            "decided_by": [],
            "not_joined": [
                {
                    "type": "phone",
                    "value": "+6281234567890",
                    "reason": "names_disagree",
                    "contact_id": OTHER_CONTACT_ID,
                }
            ],
            "full": [],
        },
    },
}
_ONE_TAG: Json = {"one": {"data": _TAG}, "several": {"data": [_TAG]}}

#: Answers without an error: operation -> title -> body.
ANSWERS: dict[str, Json] = {
    "list_contacts": {
        "a page": {"data": [_CONTACT], "meta": {"next_cursor": CURSOR}},
        "a page of the feed with include=removed": {
            "data": [
                _CONTACT,
                {"id": OTHER_CONTACT_ID, "updated_at": _EDITED_AT, "removed": True, "merged_into": CONTACT_ID},
            ],
            "meta": {"next_cursor": FEED_CURSOR},
        },
    },
    "upsert_contact": _ONE_CONTACT,
    "upsert_contacts": {
        "one created, one refused": {
            "data": [
                {"index": 0, "status": 201, "contact": _CONTACT},
                {"index": 1, "status": 409, "error": _ROW_CONFLICT},
            ]
        }
    },
    "resolve_contacts": {
        "one found, one unknown": {
            "data": [
                {"index": 0, "status": 200, "contact": _CONTACT},
                {"index": 1, "status": 404, "error": _ROW_UNKNOWN},
            ]
        }
    },
    "contact_by_phone": _ONE_CONTACT,
    "resolve_contact": _RESOLVED,
    "lookup_contact": _RESOLVED,
    "get_contact": _ONE_CONTACT,
    "update_contact": {
        "the new state": {
            "data": {
                **_CONTACT,
                "name": "Ujang Updated",
                "email": "ujang-updated@example.com",
                "updated_at": _EDITED_AT,
            }
        }
    },
    "list_identities": {
        "all of them": {
            "data": [
                _identity("042c86af414d62ae68e342a5c6f2298f", "email", "ujang@example.com"),
                _identity("53636d17ced8c629ec05dc6d35b8124c", "external_id", "cust_123", source="shopify"),
                _identity("0df681a4a4eabffbbf1ee160b9d73177", "phone", "+6281234567890"),
            ],
            "meta": _LAST_PAGE,
        }
    },
    "list_tags": {"all of them": {"data": [_TAG], "meta": _LAST_PAGE}},
    "assign_tags": _ONE_TAG,
    "list_notes": {"the last page": {"data": [_NOTE], "meta": _LAST_PAGE}},
    "create_note": {"the note": {"data": _NOTE}},
    "list_timeline": {"the last page": {"data": [_CHANGE], "meta": _LAST_PAGE}},
    "put_consent": {"what counts": {"data": _CONSENT}},
    "list_consents": {"all of them": {"data": [_CONSENT], "meta": _LAST_PAGE}},
    "list_suppressions": {"all of them": {"data": [_SUPPRESSION], "meta": _LAST_PAGE}},
    "upsert_suppression": {"the suppression": {"data": _SUPPRESSION}},
    "sendability": {
        "may be sent": {
            "data": {
                "contact_id": CONTACT_ID,
                "channel": "whatsapp",
                "purpose": "marketing",
                "sendable": True,
                "reason": "opted_in",
                "address": "+6281234567890",
                "consent": _CONSENT,
                "suppression": None,
            }
        },
        "may not": {
            "data": {
                "contact_id": CONTACT_ID,
                "channel": "whatsapp",
                "purpose": "marketing",
                "sendable": False,
                "reason": "suppressed",
                "address": "+6281234567890",
                "consent": _CONSENT,
                "suppression": _SUPPRESSION,
            }
        },
    },
    "list_channels": {
        "a bot": {"data": [{"id": CHANNEL_ID, "platform": "telegram", "name": "Support bot", "status": "connected"}]}
    },
    "look_up_profile": {"a profile": {"data": _PROFILE}},
}

#: Values of parameters. Those of the list of contacts fit together, so that Ujang passes all filters.
PARAMETERS: Json = {
    "contact_id": CONTACT_ID,
    "channel_id": CHANNEL_ID,
    "phone": "+6281234567890",
    "phone_number": "+6281234567890",
    "email": "ujang@example.com",
    "external_source": "shopify",
    "external_id": "cust_123",
    "search": "uja",
    "tag": "vip",
    "updated_after": _AT,
    "created_after": _AT,
    "limit": 50,
    "channel": "whatsapp",
    "purpose": "marketing",
    "Idempotency-Key": "order-1001-consent",
    "If-Match": ETAG,
    "explain": True,
}


#: Errors by name. ``openapi`` names the operations that can answer each.
PROBLEMS: dict[str, Json] = {
    "not_json": _problem(400, "the body is not JSON"),
    "no_key": _problem(401, "invalid or missing API key"),
    "key_may_not_read": _problem(403, "the API key lacks the scope contacts:read"),
    "key_may_not_write": _problem(403, "the API key lacks the scope contacts:write"),
    "key_may_not_look_up": _problem(403, "the API key lacks the scope channels:lookup"),
    "consent_required": _problem(403, "the person has not agreed to be shown", code="consent_required"),
    "contact_not_found": _ROW_UNKNOWN,
    "tag_not_found": _problem(404, "tag not found"),
    "suppression_not_found": _problem(404, "suppression not found"),
    "channel_not_found": _problem(404, "channel not found"),
    "profile_not_found": _problem(404, "no such profile", code="profile_not_found"),
    "several_contacts": _ROW_CONFLICT,
    "key_used_before": _problem(409, "this Idempotency-Key was used for another request"),
    "changed_since": _problem(412, "the contact has changed since; get it again"),
    "too_slow": _problem(408, "the body took longer than 10 s"),
    "too_large": _problem(413, "body larger than 2097152 bytes"),
    "encoded": _problem(415, "a body is taken without Content-Encoding only"),
    "wrong_field": _problem(422, "the request is not valid", {"field": "email", "reason": "not an e-mail address"}),
    "wrong_parameter": _problem(422, "the request is not valid", {"field": "limit", "reason": "should be at most 100"}),
    "wrong_phone": _problem(
        422,
        "the request is not valid",
        {"field": "phone", "reason": "not a phone number in international form"},
    ),
    "no_look_up": _problem(422, "this channel has no profile look-up", code="lookup_not_supported"),
    "too_many": _problem(429, "too many requests with this key"),
    "provider_limit": _problem(429, "the provider was asked too often, try again later"),
    "our_fault": _problem(500, "internal error"),
    "provider_failed": _problem(502, "the provider failed", code="provider_error"),
    "unavailable": _problem(503, "unavailable, try again"),
    "provider_silent": _problem(504, "the provider did not answer in time", code="provider_timeout"),
}
