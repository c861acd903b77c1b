"""Searches: who is found, in which order, page by page, whatever else is asked for."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from worker.domain.rows import ContactRow
from worker.store import contact_lists, contact_terms, contacts, db, organizations
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
#: (name, e-mails, numbers, tags), one born a day; each e-mail is of a record of its own
PEOPLE = (
    ("Emma Sari", ["emma.sari@example.com", "emma@example.com"], ["+628121111"], ["vip"]),
    ("Emil Putri-Sari", ["sari@example.com"], ["+628122222"], []),
    ("Sari Emre", [], ["+628121333"], ["vip"]),
    ("Wayan", ["emma.wayan@example.com"], ["+4915112345"], ["vip"]),
    ("Emmanuel 62812", ["6281@example.com"], [], []),
    ("Señora Ñandú", ["em@example.com"], ["+628124444"], []),
    ("O'Emma D'Sa", ["x.y@example.com"], ["+62812"], ["vip"]),
    (None, ["emma.nobody@example.com"], ["+628125555"], []),
    ("Budi", ["+62-8121@example.com"], [], ["emma"]),
    ("Citra", [], [], ["emma"]),
)
#: what nobody is searched by; for those who have nothing else
OF_OTHER_KINDS = [("line", "emma.sari@example.com"), ("telegram", "6281211"), ("viber", "+628121111")]
FOUND = {
    "em": {0, 1, 2, 4, 6},
    "emma": {0, 3, 4, 6, 7},
    " EMMA ": {0, 3, 4, 6, 7},
    "emma sari": {0},
    "sari emma": {0},
    "sa em": {0, 1, 2, 6},
    "sa em sa": {0, 1, 2, 6},
    "sari put emi": {1},
    "sari putra": set(),
    "emma s": {0, 4, 6},  # one letter fits too many, and does not count
    "e": set(),
    "ari": set(),  # the beginning of words only
    "señ": {5},
    "sen": set(),
    "ñan SEÑ": {5},
    "citra": {9},
    "100%": set(),
    "em_": set(),
    "sari@exa": {1},
    "emma.": {0, 3, 4, 6, 7},
    "emma.sa": {0, 6},  # begins an e-mail of the one; of the other, two words of the name
    "emma.sari@example.com": {0},
    "x.y@example.co": {6},
    "wayan emma": set(),  # not one by the name and one by the e-mail
    "+6281": {0, 1, 2, 4, 5, 6, 7},  # 4 has it as a name
    "+628121": {0, 2},
    "6281": {0, 1, 2, 4, 5, 6, 7},
    "+62 (812) 1": {0, 2},
    "(6281) 21-1": {0},
    "+49 151": {3},
    "+4916": set(),
    "+62": {4},  # too short for an address
    "+emma": {0, 4, 6},
    "+62-812": {0, 1, 2, 5, 6, 7, 8},  # 8 has a number for an e-mail
    "+62-8121": {0, 2, 8},
}
#: what else may be asked for, and whom it fits
FILTERS = {
    "tag": ("VIP", {0, 2, 3, 6}),
    "keys": ([("phone", "", "+628121111"), ("external_id", "shop", "0")], {0}),
    "created_after": (T0 + 2 * DAY, {3, 4, 5, 6, 7, 8, 9}),
}


def born(number):
    return UUID(int=(int((T0 + number * DAY).timestamp() * 1000) << 80) | number)


def changed(number):
    """Not in the order of births, and several at once."""
    return T0 + (number * 4 % len(PEOPLE) // 3) * DAY


@pytest.fixture
def people(engine, organization_id):
    """Store them, for two organizations; return the ids of the first one's."""
    with engine.begin() as conn:
        fill(conn, organizations.ensure(conn, "other"))
        return fill(conn, organization_id)


def fill(conn, organization_id):
    ids, rows, terms, records, claims = [], [], [], [], []
    for number, (name, emails, phones, tags) in enumerate(PEOPLE):
        id_ = uuid4()
        ids.append(id_)
        row = ContactRow(id_, name, None, None, "shop", str(number), {}, tags, born(number))
        rows.append(contacts.encode(id_, row, row.first_id))
        terms += [(term, id_) for term in contact_terms.terms_of(name, tags)]
        held = [("email", email) for email in emails] + [("phone", phone) for phone in phones]
        for position, (kind, key) in enumerate(held or OF_OTHER_KINDS):
            record = {"organization": organization_id, "id": uuid4(), "contact": id_, "kind": kind, "key": key}
            records.append({**record, "external_id": f"{number}-{position}" if position else str(number)})
            claims.append(record)
    contacts.insert_new(Tx(conn, organization_id), rows)
    contact_terms.ensure(Tx(conn, organization_id), terms)
    conn.execute(
        text("""
            INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, contact_id)
            VALUES (:organization, :id, 'shop', :external_id, 'customer', '{}', true, :contact)
        """),
        records,
    )
    conn.execute(
        text("""
            INSERT INTO claims (organization_id, type, key, record_id, source, is_customer, value, is_verified,
                                is_owner, is_contested)
            VALUES (:organization, :kind, :key, :id, 'shop', true, :key, false, false, true)
        """),
        claims,
    )
    conn.execute(
        text("UPDATE contacts SET updated_at = :at WHERE id = :id"),
        [{"at": changed(number), "id": id_} for number, id_ in enumerate(ids)],
    )
    return ids


def newest_first(conn, organization_id, wanted, limit):
    """Every page of the list, to the last."""
    found, before = [], None
    while rows := contact_lists.page(Tx(conn, organization_id), wanted, before, limit):
        assert len(rows) <= limit
        found += rows
        assert len(found) <= len(PEOPLE)
        before = rows[-1].first_id
    return [row.id for row in found]


def oldest_change_first(conn, organization_id, wanted, limit):
    """Every page of the feed, to the last."""
    found, place = [], (T0 - DAY, None)
    while rows := contact_lists.changed(Tx(conn, organization_id), wanted, *place, T0 + 100 * DAY, limit):
        assert len(rows) <= limit
        found += rows
        assert len(found) <= len(PEOPLE)
        place = (rows[-1].updated_at, rows[-1].id)
    return [row.id for row in found]


def assert_found(conn, organization_id, people, wanted, numbers):
    by_birth = [people[number] for number in sorted(numbers, reverse=True)]
    by_change = [people[number] for number in sorted(numbers, key=lambda one: (changed(one), people[one]))]
    for limit in (1, 2, 100):
        assert newest_first(conn, organization_id, wanted, limit) == by_birth
        assert oldest_change_first(conn, organization_id, wanted, limit) == by_change


@pytest.mark.parametrize("search", FOUND)
def test_a_search_finds_words_of_names_and_beginnings_of_addresses(engine, organization_id, people, search):
    with engine.connect() as conn:
        assert_found(conn, organization_id, people, ContactFilter(search=search), FOUND[search])


@pytest.mark.parametrize("names", [names for count in (1, 2, 3) for names in combinations(FILTERS, count)])
def test_a_search_goes_with_every_other_filter(engine, organization_id, people, names):
    others = {name: FILTERS[name][0] for name in names}
    fitting = set.intersection(*(FILTERS[name][1] for name in names))
    with engine.connect() as conn:
        assert_found(conn, organization_id, people, ContactFilter(**others), fitting)
        for search in ("em", "emma", "emma sari", "+6281", "6281", "emma."):
            wanted = ContactFilter(search=search, **others)
            assert_found(conn, organization_id, people, wanted, fitting & FOUND[search])


def test_the_feed_ends_before_its_horizon(engine, organization_id, people):
    with engine.connect() as conn:
        rows = contact_lists.changed(Tx(conn, organization_id), ContactFilter(search="emma"), T0, None, T0 + DAY, 100)

    assert rows == []
    assert {changed(number) for number in FOUND["emma"]} >= {T0, T0 + DAY}


def test_a_statement_is_written_once(engine, organization_id):
    with engine.connect() as conn:
        contact_lists.page(Tx(conn, organization_id), ContactFilter(search="emma sari"), None, 10)
        written = contact_lists._statement.cache_info()
        contact_lists.page(Tx(conn, organization_id), ContactFilter(search="budi ayu"), None, 20)

    assert contact_lists._statement.cache_info().misses == written.misses
    assert written.maxsize is not None


def test_the_planner_knows_how_many_addresses_begin_so(database_url, engine, organization_id):
    """Among keys of other types, by the index that searches are written for, behind row-level security."""
    record = {"organization": organization_id, "id": uuid4()}
    with engine.begin() as conn:
        conn.execute(
            text("""
                INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, contact_id)
                VALUES (:organization, :id, 'shop', '1', 'customer', '{}', true, :id)
            """),
            record,
        )
        conn.execute(
            text("""
                INSERT INTO claims (organization_id, type, key, record_id, source, is_customer, value, is_verified,
                                    is_owner, is_contested)
                SELECT :organization, new.type, new.begins || n, :id, 'shop', true, '', false, false, true
                  FROM generate_series(10000, 12000) AS n
                 CROSS JOIN (VALUES ('telegram', '628'), ('email', 'emma.'), ('phone', '+49')) AS new (type, begins)
            """),
            record,
        )
        conn.execute(text("ANALYZE claims"))
    tenants = db.make_tenant_engine(database_url)

    def planned(begin):
        address = contact_lists._ADDRESS
        statement = text(f"""
            EXPLAIN (FORMAT JSON) SELECT FROM claims k
             WHERE k.organization_id = :organization AND {address} >= :begin AND {address} < :end
        """)
        with tenants.connect() as conn:
            db.enter(Tx(conn, organization_id))
            conn.execute(text("SET LOCAL enable_seqscan = off"))
            given = {"organization": organization_id, "begin": begin, "end": begin + "z"}
            return conn.execute(statement, given).scalar_one()[0]["Plan"]

    plans = {begin: planned(begin) for begin in ("628", "emma", "+49", "emma.1199")}
    tenants.dispose()

    used = str(plans["emma.1199"])
    assert ("claims_address" in used, "< 'emma.1199z'" in used) == (True, True)
    assert plans["628"]["Plan Rows"] < 5
    assert plans["emma.1199"]["Plan Rows"] < 50
    assert plans["emma"]["Plan Rows"] > 1500
    assert plans["+49"]["Plan Rows"] > 1500
