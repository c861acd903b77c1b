"""A store full of invented customers. It has the rows that the worker would write, but a few SQL statements write them.

The values of a person follow from its number, in SQL and in Python, so nothing is loaded before a request about a
contact. Nobody in the store exists: e-mails are of example.com, and names and numbers are computed. There are no
envelopes, as if they had expired.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from worker.domain.golden import golden
from worker.domain.keyed_consents import KeyedConsent, keyed
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.statements import ConsentStatement
from worker.domain.terms import Ref
from worker.pipeline import contact_view
from worker.store import claims, connections, consents, contact_terms, contacts, db, records
from worker.store.db import Tx

SOURCE = "shopify"
#: a tag on every second contact, and a tag on every tenth; ``fair_tag`` gives tags on ten contacts each
FREQUENT_TAG, SOME_TAG = "newsletter", "vip"
#: the beginning of about every twentieth first name, and of no last name
FREQUENT_BEGINNING = "em"
_NAMES = """
    Adi Agus Aisha Ana Andi Anneliese Arif Ayu Bambang Beatriz Bima Budi Carla Citra Daniel Dewi Dian Eka Emil Emma
    Emre Fajar Fatima Fitri Gita Hana Hendra Indah Intan Irfan Jan Joko Julia Karim Kartika Laila Lars Lina Lukas
    Made Maria Mira Nadia Noah Nur Olga Omar Putri Rahma Rani Rizky Rosa Sari Siti Sofia Sri Taufik Tono Umar Wahyu
    Wayan Yusuf Yuni Zahra
"""
FIRST_NAMES = _NAMES.split()
_FIRST_ID = 7_000_000_000
_FAIRS = 500  #: a fair begins at every 500th person, and ten people in a row visit it
_CONSENTS = 10  #: every tenth contact has a consent for e-mail
_EVERY_MS = 20_000  #: time between two contacts
#: number * factor % modulus is a permutation, so people with near creation times are far apart in all other indexes
_FACTOR, _MODULUS = 61_803_399, 100_000_000
_DIGITS, _LETTERS = "0123456789", "aeioulnrst"
_AT_ONCE = 20_000  #: people that one SQL statement writes

_PEOPLE = f"""
    (SELECT p.*, first_name || ' ' || last_name AS name,
            lower(first_name) || '.' || lower(last_name) || '@example.com' AS email,
            '+62812' || drawn AS phone,
            (n % {_CONSENTS}) = 0 AS has_consent,
            CASE WHEN n % {_FAIRS} < 10 THEN ARRAY['fair ' || n / {_FAIRS}] ELSE '{{}}' END
            || CASE WHEN n % 2 = 0 THEN ARRAY['{FREQUENT_TAG}'] ELSE '{{}}' END
            || CASE WHEN n % 10 = 3 THEN ARRAY[upper('{SOME_TAG}')] ELSE '{{}}' END AS tags
       FROM (
        SELECT n, noise, drawn, ms, timestamptz 'epoch' + ms * interval '1 ms' AS born,
               (lpad(to_hex(ms), 12, '0') || '7' || left(noise, 3) || '8' || substr(noise, 4, 15))::uuid AS id,
               lpad(to_hex(ms - 50), 12, '0') || '7' || right(noise, 3) || '9' || left(noise, 15) AS envelope,
               noise::uuid::text AS delivery,
               ({_FIRST_ID} + n)::text AS external_id,
               (CAST(:first_names AS text[]))[drawn::integer % {len(FIRST_NAMES)} + 1] AS first_name,
               initcap(translate(drawn, '{_DIGITS}', '{_LETTERS}')) AS last_name
          FROM (SELECT n, md5(n::text) AS noise, CAST(:began_ms AS bigint) + n * {_EVERY_MS} AS ms,
                       lpad((n * {_FACTOR} % {_MODULUS})::text, 8, '0') AS drawn
                  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n) AS numbers OFFSET 0) AS p
    ) AS p
"""
_ADDRESS = (
    '{"zip": "40202", "city": "Harbour", "phone": "555-555-SHIP", "address1": "14 Lantern Row", "country_code": "US", '
    '"province_code": "KY"}'
)
_FIELDS = f'{{"state": "disabled", "address": {_ADDRESS}, "currency": "USD", "tax_exempt": false}}'


def _document(template: str, **columns: str) -> str:
    """Return SQL for a JSON document. It concatenates text, which takes half as long as jsonb functions do."""
    for name, column in columns.items():
        template = template.replace(f"<{name}>", f"' || {column} || '")
    return f"('{template}')::jsonb"


#: the state of a record after a ``customers/update``, as ``fold.encode`` writes it
_STATE = _document(
    '{"s": [[<occurred>, <sent>, "<delivery>", 0, "<envelope>"], [<occurred>, <sent>, "<delivery>", 1, "<envelope>"]], '
    '"v": 0, "n": [1, <tags>], "r": {"#created": [0, <created>], "@email": [0, ["email", "<email>", "<email>", true]], '
    '"@phone": [0, ["phone", "<phone>", "<phone>", false]], "email_as_given": [0, null], "phone_as_given": [0, null], '
    '"first_name": [0, "<first_name>"], "last_name": [0, "<last_name>"], "note": [0, null], "state": [0, "disabled"], '
    f'"address": [0, {_ADDRESS}], "currency": [0, "USD"], "tax_exempt": [0, false]}}}}',
    occurred="(ms - 1000) * 1000",
    sent="ms * 1000",
    created="(ms - 60000) * 1000",
    tags="(SELECT coalesce(json_object_agg(lower(tag), tag)::text, '{}') FROM unnest(tags) AS tag)",
    **{name: name for name in ("delivery", "envelope", "email", "phone", "first_name", "last_name")},
)
_RECORDS = f"""
    INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, contact_id, created_at,
                         updated_at)
    SELECT :organization_id, id, '{SOURCE}', external_id, 'customer', {_STATE}, true, id, born, born FROM {_PEOPLE}
"""
_CLAIMS = f"""
    INSERT INTO claims (organization_id, type, key, record_id, source, is_customer, value, is_verified, is_owner,
                        is_contested)
    SELECT :organization_id, c.type, c.key, id, '{SOURCE}', true, c.key, c.type = 'email', true, false FROM {_PEOPLE}
     CROSS JOIN LATERAL (VALUES ('email', email), ('phone', phone)) AS c (type, key)
"""
#: what a contact shows beside its fields
_SHOWN = """(CASE WHEN has_consent THEN '{"consent:email:marketing":"opted_in"}' ELSE '{}' END)::json"""
_CONTACTS = f"""
    INSERT INTO contacts (organization_id, id, name, email, phone_number, external_source, external_id, custom_fields,
                          tags, first_id, shown, created_at, updated_at)
    SELECT :organization_id, id, name, email, phone, '{SOURCE}', external_id,
           {_document(_FIELDS)}, tags, id, {_SHOWN}, born, born
      FROM {_PEOPLE}
"""
_TERMS = f"""
    INSERT INTO contact_terms (organization_id, term, contact_id)
    SELECT :organization_id, term, id FROM {_PEOPLE}
     CROSS JOIN LATERAL unnest(ARRAY['w:' || lower(first_name), 'w:' || lower(last_name)]
                               || ARRAY(SELECT 't:' || lower(tag) FROM unnest(tags) AS tag)) AS term
"""
_CREATED = _document(
    "{"
    + ", ".join(
        f'"{name}": [null, {value}]'
        for name, value in {
            "name": '"<name>"',
            "email": '"<email>"',
            "phone_number": '"<phone>"',
            "state": '"disabled"',
            "address": _ADDRESS,
            "currency": '"USD"',
            "tax_exempt": "false",
        }.items()
    )
    + f', "external_source": [null, "{SOURCE}", null], "external_id": [null, "<external_id>", null]<tags><consent>}}',
    tags="""CASE WHEN tags = '{}' THEN ''
                 ELSE ', "tags": [[], ' || to_json(tags)::text || ', null]' END""",
    consent="""CASE WHEN NOT has_consent THEN ''
                    ELSE ', "consent:email:marketing": [null, "opted_in"]' END""",
    **{name: name for name in ("envelope", "name", "email", "phone", "external_id")},
)
_CHANGES = f"""
    INSERT INTO changes (organization_id, id, contact_id, kind, details, causes, changed_at)
    SELECT :organization_id, (lpad(to_hex(ms + 1), 12, '0') || '7' || right(noise, 3) || 'a' || left(noise, 15))::uuid,
           id, 'created', {_CREATED}, ARRAY[envelope::uuid], born
      FROM {_PEOPLE}
"""
#: inserts that may run at the same time; those of claims follow those of records, because they refer to them
_INSERTS = ((_RECORDS, _CLAIMS), (_CONTACTS, _TERMS, _CHANGES))
#: tables that may be vacuumed at the same time
_TABLES = (("records", "consents", "contacts"), ("changes", "claims", "contact_terms"))


@dataclass(frozen=True, slots=True)
class Person:
    """An invented customer."""

    number: int
    born_ms: int

    @property
    def _noise(self) -> str:
        return md5(str(self.number).encode(), usedforsecurity=False).hexdigest()

    @property
    def _drawn(self) -> str:
        return f"{self.number * _FACTOR % _MODULUS:08}"

    @property
    def id(self) -> UUID:
        """The id of the contact, which its record has too."""
        return UUID(hex=f"{self.born_ms:012x}7{self._noise[:3]}8{self._noise[3:18]}")

    @property
    def envelope_id(self) -> UUID:
        """The id of the only envelope about this person."""
        return UUID(hex=f"{self.born_ms - 50:012x}7{self._noise[-3:]}9{self._noise[:15]}")

    @property
    def born(self) -> datetime:
        """When the contact was created."""
        return datetime.fromtimestamp(self.born_ms / 1000, UTC)

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (SOURCE, str(_FIRST_ID + self.number))

    @property
    def first_name(self) -> str:
        return FIRST_NAMES[int(self._drawn) % len(FIRST_NAMES)]

    @property
    def last_name(self) -> str:
        """A last name that no other person has."""
        return self._drawn.translate(str.maketrans(_DIGITS, _LETTERS)).capitalize()

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def email(self) -> str:
        return f"{self.first_name}.{self.last_name}@example.com".lower()

    @property
    def phone(self) -> str:
        return f"+62812{self._drawn}"

    @property
    def tags(self) -> list[str]:
        """The tags, in the order of their keys."""
        fair = [fair_tag(self.number)] if self.number % _FAIRS < 10 else []
        frequent = [FREQUENT_TAG] if self.number % 2 == 0 else []
        return fair + frequent + ([SOME_TAG.upper()] if self.number % 10 == 3 else [])

    @property
    def has_consent(self) -> bool:
        """Whether a consent for e-mail is stored."""
        return self.number % _CONSENTS == 0


def fair_tag(number: int) -> str:
    """Return the tag of the last fair before a number, which ten contacts have."""
    return f"fair {number // _FAIRS}"


@dataclass(slots=True)
class Population:
    """The people of one organization, from number 0 on."""

    engine: Engine
    organization_id: UUID
    most: int  #: the largest size that is planned; the contact of the last person is created just now
    size: int = 0
    seconds: float = 0.0  #: time that writing them took
    began_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self.began_ms = (int(time.time()) - self.most * _EVERY_MS // 1000) * 1000

    def person(self, number: int) -> Person:
        """Return the person with a number, stored or not."""
        return Person(number, self.began_ms + number * _EVERY_MS)

    def grow(self, size: int) -> None:
        """Write people until ``size`` are stored, and vacuum the tables, as autovacuum would do later."""
        began = time.perf_counter()
        with ThreadPoolExecutor(len(_INSERTS)) as pool:
            list(pool.map(lambda inserts: self._fill(inserts, size), _INSERTS))
            list(pool.map(self._vacuum, _TABLES))
        self.size = size
        self.seconds += time.perf_counter() - began

    def _fill(self, inserts: tuple[str, ...], size: int) -> None:
        statements = [text(insert) for insert in inserts]
        for first in range(self.size, size, _AT_ONCE):
            last = min(first + _AT_ONCE, size) - 1
            parameters = {
                "organization_id": self.organization_id,
                "began_ms": self.began_ms,
                "first_names": FIRST_NAMES,
                "first": first,
                "last": last,
            }
            with self.engine.begin() as conn:
                # Postgres checks foreign keys row by row, and may keep one plan for all rows.
                conn.execute(text("SET LOCAL synchronous_commit = off; SET LOCAL plan_cache_mode = auto"))
                for statement in statements:
                    conn.execute(statement, parameters)
                if _CONTACTS in inserts:
                    people = (self.person(number) for number in range(first, last + 1))
                    consents.insert_new(Tx(conn, self.organization_id), _consent_statements(people))

    def _vacuum(self, tables: Iterable[str]) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("SET statement_timeout = 0"))
            try:
                for table in tables:
                    conn.execute(text(f"VACUUM (ANALYZE) {table}"))
            finally:
                conn.execute(text("RESET statement_timeout"))

    def check(self, people: Iterable[Person]) -> None:
        """Raise ValueError if one of these people is not stored as the worker would have stored it."""
        with db.snapshot(self.engine) as conn:
            for person in people:
                self._check(conn, person)

    def _check(self, conn: Connection, person: Person) -> None:
        def same(name: str, stored: object, expected: object) -> None:
            if stored != expected:
                raise ValueError(f"number {person.number} has {name} {stored!r}, not {expected!r}")

        contact = contacts.by_any_id(Tx(conn, self.organization_id), person.id)
        rows = records.by_contacts(Tx(conn, self.organization_id), [person.id])
        if contact is None or len(rows) != 1:
            raise ValueError(f"number {person.number} is not stored")
        (row,) = rows
        same("ids", (row.id, contact.first_id, row.ref), (person.id, person.id, person.ref))
        same("a name", contact.name, person.name)
        same("times", (contact.created_at, contact.updated_at), (person.born, person.born))
        same("fields", _shown(contact), _golden(row, connections.priorities(Tx(conn, self.organization_id))))
        held = claims.by_records(Tx(conn, self.organization_id), [row.id])
        same("claims", {entry.claim[:2] for entry in held}, set(row.record.claims()))
        same("values", {entry.claim.value for entry in held}, {person.email, person.phone})
        same("owners", {entry.owner for entry in held}, {person.ref})
        terms = conn.execute(
            text("SELECT term FROM contact_terms WHERE organization_id = :organization_id AND contact_id = :id"),
            {"organization_id": self.organization_id, "id": person.id},
        )
        same("terms", set(terms.scalars()), contact_terms.terms_of(person.name, person.tags))
        (shown,) = contact_view.load(Tx(conn, self.organization_id), [contact])
        same("identities", len(shown.identities), 3)
        same("tags", [tag.name for tag in shown.tags if tag.origin is not None], person.tags)
        same("consents", [consent.statement.status for consent in shown.consents()], ["opted_in"] * person.has_consent)


def _consent_statements(people: Iterable[Person]) -> Iterator[KeyedConsent]:
    for person in people:
        if person.has_consent:
            statement = ConsentStatement(
                channel="email",
                purpose="marketing",
                address=person.email,
                status="opted_in",
                occurred=(person.born_ms - 1000) * 1000,
                ref=person.ref,
                method=None,
                evidence={"opt_in_level": "single_opt_in"},
            )
            yield keyed(statement, person.envelope_id)


def _shown(row: ContactRow) -> tuple[object, ...]:
    ref = (row.external_source, row.external_id)
    return (ref, row.name, row.email, row.phone_number, row.custom_fields, row.tags)


def _golden(row: RecordRow, priorities: Any) -> tuple[object, ...]:
    shown = golden([row.record], (), priorities)
    ref = (shown.external_source, shown.external_id)
    return (ref, shown.name, shown.email, shown.phone_number, shown.custom_fields, shown.tags)
