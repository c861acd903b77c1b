"""Apply: resolving batch by batch gives the same result as resolving all records at once."""

import json
from collections import defaultdict
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from connectors.contract import (
    ConsentStated,
    ProfileRemoved,
    ProfilesMerged,
)
from tests.conftest import empty
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, events, histories, operator_decisions, statements_of
from worker import ids
from worker import settings as worker_settings
from worker.domain.changes import Change, EncodedDetails, StoredDetail, causes_of
from worker.domain.grouping import Limits
from worker.domain.resolve import resolve
from worker.domain.snapshot import NewDecision
from worker.domain.terms import CLAIM
from worker.pipeline.apply import Batch, apply
from worker.store import changes, decisions, envelopes, organizations, records
from worker.store.batch_writer import json_bytes
from worker.store.changes import Detail
from worker.store.db import Tx


def run(engine, statements):
    """Apply statements as one batch."""
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, "default")
    return apply(engine, organization_id, Batch(statements, {one.envelope_id: uuid4() for one in statements}))


def stored(engine):
    """Return the stored result in the form of ``resolved_at_once``, and the (records, decisions) that it came from."""
    with engine.connect() as conn:
        organization_id = organizations.find(conn, "default")
        ids_ = [row[0] for row in conn.execute(text("SELECT id FROM records"))]
        rows = records.by_ids(Tx(conn, organization_id), ids_)
        claims = conn.execute(text("SELECT type, key, record_id, is_owner, is_contested, role FROM claims")).all()
        shown = {row[0] for row in conn.execute(text("SELECT id FROM contacts"))}
        decided = decisions.by_refs(Tx(conn, organization_id), [row.ref for row in rows])
    ref_of = {row.id: row.ref for row in rows}
    groups = defaultdict(list)
    for row in rows:
        if row.contact_id is not None:
            groups[row.contact_id].append(row.ref)
    assert set(groups) == shown
    return {
        "groups": {frozenset(group) for group in groups.values()},
        "owners": {(t, k): ref_of[r] for t, k, r, owner, _, _ in claims if owner},
        "contested": {(t, k) for t, k, _, _, contested, _ in claims if contested},
        "ties": {(t, k, ref_of[r], role) for t, k, r, _, _, role in claims},
        "lost": {row.ref: row.merged for row in rows if row.merged is not None},
        "oversize": {row.ref for row in rows if row.is_oversize},
    }, (rows, decided)


def ids_of_contacts(engine):
    """Return the id of the contact of each customer."""
    with engine.connect() as conn:
        rows = conn.execute(text("SELECT source, external_id, contact_id FROM records"))
        return {(source, external_id): contact_id for source, external_id, contact_id in rows}


def resolved_at_once(rows, decided, limits):
    """Resolve all records at once; return the groups, owners and so on, with customers in the place of our ids."""
    found = resolve([row.record for row in rows], decided, limits)
    ties = [(*ident, row.ref, tie.role) for row in rows for ident, tie in row.record.ties().items()]
    claimed = {(type_, key) for type_, key, _, role in ties if role == CLAIM}
    return {
        "groups": {frozenset(group) for group in found.groups},
        "owners": found.owners,
        "contested": found.contested & claimed,
        "ties": set(ties),
        "lost": found.lost,
        "oversize": found.oversize,
    }


@pytest.mark.parametrize(("crowd", "component"), [(10, 200), (1, 200), (10, 4), (1, 3)])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(events), operators=operator_decisions(), data=st.data())
def test_resolving_batch_by_batch_gives_what_resolving_at_once_gives(
    engine, monkeypatch, crowd, component, history, operators, data
):
    empty(engine)
    monkeypatch.setattr(worker_settings.settings(), "crowd_limit", crowd)
    monkeypatch.setattr(worker_settings.settings(), "component_limit", component)
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, "default")
        decisions.ensure(Tx(conn, organization_id), [NewDecision(decision, "operator", None) for decision in operators])
    left = list(history)
    while left:
        size = data.draw(st.integers(1, len(left)))
        run(engine, left[:size])
        left = left[size:]

    found, (rows, decided) = stored(engine)

    assert found == resolved_at_once(rows, decided, Limits(crowd, component))


def test_replayed_statements_write_nothing(engine):
    statements = [
        statements_of("a", a_profile("1", phone=PHONES[0], email=EMAILS[0], note="x"), number=1),
        statements_of("b", a_profile("9", email=EMAILS[0].upper()), number=2),
        statements_of(
            "a",
            ConsentStated(external_id="1", channel="email", status="opted_in", address=EMAILS[0], occurred_at=T0),
            number=3,
        ),
    ]
    run(engine, statements)
    with engine.connect() as conn:
        before = {t: conn.execute(text(f"SELECT * FROM {t} ORDER BY 1, 2, 3")).all() for t in TOUCHED}

    again = run(engine, statements)

    with engine.connect() as conn:
        assert before == {t: conn.execute(text(f"SELECT * FROM {t} ORDER BY 1, 2, 3")).all() for t in TOUCHED}
    assert again.changes == 0


TOUCHED = ("records", "contacts", "claims", "consents", "suppressions", "changes", "envelope_records")


def test_a_repeated_statement_gives_its_record_the_later_time_and_writes_no_contact(engine):
    def apply_profile(at, name, *more):
        return run(
            engine, [statements_of("a", a_profile(email=EMAILS[0], at=at, name=name), number=at, minute=9), *more]
        )

    def held():
        with engine.connect() as conn:
            found = text("SELECT (SELECT updated_at FROM contacts), (SELECT version FROM records WHERE source = 'a')")
            return tuple(conn.execute(found).one())

    apply_profile(0, "Ayu")
    written_at, version = held()
    again = apply_profile(3, "Ayu")
    assert (again.records, again.changes, again.contacts) == (1, 0, {})
    assert held() == (written_at, version + 1)
    # A statement from between the two arrives late, and the record holds a newer value already.
    assert apply_profile(2, "Ayu").records == 0
    assert held() == (written_at, version + 1)
    # What it says of a name is remembered, and shown by nobody.
    late = apply_profile(1, "Putri")
    assert (late.records, late.changes) == (1, 0)
    assert held() == (written_at, version + 2)


def test_a_record_that_repeats_itself_beside_a_new_record_of_its_person_is_written_once(engine):
    run(engine, [statements_of("a", a_profile(email=EMAILS[0]), number=1)])
    newcomer = statements_of("b", a_profile("9", email=EMAILS[0]), minute=9, number=3)
    run(engine, [statements_of("a", a_profile(email=EMAILS[0], at=2), minute=9, number=2), newcomer])

    with engine.connect() as conn:
        found = conn.execute(text("SELECT source, version, contact_id, state FROM records ORDER BY source")).all()
    assert [(row.source, row.version) for row in found] == [("a", 2), ("b", 1)]
    assert len({row.contact_id for row in found}) == 1
    assert found[0].state["s"][0][0] == int((T0 + timedelta(minutes=2)).timestamp() * 1_000_000)


def test_a_split_gives_contacts_their_former_ids_back(engine, organization_id):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0], created=0), number=1)])
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[1], created=1), number=2)])
    before = ids_of_contacts(engine)
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[0], at=1, created=1), number=3)])
    joined = ids_of_contacts(engine)
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[1], at=2, created=1), number=4)])

    assert joined == {("a", "1"): before["a", "1"], ("b", "2"): before["a", "1"]}
    assert ids_of_contacts(engine) == before


def test_the_change_log_names_the_envelope_and_the_value_that_it_replaced(engine):
    first = statements_of("a", a_profile("1", email=EMAILS[0], first_name="Ayu"), number=1)
    second = statements_of("a", a_profile("1", email=EMAILS[0], first_name="Ayu Lestari", at=2), number=2)
    run(engine, [first])
    run(engine, [second])

    with engine.connect() as conn:
        found = conn.execute(text("SELECT organization_id, contact_id FROM changes LIMIT 1")).one()
        changed, created = changes.page(Tx(conn, found.organization_id), [found.contact_id], None, 10)

    assert (created.kind, changed.kind) == ("created", "changed")
    assert created.details["name"] == Detail(None, "Ayu", first.envelope_id.hex)
    assert created.details["external_source"] == Detail(None, "a", None)
    assert changed.details == {"name": Detail("Ayu", "Ayu Lestari", second.envelope_id.hex)}


def test_entries_of_the_change_log_are_loaded_whole_in_the_present_and_the_older_form(engine):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])
    causes = [ids.new(), ids.new()]
    with engine.begin() as conn:
        organization_id, contact_id = conn.execute(text("SELECT organization_id, contact_id FROM changes")).one()
        details: dict[str, StoredDetail] = {"x": (1, None, causes[1].hex), "y": (None, {"z": 1}, None)}
        changes.append(Tx(conn, organization_id), [Change(contact_id, "changed", details, tuple(causes))])
        older = {"x": {"before": "a", "after": "b", "cause": causes[0].hex}}
        conn.execute(
            text("INSERT INTO changes (organization_id, id, contact_id, kind, details, causes)"
                 " VALUES (:o, :id, :c, 'changed', CAST(:details AS jsonb), CAST(:causes AS uuid[]))"),
            {"o": organization_id, "id": ids.new(), "c": contact_id, "details": json.dumps(older),
             "causes": [str(cause) for cause in causes]},
        )  # fmt: skip
        newest, before, _ = changes.page(Tx(conn, organization_id), [contact_id], None, 10)
    assert before.details == details
    assert newest.details == {"x": Detail("a", "b", causes[0].hex)}


def test_a_new_contact_of_two_sources_names_both_envelopes_as_causes(engine):
    younger = statements_of("a", a_profile("1", email=EMAILS[0], created=1), number=1)
    older = statements_of("b", a_profile("1", email=EMAILS[0], created=0, first_name="Ayu"), number=2)
    run(engine, [younger, older])

    with engine.connect() as conn:
        ids_ = dict(conn.execute(text("SELECT source, id FROM records")).all())
        assert conn.execute(text("SELECT id, first_id FROM contacts")).one() == (ids_["a"], min(ids_.values()))
        organization_id = organizations.find(conn, "default")
        (entry,) = changes.page(Tx(conn, organization_id), [ids_["a"]], None, 10)
        causes = conn.execute(text("SELECT causes FROM changes")).scalar_one()
    assert set(causes) == {younger.envelope_id, older.envelope_id}
    assert entry.details["name"] == Detail(None, "Ayu", older.envelope_id.hex)


def test_a_customer_merged_into_one_never_seen_keeps_its_claims(engine):
    events_ = [
        ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0),
        a_profile("2", email=EMAILS[0], at=1),
        ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=2)),
    ]
    run(engine, [statements_of("a", event, minute=5, number=n) for n, event in enumerate(events_)])
    in_one_batch = stored(engine)[0]
    empty(engine)
    for n, event in enumerate(events_):
        run(engine, [statements_of("a", event, minute=5, number=n)])

    assert in_one_batch == stored(engine)[0]
    assert in_one_batch["ties"] == {("email", EMAILS[0], ("a", "2"), CLAIM)}
    assert in_one_batch["lost"] == {}


def test_details_that_were_encoded_before_are_loaded_like_others(engine):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])
    cause, earlier = ids.new(), ids.new()
    written = EncodedDetails.of(
        {"x": (None, "a, b}"), "y": (None, {"z": 1}, earlier.hex), "tags": ([], ["q"], None)}, json_bytes
    )
    with engine.begin() as conn:
        organization_id, contact_id = conn.execute(text("SELECT organization_id, contact_id FROM changes")).one()
        alone = Change(contact_id, "created", {}, (cause,), written)
        joined = Change(contact_id, "created", {"consent:email:marketing": (None, "pending")}, (cause,), written)
        changes.append(Tx(conn, organization_id), [alone, joined])
        newest, before, _ = changes.page(Tx(conn, organization_id), [contact_id], None, 10)

    expected = {
        "x": Detail(None, "a, b}", cause.hex),
        "y": Detail(None, {"z": 1}, earlier.hex),
        "tags": Detail([], ["q"], None),
    }
    assert before.details == expected
    assert newest.details == expected | {"consent:email:marketing": Detail(None, "pending", cause.hex)}
    assert joined.fields() == newest.details.keys()
    assert causes_of([alone]) == causes_of([joined]) == {cause, earlier}


def test_an_envelope_is_linked_to_the_records_that_it_mentions(engine, organization_id):
    statements = statements_of("a", a_profile("1"), a_profile("2"), number=1)
    run(engine, [statements])

    with engine.connect() as conn:
        assert len(envelopes.linked_records(Tx(conn, organization_id), [statements.envelope_id])) == 2
