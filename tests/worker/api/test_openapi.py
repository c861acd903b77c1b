"""The document of the API: it is valid, its examples are true, and its page loads nothing from another host."""

import asyncio
import re
from datetime import datetime

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.worker.api.conftest import is_time
from worker import api_schemas, ids
from worker.api import docs, examples, paging
from worker.api.app import make_api
from worker.api.errors import KINDS
from worker.api.openapi import operations_of

DOCUMENT = make_api().openapi()
OPERATIONS = {operation["operationId"]: operation for _, _, operation in operations_of(DOCUMENT)}
#: Parameters whose names say enough.
UNDERSTOOD = ("limit", "phone_number", "email", "external_id", "created_after", "purpose", "include")
#: The published operations of the Contacts API, and the look-up of profiles.
PUBLISHED = """
POST /v1/contacts
GET /v1/contacts
GET /v1/contacts/{contact_id}
PATCH /v1/contacts/{contact_id}
DELETE /v1/contacts/{contact_id}
GET /v1/contacts/phone/{phone}
POST /v1/contacts/resolve
POST /v1/contacts/lookup
GET /v1/contacts/{contact_id}/identities
GET /v1/contacts/{contact_id}/notes
POST /v1/contacts/{contact_id}/notes
GET /v1/contacts/{contact_id}/tags
POST /v1/contacts/{contact_id}/tags
PUT /v1/contacts/{contact_id}/consent/{channel}
GET /v1/contacts/{contact_id}/consents
GET /v1/contacts/{contact_id}/suppressions
POST /v1/contacts/{contact_id}/suppressions
POST /v1/channels/{channel_id}/contacts/lookup
"""


def validator_of(schema):
    """Return a validator for a schema of the document."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def resolved(value):
    """Follow a reference."""
    while "$ref" in value:
        found = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def bodies():
    """Each body of the document that has examples: a name, its schema, and the examples."""
    for name, operation in OPERATIONS.items():
        if "requestBody" in operation:
            yield f"{name} request", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                yield f"{name} {status}", content


def get(app, path):
    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_document_is_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1")
    assert list(OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)) == []
    for schema in DOCUMENT["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_published_operation_is_there():
    offered = {f"{method.upper()} {path}" for method, path, _ in operations_of(DOCUMENT)}

    assert set(PUBLISHED.split("\n")) - {""} <= offered


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_does(name):
    operation = OPERATIONS[name]

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert operation["summary"]
    assert operation["description"]
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
    for parameter in operation.get("parameters", ()):
        assert "null" not in str(parameter["schema"])
        assert parameter.get("description") or parameter["name"] in UNDERSTOOD, parameter["name"]


@pytest.mark.parametrize(("where", "content"), list(bodies()))
def test_every_body_has_examples_that_its_schema_takes(where, content):
    validator = validator_of(content["schema"])

    assert content["examples"], where
    for name, example in content["examples"].items():
        errors = [error.message for error in validator.iter_errors(resolved(example)["value"])]
        assert errors == [], f"{where}, {name}"


@pytest.mark.parametrize("table", [examples.REQUESTS, examples.ANSWERS], ids=["requests", "answers"])
def test_every_example_is_of_an_existing_operation(table):
    assert set(table) <= set(OPERATIONS)


def test_every_example_of_a_parameter_is_valid():
    for operation in OPERATIONS.values():
        for parameter in operation.get("parameters", ()):
            shown = [parameter["example"]] if "example" in parameter else parameter["schema"].get("examples", [])
            assert all(validator_of(parameter["schema"]).is_valid(value) for value in shown), parameter["name"]
            assert shown or "const" in parameter["schema"] or parameter["name"] in ("cursor", "erase")


def test_examples_of_ids_and_cursors_can_be_read():
    contact_id = ids.parse(ids.CONTACT, examples.CONTACT_ID)

    assert contact_id is not None
    assert ids.parse(ids.CHANNEL, examples.CHANNEL_ID) is not None
    assert paging.Paging(cursor=examples.CURSOR).before == contact_id
    _, removed = examples.ANSWERS["list_contacts"]["a page of the feed with include=removed"]["data"]
    last = paging.Change(datetime.fromisoformat(removed["updated_at"]), ids.parse(ids.CONTACT, removed["id"]))
    assert paging.write(last) == examples.FEED_CURSOR
    assert api_schemas.tag_key(examples.TAG_ID) == "vip"
    assert contact_id.hex in examples.ETAG


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_has_an_example_with_its_status(name):
    for status, response in OPERATIONS[name]["responses"].items():
        if status < "400":
            continue
        (content,) = response["content"].values()
        assert list(response["content"]) == ["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        for example in content["examples"].values():
            body = resolved(example)["value"]
            assert str(body["status"]) == status
            assert body["title"] == KINDS[int(status)][0]
            assert body["error"] == body["detail"]


def test_the_two_published_errors_are_exact():
    shown = {name: example["value"] for name, example in DOCUMENT["components"]["examples"].items()}

    assert (shown["contact_not_found"]["error"], shown["contact_not_found"]["code"]) == (
        "contact not found",
        "not_found",
    )
    assert (shown["several_contacts"]["error"], shown["several_contacts"]["code"]) == (
        "contact identifiers resolve to different contacts",
        "conflict",
    )


@pytest.mark.parametrize(
    ("method", "path", "request_parts", "name"),
    [
        ("GET", f"/v1/contacts/{examples.CONTACT_ID}", {}, "contact_not_found"),
        (
            "POST",
            "/v1/contacts/resolve",
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            "not_json",
        ),
        ("POST", "/v1/contacts", {"json": {}}, "key_may_not_write"),
        ("GET", "/v1/contacts/phone/x", {}, "wrong_phone"),
    ],
)
def test_the_server_answers_the_errors_of_the_document(client, method, path, request_parts, name):
    answer = client.request(method, path, **request_parts)

    assert answer.json() == {**examples.PROBLEMS[name], "request_id": answer.headers["x-request-id"]}


def test_an_answer_has_the_shape_of_its_example(client, ujang):
    shown = examples.ANSWERS["get_contact"]["Ujang"]["data"]

    answer = client.get(f"/v1/contacts/{ujang['id']}").json()["data"]

    assert list(answer) == list(shown)
    assert all(answer[name] == shown[name] for name in ("phone_number", "name", "email", "external_source"))
    assert is_time(shown["created_at"])


def test_links_lead_to_operations_and_name_their_parameters():
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                target = OPERATIONS[link["operationId"]]
                assert set(link["parameters"]) <= {parameter["name"] for parameter in target["parameters"]}
    for status in ("200", "201"):
        leads = OPERATIONS["upsert_contact"]["responses"][status]["links"]
        takers = {name for name, operation in OPERATIONS.items() if "contact_id" in str(operation.get("parameters"))}
        assert set(leads) == takers


def test_headers_are_documented_at_their_answers():
    created = OPERATIONS["upsert_contact"]["responses"]["201"]["headers"]
    refused = OPERATIONS["get_contact"]["responses"]

    assert {"X-Request-Id", "ETag", "Location", "Idempotent-Replayed", "RateLimit-Remaining"} <= set(created)
    assert "Retry-After" in refused["429"]["headers"]
    assert "Retry-After" in refused["503"]["headers"]
    assert "WWW-Authenticate" in refused["401"]["headers"]
    assert "If-Match" in {parameter["name"] for parameter in OPERATIONS["update_contact"]["parameters"]}


def test_the_framework_describes_no_errors_of_its_own():
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]
    assert "ValidationError" not in DOCUMENT["components"]["schemas"]


def test_document_and_page_need_no_key(stranger):
    assert stranger.get("/openapi.json").json() == DOCUMENT
    assert stranger.get("/docs").status_code == 200


@pytest.mark.parametrize("path", ["/docs", *(route.path for route in docs.routes()[1:])])
def test_the_page_is_served_under_a_strict_policy(path):
    answer = get(make_api(), path)

    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|script-src[^;]*unsafe", policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"]


def test_the_page_loads_nothing_from_another_host():
    api = make_api()
    page = get(api, "/docs").text
    loaded = set(re.findall(r'(?:src|href)="([^"]+)"', page)) - {"data:,"}

    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|https?://", page)
    assert not re.search(r"https?://", get(api, "/docs/start.js").text)
    assert not re.search(r"url\(\s*[\"']?(https?:)?//|@import", get(api, "/docs/swagger-ui.css").text)
    assert all(get(api, path).status_code == 200 for path in loaded)
