"""The examples and the table of the published page of the Contacts API, byte for byte."""

import json

CREATE = """\
curl -X POST "https://api.wazapin.id/v1/contacts" \\
  -H "X-Api-Key: YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "phone_number": "+6281234567890",
    "name": "Ujang",
    "email": "ujang@example.com",
    "external_source": "shopify",
    "external_id": "cust_123",
    "custom_fields": {
      "tier": "premium"
    }
  }'"""

CREATED = """\
{
  "data": {
    "id": "cnt_123",
    "phone_number": "+6281234567890",
    "name": "Ujang",
    "email": "ujang@example.com",
    "external_source": "shopify",
    "external_id": "cust_123"
  }
}"""

RESOLVE_BY_PHONE = """\
curl -X POST "https://api.wazapin.id/v1/contacts/resolve" \\
  -H "X-Api-Key: YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "identifiers": [
      {
        "type": "phone",
        "value": "+6281234567890"
      }
    ]
  }'"""

RESOLVE_BY_EXTERNAL_ID = """\
curl -X POST "https://api.wazapin.id/v1/contacts/resolve" \\
  -H "X-Api-Key: YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "identifiers": [
      {
        "type": "external_id",
        "source": "shopify",
        "value": "cust_123"
      }
    ]
  }'"""

FOUND = """\
{
  "data": {
    "id": "cnt_123",
    "phone_number": "+6281234567890",
    "name": "Ujang",
    "email": "ujang@example.com"
  }
}"""

NOT_FOUND = """\
{
  "error": "contact not found",
  "code": "not_found"
}"""

CONFLICT = """\
{
  "error": "contact identifiers resolve to different contacts",
  "code": "conflict"
}"""

UPDATE = """\
curl -X PATCH "https://api.wazapin.id/v1/contacts/cnt_123" \\
  -H "X-Api-Key: YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "Ujang Updated",
    "email": "ujang-updated@example.com"
  }'"""

EXAMPLES = (CREATE, CREATED, RESOLVE_BY_PHONE, RESOLVE_BY_EXTERNAL_ID, FOUND, NOT_FOUND, CONFLICT, UPDATE)

ENDPOINTS = (
    "POST /v1/contacts",
    "GET /v1/contacts",
    "GET /v1/contacts/{contactID}",
    "PATCH /v1/contacts/{contactID}",
    "DELETE /v1/contacts/{contactID}",
    "GET /v1/contacts/phone/{phone}",
    "POST /v1/contacts/resolve",
    "POST /v1/contacts/lookup",
    "GET /v1/contacts/{contactID}/identities",
    "GET /v1/contacts/{contactID}/notes",
    "POST /v1/contacts/{contactID}/notes",
    "GET /v1/contacts/{contactID}/tags",
    "POST /v1/contacts/{contactID}/tags",
    "PUT /v1/contacts/{contactID}/consent/{channel}",
    "GET /v1/contacts/{contactID}/consents",
    "GET /v1/contacts/{contactID}/suppressions",
    "POST /v1/contacts/{contactID}/suppressions",
)


def body_of(command):
    """Return the body that a curl command sends."""
    return json.loads(command.partition("-d '")[2].removesuffix("'"))
