"""The document of the API, ``/openapi.json``: what FastAPI finds in the routes, completed.

We add examples, every error that an operation can answer, headers, and links from an answer to the operations that
can follow.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.api import examples
from worker.api.examples import Json
from worker.api.lookups import Lookups

_DESCRIPTION = """
One clean contact per person, from every shop and messaging system that knows them, with consent, suppressions and
the cause of every change.

**Keys.** `X-Api-Key: KEY`, or `Authorization: Bearer KEY`. A key belongs to one organization and sees nothing of
another: what belongs to somebody else is not found. `contactsync keys create --scope contacts:read` makes one.

**Errors** have one body, [`Problem`](#/components/schemas/Problem): `error` says what is wrong, `code` is for
programs, and `details` names each field. 429 and 503 say in `Retry-After` when to ask again; no other 4xx is worth
repeating as it is.

**Lists** come in pages: ask again with `cursor` = `meta.next_cursor` until that is `null`.

**Writing twice.** POST takes an `Idempotency-Key`; the same request under the same key answers the same, and says
so in `Idempotent-Replayed`. Other methods can be repeated as they are.

**Many at once.** The routes that end in `/batch` take up to 1,000 rows and answer each by itself. Each row counts as a
request of the key.

**Fields.** In a body, a field that is absent says nothing and `null` clears it. Unknown fields are ignored. Times
are RFC 3339 in UTC. Ids are opaque.
""".strip()
_TAGS = [
    {"name": "contacts", "description": "The people: stored, found, edited, and their history"},
    {"name": "permission", "description": "Whether they may be written to: consent, suppressions, the verdict of both"},
    {"name": "channels", "description": "Connected messaging accounts, and what their providers show of a person"},
]
_SCHEMES: Json = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The usual way"},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key as a bearer token"},
}
_HEADERS: Json = {
    "X-Request-Id": ("Names this request in our logs; yours, if you sent a plain one", {"type": "string"}, True),
    "RateLimit-Limit": ("Requests a minute of this key; absent while nobody counts", {"type": "integer"}, False),
    "RateLimit-Remaining": ("Requests left in this minute", {"type": "integer", "minimum": 0}, False),
    "RateLimit-Reset": ("Seconds until the count starts anew", {"type": "integer", "minimum": 0}, False),
    "Retry-After": ("Seconds to wait before asking again", {"type": "integer", "minimum": 0}, True),
    "WWW-Authenticate": ("How to show a key", {"type": "string", "const": "Bearer"}, True),
    "ETag": ("Names this state of the contact, for `If-Match`", {"type": "string"}, True),
    "Location": ("Where the new contact is", {"type": "string", "format": "uri-reference"}, True),
    "Replica-Lag": (
        "The list came from a replica that is so many seconds behind at most; absent if it is up to date",
        {"type": "number", "minimum": 0},
        False,
    ),
    "Idempotent-Replayed": ("`true` if this answers an earlier request again", {"const": "true"}, False),
}
_RATE = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PARAMETERS = {
    "contact_id": "Id of the contact; an id that was merged leads to the contact it became",
    "channel_id": "Id of the channel",
    "phone": "A number in international form; the plus may be left out",
    "tag": "Name of a tag, in any case; in a path also its id",
    "channel": "The kind of channel",
    "explain": "Say why the contact is this person, and why others who share something with it are not in it",
}

#: Errors of every operation.
_COMMON_ERRORS = ("no_key", "too_slow", "too_large", "encoded", "too_many", "our_fault", "unavailable")
#: Errors of some operations, beside the errors that follow from their parameters and bodies.
_ERRORS: dict[str, tuple[str, ...]] = {
    "upsert_contact": ("several_contacts",),
    "update_contact": ("several_contacts", "changed_since"),
    "resolve_contact": ("contact_not_found", "several_contacts"),
    "lookup_contact": ("contact_not_found", "several_contacts"),
    "contact_by_phone": ("contact_not_found", "wrong_phone"),
    "assign_tags": ("tag_not_found",),
    "remove_tag": ("tag_not_found",),
    "upsert_suppression": ("suppression_not_found",),
    "look_up_profile": (
        "key_may_not_look_up",
        "consent_required",
        "contact_not_found",
        "channel_not_found",
        "profile_not_found",
        "no_look_up",
        "provider_limit",
        "provider_failed",
        "provider_silent",
    ),
}
_MEANINGS = {
    400: "The body is not JSON",
    401: "No key, or one that is not valid",
    403: "The key may not do this",
    404: "There is no such thing, or it belongs to somebody else",
    409: "It contradicts what is stored",
    412: "The contact is not in the state that `If-Match` names",
    408: "The body came too slowly",
    413: "The body is too large",
    415: "The body has a `Content-Encoding`",
    422: "A field or parameter is not valid; `details` names each",
    429: "Too many requests; `Retry-After` says when to go on",
    500: "Our fault; `X-Request-Id` helps to find out why",
    502: "The channel's provider failed",
    503: "Not possible now; nothing was changed",
    504: "The channel's provider did not answer in time",
}
#: Operations that answer a contact. Its id leads to every operation on one contact.
_ANSWER_A_CONTACT = ("upsert_contact", "update_contact", "resolve_contact", "lookup_contact", "contact_by_phone")
#: Other links: operation -> [(the operation that can follow, its parameter, where the value stands)].
_LINKS: dict[str, list[tuple[str, str, str]]] = {
    "list_contacts": [
        ("list_contacts", "cursor", "$response.body#/meta/next_cursor"),
        ("get_contact", "contact_id", "$response.body#/data/0/id"),
    ],
    "list_notes": [("list_notes", "cursor", "$response.body#/meta/next_cursor")],
    "list_timeline": [("list_timeline", "cursor", "$response.body#/meta/next_cursor")],
    "list_tags": [("remove_tag", "tag", "$response.body#/data/0/id")],
    "assign_tags": [("list_tags", "", ""), ("remove_tag", "tag", "$response.body#/data/id")],
    "create_note": [("list_notes", "", ""), ("list_timeline", "", "")],
    "upsert_contacts": [("get_contact", "contact_id", "$response.body#/data/0/contact/id")],
    "resolve_contacts": [("get_contact", "contact_id", "$response.body#/data/0/contact/id")],
    "put_consent": [("list_consents", "", ""), ("sendability", "channel", "$request.path.channel")],
    "upsert_suppression": [
        ("list_suppressions", "", ""),
        ("sendability", "channel", "$response.body#/data/channel"),
    ],
    "delete_contact": [("get_contact", "", "")],
    "list_channels": [("look_up_profile", "channel_id", "$response.body#/data/0/id")],
    "look_up_profile": [("get_contact", "contact_id", "$response.body#/data/contact_id")],
}


def describer(api: FastAPI) -> Callable[[], Json]:
    """Return the function that FastAPI calls for the document of an app. The document is made once."""
    written: Json = {}

    def describe() -> Json:
        if not written:
            written.update(_document(api))
        return written

    return describe


def route(api: FastAPI) -> Route:
    """Return the route of the document. Anybody may ask for it, so it is written once."""
    document = b""

    def write(askers: list[None]) -> list[bytes]:
        return [orjson.dumps(api.openapi())] * len(askers)

    writing = Lookups(write)  # in a thread, because it takes most of a second

    async def serve(_: Request) -> Response:
        nonlocal document
        document = document or await writing.find(None)
        return Response(document, media_type="application/json")

    return Route("/openapi.json", serve, include_in_schema=False)


def _document(api: FastAPI) -> Json:
    document = get_openapi(
        title="contactsync: Contacts API",
        version=api.version,
        summary="Contacts, consent and suppressions, compatible with Wazapin's Contacts API",
        description=_DESCRIPTION,
        routes=api.routes,
        tags=_TAGS,
        servers=[{"url": "/", "description": "The server that this document comes from"}],
    )
    components = document["components"]
    components["securitySchemes"] = _SCHEMES
    components["headers"] = {
        name: {"description": text, "schema": schema, "required": required}
        for name, (text, schema, required) in _HEADERS.items()
    }
    components["examples"] = {name: {"value": body} for name, body in examples.PROBLEMS.items()}
    operations = {operation["operationId"]: operation for _, _, operation in operations_of(document)}
    for method, path, operation in operations_of(document):
        _complete(operation, components["schemas"])
        operation["responses"] |= _error_answers(method, path, operation)
        for status, response in operation["responses"].items():
            response["headers"] = {name: _ref("headers", name) for name in _headers_of(status, operation)}
            if status < "300" and (links := dict(_links(operation, operations))):
                response["links"] = links
    for schema in components["schemas"].values():  # The examples stand at the operations, in full.
        schema.pop("examples", None)
    return document


def operations_of(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield each operation of a document as (method, path, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _complete(operation: Json, schemas: Json) -> None:
    """Add names, examples and descriptions to an operation."""
    name = operation["operationId"]
    if operation["summary"].istitle():
        operation["summary"] = operation["summary"].capitalize()
    operation["security"] = [{scheme: []} for scheme in _SCHEMES]
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter)
    if "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["examples"] = _named(examples.REQUESTS.get(name, {}))
    answers = {status: answer for status, answer in operation["responses"].items() if status < "300"}
    for answer in answers.values():
        content = answer.get("content", {}).get("application/json")
        if content is not None:
            content["examples"] = _named(examples.ANSWERS.get(name, {}))
        if answer["description"] == "Successful Response":
            model = content["schema"]["$ref"].rpartition("/")[2] if content else ""
            answer["description"] = schemas[model]["description"] if model else "Done"
    operation["responses"] = answers


def _complete_parameter(parameter: Json) -> None:
    if parameter["in"] == "header":
        parameter["name"] = parameter["name"].title()
    name, schema = parameter["name"], parameter["schema"]
    if "anyOf" in schema:  # A parameter is present or absent, never null.
        (schema_if_present,) = (option for option in schema.pop("anyOf") if option != {"type": "null"})
        schema.update(schema_if_present)
    if name in _PARAMETERS:
        parameter.setdefault("description", _PARAMETERS[name])
    if name in examples.PARAMETERS and parameter.get("required"):
        parameter["example"] = examples.PARAMETERS[name]
    elif name in examples.PARAMETERS:  # Not as "example", which the page fills in: all filters at once find nobody.
        schema["examples"] = [examples.PARAMETERS[name]]


def _error_answers(method: str, path: str, operation: Json) -> Json:
    """Return the answers for the errors of an operation, by status."""
    by_status: dict[int, list[str]] = {}
    for name in _errors_of(method, path, operation):
        by_status.setdefault(examples.PROBLEMS[name]["status"], []).append(name)
    return {
        str(status): {
            "description": _MEANINGS[status],
            "content": {
                "application/json": {
                    "schema": _ref("schemas", "Problem"),
                    "examples": {name: _ref("examples", name) for name in names},
                }
            },
        }
        for status, names in sorted(by_status.items())
    }


def _errors_of(method: str, path: str, operation: Json) -> Iterator[str]:
    name = operation["operationId"]
    parameters = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", ())}
    yield from _COMMON_ERRORS
    is_reading = method == "get" or name in ("resolve_contact", "lookup_contact", "resolve_contacts")
    if name != "look_up_profile":
        yield "key_may_not_read" if is_reading else "key_may_not_write"
    if "requestBody" in operation:
        yield from ("not_json", "wrong_field")
    elif any(place == "query" for place, _ in parameters):
        yield "wrong_parameter"
    if "{contact_id}" in path:
        yield "contact_not_found"
    if ("header", "Idempotency-Key") in parameters:
        yield "key_used_before"
    yield from _ERRORS.get(name, ())


def _headers_of(status: str, operation: Json) -> Iterator[str]:
    yield "X-Request-Id"
    if status == "401":
        yield "WWW-Authenticate"
    else:
        yield from _RATE
    if status in ("429", "503"):
        yield "Retry-After"
    if status in ("200", "201"):
        content = operation["responses"][status]["content"]["application/json"]
        if content["schema"] in (_ref("schemas", "ContactAnswer"), _ref("schemas", "ResolveAnswer")):
            yield "ETag"
            if status == "201":
                yield "Location"
        if operation["operationId"] == "list_contacts":
            yield "Replica-Lag"
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
            yield "Idempotent-Replayed"


def _links(operation: Json, operations: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    name = operation["operationId"]
    if name in _ANSWER_A_CONTACT:
        for other, target in operations.items():
            if _takes(target, "contact_id"):
                yield other, _link(other, {"contact_id": "$response.body#/data/id"})
    for other, parameter, place in _LINKS.get(name, ()):
        is_same = _takes(operation, "contact_id") and parameter != "contact_id"
        kept = {"contact_id": "$request.path.contact_id"} if is_same else {}
        yield other, _link(other, kept | ({parameter: place} if parameter else {}))


def _takes(operation: Json, parameter: str) -> bool:
    return any(one["name"] == parameter for one in operation.get("parameters", ()))


def _link(operation_id: str, parameters: dict[str, str]) -> Json:
    return {"operationId": operation_id, "parameters": parameters}


def _named(values: Json) -> Json:
    return {name.replace(" ", "-"): {"summary": name, "value": value} for name, value in values.items()}


def _ref(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}
