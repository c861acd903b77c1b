"""Lists below a contact: identities, tags, consents and suppressions, each row with its origin."""

from datetime import timedelta

from connectors.contract import ConsentStated, ProfileSeen, SuppressionStated, TagsAdded
from tests.worker.api.conftest import EMAIL, PHONE, T0, a_profile, is_time


def test_identities(client, ujang):
    body = client.get(f"/v1/contacts/{ujang['id']}/identities").json()

    assert body["meta"] == {"next_cursor": None}
    assert [(row["type"], row["value"], row["source"], row["is_primary"]) for row in body["data"]] == [
        ("email", EMAIL, None, True),
        ("external_id", "cust_123", "shopify", True),
        ("phone", PHONE, None, True),
    ]
    email = body["data"][0]
    assert " ".join(email) == (
        "id type value source channel_id is_primary verified contested first_seen_at last_seen_at created_at"
    )
    assert (email["verified"], email["contested"]) == (False, False)
    assert email["first_seen_at"] == email["last_seen_at"] == "2026-10-01T00:00:00Z"
    assert is_time(email["created_at"])
    assert len({row["id"] for row in body["data"]}) == 3


def test_tags_show_their_origin(client, ujang, say):
    envelope_id = say("shopify", TagsAdded(external_id="cust_123", tags=("VIP", "early"), occurred_at=T0))

    rows = client.get(f"/v1/contacts/{ujang['id']}/tags").json()["data"]

    assert [row.pop("id")[:4] for row in rows] == ["tag_", "tag_"]
    assert [row.pop("name") for row in rows] == ["early", "VIP"]
    assert rows == 2 * [
        {
            "color": None,
            "assigned_at": "2026-10-01T00:00:00Z",
            "assigned_by": None,
            "source": "shopify",
            "external_id": "cust_123",
            "envelope_id": envelope_id,
        }
    ]


def test_a_tag_has_one_id_in_an_organization(client, say):
    say("shop", a_profile("1"), TagsAdded(external_id="1", tags=("VIP",), occurred_at=T0))
    say("shop", a_profile("2"), TagsAdded(external_id="2", tags=("vip",), occurred_at=T0))

    contacts = client.get("/v1/contacts").json()["data"]
    rows = [client.get(f"/v1/contacts/{contact['id']}/tags").json()["data"] for contact in contacts]

    assert rows[0][0]["id"] == rows[1][0]["id"]


def test_consents(client, ujang, say):
    opted_in = ConsentStated(
        external_id="cust_123",
        channel="email",
        status="opted_in",
        address=EMAIL,
        occurred_at=T0,
        method="double_opt_in",
        evidence={"ip": "192.0.2.1"},
    )
    say("shopify", opted_in)
    envelope_id = say(
        "mailer",
        ConsentStated(
            external_id=None,
            channel="email",
            status="opted_out",
            address=EMAIL,
            occurred_at=T0 + timedelta(microseconds=1500),
        ),
    )

    (row,) = client.get(f"/v1/contacts/{ujang['id']}/consents").json()["data"]

    assert " ".join(row).startswith(
        "id contact_id channel purpose status source method occurred_at evidence legal_basis expires_at "
        "created_at updated_at"
    )
    assert row["id"].startswith("cst_")
    assert row["contact_id"] == ujang["id"]
    assert (row["channel"], row["purpose"], row["status"]) == ("email", "marketing", "opted_out")
    assert (row["source"], row["method"], row["evidence"]) == ("mailer", None, {})
    assert row["occurred_at"] == "2026-10-01T00:00:00.001500Z"
    assert row["created_at"] < row["updated_at"]
    assert (row["address"], row["envelope_id"]) == (EMAIL, envelope_id)


def test_a_consent_keeps_its_id(client, ujang, say):
    seen = []
    for minute, status in enumerate(("opted_in", "opted_out")):
        at = T0 + timedelta(minutes=minute)
        say(
            "shopify",
            ConsentStated(external_id="cust_123", channel="sms", status=status, address=PHONE, occurred_at=at),
        )
        seen += client.get(f"/v1/contacts/{ujang['id']}/consents").json()["data"]

    assert [row["status"] for row in seen] == ["opted_in", "opted_out"]
    assert seen[0]["id"] == seen[1]["id"]


def test_lifted_suppressions_are_listed_only_on_request(client, ujang, say):
    for reason, lifted, expires in [
        ("hard_bounce", False, None),
        ("spam_complaint", False, None),
        ("spam_complaint", True, None),
        ("soft_bounce", False, T0),
    ]:
        at = T0 + timedelta(minutes=lifted)
        say(
            "mailer",
            SuppressionStated(
                external_id=None,
                channel="email",
                address=EMAIL,
                reason=reason,
                occurred_at=at,
                lifted=lifted,
                expires_at=expires,
            ),
        )
    path = f"/v1/contacts/{ujang['id']}/suppressions"

    (row,) = client.get(path).json()["data"]
    rows = client.get(f"{path}?include=lifted").json()["data"]

    assert (row["reason"], row["scope"], row["address"], row["active"]) == ("hard_bounce", "all", EMAIL, True)
    assert (row["first_seen_at"], row["lifted_at"], row["event_count"]) == ("2026-10-01T00:00:00Z", None, 1)
    assert {other["reason"]: (other["active"], other["lifted_at"], other["expires_at"]) for other in rows} == {
        "hard_bounce": (True, None, None),
        "soft_bounce": (False, None, "2026-10-01T00:00:00Z"),
        "spam_complaint": (False, "2026-10-01T00:01:00Z", None),
    }


def test_an_unknown_include_is_refused(client, ujang):
    answer = client.get(f"/v1/contacts/{ujang['id']}/suppressions?include=everything")

    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "include"


def test_a_new_contact_has_empty_lists(client, say):
    say("shop", ProfileSeen(external_id=None, occurred_at=T0, identifiers=a_profile(email=EMAIL).identifiers))
    (contact,) = client.get("/v1/contacts").json()["data"]

    for path in ("tags", "consents", "suppressions"):
        assert client.get(f"/v1/contacts/{contact['id']}/{path}").json() == {
            "data": [],
            "meta": {"next_cursor": None},
        }
