"""Export as CSV, which an import reads without any loss, and as JSON lines with the keys of the API."""

import csv
import io
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors import files, json_values
from connectors.contract import (
    Account,
    ConsentStated,
    Envelope,
    Identifier,
    ProfileSeen,
    SuppressionStated,
    TagsSnapshot,
)
from worker import ids
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.registers import of_field
from worker.errors import ConfigError
from worker.files import export_csv, export_json
from worker.files.column_guess import guess
from worker.files.tabular import read_table
from worker.pipeline.apply import Batch, apply
from worker.store import contacts, db, organizations
from worker.store.db import Tx

T0 = datetime(2026, 10, 1, tzinfo=UTC)
PHONE = "+6281273509101"


@pytest.fixture
def store(engine, organization_id):
    return Store(engine, organization_id)


class Store:
    """A store that applies events of the source ``shop``."""

    def __init__(self, engine, organization_id):
        self._engine, self._organization_id = engine, organization_id

    def feed(self, *events, at=T0):
        statements = normalise_api_write(
            ids.new(),
            [("shop", event) for event in events],
            sent_at=at,
            delivery_id=uuid4().hex,
            ceiling=ceiling_of(at),
        )
        apply(self._engine, self._organization_id, Batch([statements], {statements.envelope_id: uuid4()}))

    def csv(self, **options):
        with db.snapshot(self._engine) as conn:
            return b"".join(export_csv.lines(Tx(conn, self._organization_id), **options))

    def rows(self, **options):
        return list(csv.DictReader(io.StringIO(self.csv(**options).decode("utf-8-sig"), newline="")))

    def jsonl(self):
        with db.snapshot(self._engine) as conn:
            return [orjson.loads(line) for line in export_json.jsonl(Tx(conn, self._organization_id))]


def seen(external_id="1", *, email=None, phone=None, **fields):
    given = {"email": email, "phone": phone}
    return ProfileSeen(
        external_id=external_id,
        occurred_at=T0,
        fields={(name if name == "name" else of_field(name)): value for name, value in fields.items()},
        identifiers={slot: Identifier(type=slot, value=value) for slot, value in given.items() if value},
    )


def consent(status, channel="email", address="ayu@example.com"):
    return ConsentStated(external_id="1", channel=channel, status=status, address=address, occurred_at=T0)


def suppression(reason, channel, address, **more):
    return SuppressionStated(external_id="1", channel=channel, address=address, reason=reason, occurred_at=T0, **more)


def imported(content, unguards=True):
    """Yield the events of each row that an import of these bytes, with the guessed mapping, gives."""
    table = read_table(io.BytesIO(content), unguards=unguards)
    headers = files.headers_of(guess(table.columns, table.sample), T0, keeps_null_words=True)
    for row in table.rows():
        assert row.error is None
        envelope = Envelope(
            topic=files.TOPIC, delivery_id="d", sent_at=T0, headers=headers, body=files.body_of(row.values)
        )
        yield list(files.parse(envelope, Account(source="crm")))


def test_a_contact_is_a_line_with_its_consents_and_suppressions(store):
    store.feed(
        seen(email="ayu@example.com", phone=PHONE, name="Ayu", tier="gold"),
        TagsSnapshot(external_id="1", tags=("VIP", "Wholesale"), occurred_at=T0),
        consent("opted_in"),
        consent("opted_out", "whatsapp", PHONE),
        suppression("unsubscribed", "whatsapp", PHONE, scope="marketing"),
        suppression("blocked", "all", PHONE),
        suppression("hard_bounce", "email", "ayu@example.com", expires_at=T0 + timedelta(seconds=1)),
    )

    (row,) = store.rows()

    assert row.pop("contact_id").startswith("cnt_")
    assert row.pop("created_at").endswith("Z")
    assert row.pop("updated_at").endswith("Z")
    assert row == {
        "name": "Ayu",
        "email": "ayu@example.com",
        "phone_number": f"'{PHONE}",
        "external_source": "shop",
        "external_id": "1",
        "tags": "VIP, Wholesale",
        "email_consent": "opted_in",
        "email_consent_at": "2026-10-01T00:00:00Z",
        "email_suppressed": "blocked",
        "sms_consent": "",
        "sms_consent_at": "",
        "sms_suppressed": "blocked",
        "whatsapp_consent": "opted_out",
        "whatsapp_consent_at": "2026-10-01T00:00:00Z",
        "whatsapp_suppressed": "blocked, unsubscribed",
        "field.tier": "gold",
    }


def test_a_field_that_is_not_always_text_has_a_json_column(store):
    store.feed(seen("1", points="12", tier="gold", remark=""), seen("2", points=12, last={"order": [1, True]}))

    first, second = store.rows()

    assert [name for name in first if "." in name] == ["json.last", "json.points", "json.remark", "field.tier"]
    assert (first["json.points"], second["json.points"]) == ('"12"', "12")
    assert (first["json.last"], second["json.last"]) == ("", '{"order":[1,true]}')
    assert (first["json.remark"], second["json.remark"]) == ('""', "")


def test_field_names_come_from_every_page_but_only_one_organization(store, engine, monkeypatch):
    store.feed(*(seen(str(n), **{f"f{n}": "x", "all": 1 if n == 4 else "x"}) for n in range(5)), seen("9"))
    with engine.begin() as conn:
        other = organizations.ensure(conn, "other")

    with engine.connect() as conn:
        for limit in (1, 2, 100):
            found = contacts.field_names(Tx(conn, store._organization_id), limit)
            assert found == {**{f"f{n}": True for n in range(5)}, "all": False}
        assert contacts.field_names(Tx(conn, other), 100) == {}


def test_too_many_fields_are_refused_before_the_first_line(store, monkeypatch):
    monkeypatch.setattr(export_csv, "MAX_FIELDS", 2)
    store.feed(seen(a="1", b="2"))
    assert store.rows()

    store.feed(seen(c="3"))
    with pytest.raises(ConfigError, match="jsonl"):
        store.csv()


def test_every_contact_is_on_exactly_one_page(store, monkeypatch):
    monkeypatch.setattr(export_json, "_PAGE", 2)
    store.feed(*(seen(str(n), tier=str(n)) for n in (5, 10, 3, 1, 4)))

    assert [row["external_id"] for row in store.rows()] == ["1", "10", "3", "4", "5"]
    assert [line["external_id"] for line in store.jsonl()] == ["1", "10", "3", "4", "5"]


def test_an_apostrophe_guards_formulas_unless_the_export_is_raw(store):
    store.feed(seen(phone=PHONE, name="=1+1", field="@x"))

    (guarded,), (raw,) = store.rows(), store.rows(is_raw=True)

    assert (guarded["name"], guarded["phone_number"], guarded["field.field"]) == ("'=1+1", f"'{PHONE}", "'@x")
    assert (raw["name"], raw["phone_number"], raw["field.field"]) == ("=1+1", PHONE, "@x")
    assert store.csv().startswith(b"\xef\xbb\xbfcontact_id")
    assert store.csv(is_raw=True).startswith(b"contact_id")


def test_json_lines_have_the_keys_of_the_api(store):
    store.feed(
        seen(email="ayu@example.com", phone=PHONE, name="Ayu", tier={"a": 1}),
        TagsSnapshot(external_id="1", tags=("VIP",), occurred_at=T0),
        consent("opted_in"),
        suppression("hard_bounce", "email", "ayu@example.com"),
    )

    (line,) = store.jsonl()

    assert line["id"].startswith("cnt_")
    assert line["updated_at"].endswith("Z")
    assert line["custom_fields"] == {"tier": {"a": 1}}
    assert line["tags"] == ["VIP"]
    assert [(one["type"], one["value"]) for one in line["identities"]] == [
        ("email", "ayu@example.com"),
        ("external_id", "1"),
        ("phone", PHONE),
    ]
    (stated,) = line["consents"]
    assert (stated["channel"], stated["status"], stated["occurred_at"]) == (
        "email",
        "opted_in",
        "2026-10-01T00:00:00Z",
    )
    assert stated["contact_id"] == line["id"]
    (suppressed,) = line["suppressions"]
    assert (suppressed["reason"], suppressed["active"]) == ("hard_bounce", True)


def test_a_guest_has_no_external_id_in_either_format(store):
    store.feed(seen(None, email="ayu@example.com"))

    assert [(row["external_source"], row["external_id"]) for row in store.rows()] == [("", "")]
    assert [(line["external_source"], line["external_id"]) for line in store.jsonl()] == [(None, None)]


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(
    json_values.clean
).filter(bool) | st.sampled_from(["=1", "'=1", "+62", "-5", "@x", "'t", "12", "true", "a\nb", 'say "x"', "=a,b;c"])
fields = st.dictionaries(
    st.sampled_from(["tier", "note", "name_of", "email", "a.b", "#created", "points"]),
    texts
    | st.integers(-99, 99)
    | st.booleans()
    | st.lists(texts, max_size=2)
    | st.dictionaries(texts, texts, max_size=2),
    max_size=4,
)


def fields_of(events):
    return events[0].fields


def registers(held):
    return {of_field(name): value for name, value in held.items()}


def test_a_sheet_is_imported_as_it_was_exported(store):
    held = {"tier": "=1+1", "points": 12, "a.b": "x", "#created": [1, "two"]}
    store.feed(
        seen("1", email="ayu@example.com", phone=PHONE, name='-Ayu, "A"', **held),
        seen("2", phone="+6281273509102", points="12"),
        TagsSnapshot(external_id="1", tags=("a, b", "VIP"), occurred_at=T0),
        consent("opted_out"),
    )

    first, second = imported(store.csv())

    assert first[0].external_id == "1"
    assert fields_of(first) == {"name": '-Ayu, "A"', **registers(held)}
    assert [one.value for one in first[0].identifiers.values()] == ["ayu@example.com", PHONE]
    assert first[1] == TagsSnapshot(external_id="1", tags=("a, b", "VIP"), occurred_at=T0)
    assert [(e.channel, e.status, e.occurred_at) for e in first if isinstance(e, ConsentStated)] == [
        ("email", "opted_out", T0)
    ]
    assert fields_of(second) == {"points": "12"}


@given(
    rows=st.lists(
        st.tuples(texts, st.lists(texts, max_size=3, unique_by=str.casefold), fields), min_size=1, max_size=3
    ),
    is_raw=st.booleans(),
)
@example(rows=[("=1", ['["a"]', '"b"'], {"tier": "12"}), ("'=1", ["a, b", "[x]"], {"tier": 12})], is_raw=False)
def test_any_cell_is_imported_as_it_was_exported(rows, is_raw):
    held = sorted({key for *_, of_row in rows for key in of_row})
    is_text = {key: all(type(of_row.get(key, "x")) is str for *_, of_row in rows) for key in held}
    names = [f"{'field' if is_text[key] else 'json'}.{key}" for key in held]
    cells = [
        ["1", name, export_csv.joined(tags)]
        + [export_csv.field_cell(of_row[key], is_text=is_text[key]) if key in of_row else "" for key in held]
        for name, tags, of_row in rows
    ]

    found = list(
        imported(export_csv.csv_bytes([["external_id", "name", "tags", *names], *cells], is_raw=is_raw), not is_raw)
    )

    assert [fields_of(events) for events in found] == [{"name": name, **registers(of_row)} for name, _, of_row in rows]
    assert [events[1].tags if events[1:] else () for events in found] == [tuple(tags) for _, tags, _ in rows]
