"""A store as release 0.1 left it (schema 0004), full of invented people; a few SQL statements write it.

Of a hundred people, beside the customer that each is in one shop:

====== ==========================================================================================================
10     are a customer of a second shop with the same e-mail, number and name
2      share a number with a customer of the second shop who has another name and e-mail: two people now
5      have ordered as a guest, too
1      have had their number given by a guest who is somebody else: two people now
3      were edited through the API
2      were a customer of the second shop, and were deleted there
1      stand beside a customer of the second shop of whom only a tag is known: no contact now
1      have a customer whose clock was more than a year ahead
2      were merged with another customer of their shop
1      hold an e-mail that a customer of the second shop has too, who shares a number with a third: others meet now
20     have said yes or no to e-mails, and 1 is suppressed; 1 refused an address and has another now
====== ==========================================================================================================
"""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

_AT_ONCE = 20_000  #: people that one SQL statement writes
_EVERY_MS = 2_000  #: time between two people
_FIRST = 100_000_000
_NAMES = ["Adi", "Agus", "Aisha", "Ana", "Andi", "Ayu", "Budi", "Dewi"]
_OTHERS = ["Zahra", "Yusuf", "Xavier", "Wahyu", "Viktor", "Rosa", "Quentin", "Omar"]

_PEOPLE = f"""
    (SELECT n, ms, mod(n, 100) AS m, noise, timestamptz 'epoch' + ms * interval '1 ms' AS born,
            (lpad(to_hex(ms), 12, '0') || '7' || left(noise, 3) || '8' || substr(noise, 4, 15))::uuid AS id,
            (lpad(to_hex(ms + 1), 12, '0') || '7' || left(noise, 3) || '9' || substr(noise, 4, 15))::uuid AS id2,
            (lpad(to_hex(ms + 2), 12, '0') || '7' || left(noise, 3) || 'a' || substr(noise, 4, 15))::uuid AS id3,
            (lpad(to_hex(ms - 50), 12, '0') || '7' || right(noise, 3) || '9' || left(noise, 15)) AS envelope,
            ({_FIRST} + n)::text AS external_id,
            (CAST(:names AS text[]))[mod(n, 8) + 1] AS first, (CAST(:others AS text[]))[mod(n, 8) + 1] AS other,
            'L' || translate(n::text, '0123456789', 'aeioulnrst') AS last,
            'p' || n || '@example.com' AS email, 'q' || n || '@example.com' AS email2,
            '+62811' || lpad(n::text, 8, '0') AS phone, '+62812' || lpad(n::text, 8, '0') AS phone2
       FROM (SELECT n, md5(n::text) AS noise, CAST(:began_ms AS bigint) + n * {_EVERY_MS} AS ms
               FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n) AS numbers OFFSET 0) AS p
"""
#: what each statement is about: a name for the share of people, the record's key and id, and what it says
_SHARES = {
    "all": "true",
    "twice": "m < 10",
    "shares_number": "m IN (10, 11)",
    "guest": "m BETWEEN 12 AND 16",
    "stranger": "m = 17",
    "edited": "m BETWEEN 18 AND 20",
    "deleted": "m IN (21, 22)",
    "mentioned": "m = 23",
    "merged": "m IN (25, 26)",
    "chained": "m = 47",
}


def _state(registers: str, *, seen: bool = True, removed: bool = False) -> str:
    """Return SQL for a record's state, as ``fold.encode`` wrote it; ``<name>`` stands for a column."""
    ahead = "CASE WHEN m = 24 THEN 34560000000000 ELSE 0 END"
    stamps = '[<at>, <at>, "<noise>", 0, "<envelope>"], [<later>, <later>, "d<noise>", 0, "<envelope>"]'
    parts = f'"s": [{stamps}], "r": {{{registers}}}'
    parts += ', "v": 0' * seen + ', "x": 1' * removed
    columns = {"at": f"(ms * 1000 - 1000000 + {ahead})", "later": "(ms * 1000)", "created": "(ms * 1000 - 60000000)"}
    template = "{" + parts + "}"
    for name in (
        "at",
        "later",
        "created",
        "noise",
        "envelope",
        "email",
        "email2",
        "phone",
        "phone2",
        "first",
        "other",
        "last",
    ):
        template = template.replace(f"<{name}>", f"' || {columns.get(name, name)} || '")
    return f"('{template}')::json"


_NAME = '"first_name": [0, "<first>"], "last_name": [0, "<last>"]'
_EMAIL = '"@email": [0, ["email", "<email>", "<email>", false]], "email_as_given": [0, null]'
_PHONE = '"@phone": [0, ["phone", "<phone>", "<phone>", false]], "phone_as_given": [0, null]'
_REST = (
    '"#created": [0, <created>], "state": [0, "disabled"], "currency": [0, "USD"], "tax_exempt": [0, false], '
    '"note": [0, null]'
)


def _record(
    share: str,
    id_: str,
    source: str,
    external_id: str,
    state: str,
    *,
    kind: str = "customer",
    contact: str | None = "id",
    is_live: bool = True,
    is_lost: bool = False,
) -> str:
    return f"""
    INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, is_lost, contact_id,
                         created_at, updated_at)
    SELECT :organization_id, {id_}, '{source}', {external_id}, '{kind}', {state}, {is_live}, {is_lost},
           {contact or "NULL"}, born, born FROM {_PEOPLE} WHERE {_SHARES[share]}
"""


def _claims(share: str, id_: str, source: str, claims: str, *, is_customer: bool = True) -> str:
    """``claims`` are VALUES of (type, key, is owner, is contested)."""
    return f"""
    INSERT INTO claims (organization_id, type, key, record_id, source, is_customer, value, is_verified, is_owner,
                        is_contested)
    SELECT :organization_id, c.type, c.key, {id_}, '{source}', {is_customer}, c.key, false, c.owns, c.contested
      FROM {_PEOPLE} CROSS JOIN LATERAL (VALUES {claims}) AS c (type, key, owns, contested) WHERE {_SHARES[share]}
"""


def _contact(share: str, id_: str, source: str, external_id: str, name: str, email: str, phone: str) -> str:
    fields = """CASE WHEN tags_only THEN '{}' ELSE
        '{"state": "disabled", "currency": "USD", "tax_exempt": false}' END::jsonb""".replace(
        "tags_only", "true" if share == "mentioned" else "false"
    )
    return f"""
    INSERT INTO contacts (organization_id, id, name, email, phone_number, external_source, external_id, custom_fields,
                          tags, first_id, created_at, updated_at)
    SELECT :organization_id, {id_}, {name}, {email}, {phone}, '{source}', {external_id}, {fields}, '{{}}', {id_},
           born, born
      FROM {_PEOPLE} WHERE {_SHARES[share]}
"""


def _decision(share: str, kind: str, a: str, b: str) -> str:
    return f"""
    INSERT INTO decisions (organization_id, id, kind, source_a, external_id_a, source_b, external_id_b, occurred_at,
                           tie, actor, envelope_id)
    SELECT :organization_id, id3, '{kind}', {a}, {b}, born, '', 'invented', envelope::uuid
      FROM {_PEOPLE} WHERE {_SHARES[share]}
"""


_OWN = "('email', email, true, false), ('phone', phone, true, false)"
_STATEMENTS = (
    """
    INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, sent_at, received_at, headers, body,
                           body_sha256)
    SELECT :organization_id, envelope::uuid, :connection_id, 'customers/update', noise, born, born, '[]',
           convert_to(repeat(noise, 8), 'UTF8'), sha256(convert_to(noise, 'UTF8'))
      FROM """
    + _PEOPLE,
    f"""
    INSERT INTO envelope_records (organization_id, envelope_id, record_id)
    SELECT :organization_id, envelope::uuid, id FROM {_PEOPLE}
""",
    _record("all", "id", "shopify", "external_id", _state(f"{_NAME}, {_EMAIL}, {_PHONE}, {_REST}")),
    _claims("all", "id", "shopify", "('email', email, m <> 47, m = 47), ('phone', phone, true, false)"),
    _contact(
        "all",
        "id",
        "shopify",
        "external_id",
        "CASE WHEN m BETWEEN 18 AND 20 THEN other ELSE first || ' ' || last END",
        "email",
        "phone",
    ),
    f"""
    INSERT INTO contact_terms (organization_id, term, contact_id)
    SELECT :organization_id, term, id FROM {_PEOPLE}
     CROSS JOIN LATERAL unnest(ARRAY['w:' || lower(first), 'w:' || lower(last)]) AS term
""",
    f"""
    INSERT INTO changes (organization_id, id, contact_id, kind, details, causes, changed_at)
    SELECT :organization_id, id3, id, 'created',
           ('{{"name": [null, "' || first || ' ' || last || '"], "email": [null, "' || email || '"]}}')::json,
           ARRAY[envelope::uuid], born FROM {_PEOPLE}
""",
    # the same person at a second shop
    _record("twice", "id2", "woo", "external_id", _state(f"{_NAME}, {_EMAIL}, {_PHONE}")),
    _claims("twice", "id2", "woo", "('email', email, false, false), ('phone', phone, false, false)"),
    # another person with the same number
    _record(
        "shares_number",
        "id2",
        "woo",
        "external_id",
        _state(
            f'"first_name": [0, "<other>"], "last_name": [0, "Other"], {_EMAIL.replace("email>", "email2>")}, {_PHONE}'
        ),
    ),
    _claims("shares_number", "id2", "woo", "('email', email2, true, false), ('phone', phone, false, false)"),
    # guests
    _record("guest", "id2", "shopify", "'guest:email:' || email", _state(f"{_NAME}, {_EMAIL}, {_PHONE}"), kind="guest"),
    _claims(
        "guest", "id2", "shopify", "('email', email, false, false), ('phone', phone, false, false)", is_customer=False
    ),
    _record(
        "stranger",
        "id2",
        "shopify",
        "'guest:email:' || email2",
        _state(f'"name": [0, "<other>"], {_EMAIL.replace("email>", "email2>")}, {_PHONE}'),
        kind="guest",
    ),
    _claims(
        "stranger",
        "id2",
        "shopify",
        "('email', email2, true, false), ('phone', phone, false, false)",
        is_customer=False,
    ),
    # edits through the API
    _record(
        "edited", "id2", "api", "'cnt_' || replace(id::text, '-', '')", _state('"name": [0, "<other>"]'), kind="guest"
    ),
    _decision("edited", "link", "'shopify', external_id", "'api', 'cnt_' || replace(id::text, '-', '')"),
    # deleted and merged customers
    _record(
        "deleted",
        "id2",
        "woo",
        "external_id",
        _state(f"{_NAME}, {_EMAIL}, {_PHONE}", removed=True),
        contact=None,
        is_live=False,
    ),
    _record(
        "merged",
        "id2",
        "shopify",
        "'9' || external_id",
        _state(f"{_NAME}, {_EMAIL.replace('email>', 'email2>')}"),
        is_lost=True,
    ),
    _claims("merged", "id2", "shopify", "('email', email2, true, false)"),
    _decision("merged", "source_merge", "'shopify', external_id", "'shopify', '9' || external_id"),
    # only mentioned
    _record("mentioned", "id2", "woo", "external_id", _state("", seen=False), contact="id2"),
    _contact("mentioned", "id2", "woo", "external_id", "NULL", "NULL", "NULL"),
    # chains
    _record(
        "chained",
        "id2",
        "woo",
        "external_id",
        _state(f"{_NAME}, {_EMAIL}, {_PHONE.replace('phone>', 'phone2>')}"),
        contact="id2",
    ),
    _claims("chained", "id2", "woo", "('email', email, true, true), ('phone', phone2, true, false)"),
    _record(
        "chained",
        "id3",
        "shopify",
        "'8' || external_id",
        _state(f"{_NAME}, {_EMAIL.replace('email>', 'email2>')}, {_PHONE.replace('phone>', 'phone2>')}"),
        contact="id2",
    ),
    _claims("chained", "id3", "shopify", "('email', email2, true, false), ('phone', phone2, false, false)"),
    _contact("chained", "id2", "woo", "external_id", "first || ' ' || last", "email", "phone2"),
    # permission
    f"""
    INSERT INTO consents (organization_id, id, statement_key, channel, purpose, address, status, occurred_at, source,
                          external_id, evidence, envelope_id)
    SELECT :organization_id, id3, decode(noise, 'hex'), 'email', 'marketing', email,
           CASE WHEN mod(n, 4) = 0 THEN 'opted_out' ELSE 'opted_in' END, born, 'shopify', external_id, '{{}}',
           envelope::uuid
      FROM {_PEOPLE} WHERE mod(n, 5) = 0
""",
    # who has changed the address that was refused, and whom a stranger's refusal kept from being written to
    f"""
    INSERT INTO consents (organization_id, id, statement_key, channel, purpose, address, status, occurred_at, source,
                          external_id, evidence, envelope_id)
    SELECT :organization_id, said.id, decode(md5(noise || said.status), 'hex'), 'email', 'marketing', said.address,
           said.status, born + said.after, CASE WHEN m = 10 THEN 'woo' ELSE 'shopify' END, external_id, '{{}}',
           envelope::uuid
      FROM {_PEOPLE} CROSS JOIN LATERAL (
        VALUES (id3, 'opted_in', email, interval '0', m = 61),
               (id2, 'opted_out', email2, interval '1 minute', m IN (10, 61))
      ) AS said (id, status, address, after, is_said)
     WHERE said.is_said
""",
    f"""
    INSERT INTO suppressions (organization_id, id, statement_key, channel, address, scope, reason, is_lift, occurred_at,
                              source, external_id, envelope_id)
    SELECT :organization_id, id3, decode(noise, 'hex'), 'email', email, 'all', 'hard_bounce', false, born, 'shopify',
           external_id, envelope::uuid
      FROM {_PEOPLE} WHERE m = 60
""",
)
_TABLES = (
    "envelopes, envelope_records, records, claims, contacts, contact_terms, changes, decisions, consents, suppressions"
)


def as_before(connection: Any, _record: object) -> None:
    """Have a session name nobody, as those of the releases before 0012; both schemas show it everything."""
    connection.execute("SET application_name = 'contactsync'; SET contactsync.organization_id = ''")
    connection.commit()


@dataclass(frozen=True, slots=True)
class OldStore:
    """A store to be filled."""

    engine: Engine
    organization_id: UUID
    connection_id: UUID

    def fill(self, people: int) -> None:
        """Write people, and vacuum the tables, as autovacuum would have done."""
        statements = [text(statement) for statement in _STATEMENTS]
        began_ms = (int(time.time()) - people * _EVERY_MS // 1000 - 3600) * 1000
        for first in range(0, people, _AT_ONCE):
            parameters = {
                "organization_id": self.organization_id,
                "connection_id": self.connection_id,
                "began_ms": began_ms,
                "names": _NAMES,
                "others": _OTHERS,
                "first": first,
                "last": min(first + _AT_ONCE, people) - 1,
            }
            with self.engine.begin() as conn:
                conn.execute(text("SET LOCAL synchronous_commit = off; SET LOCAL plan_cache_mode = auto"))
                for statement in statements:
                    conn.execute(statement, parameters)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("SET statement_timeout = 0"))
            conn.execute(text(f"VACUUM (ANALYZE) {_TABLES}"))
