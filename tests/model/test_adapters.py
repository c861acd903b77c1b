"""What the product reads from the model's history is what the model meant."""

from hypothesis import given, settings

from tests.model.adapters import minute_of, statements_of, time_of
from tests.model.history import Envelope, guest_id
from tests.model.model import World
from tests.model.stories import E1, P1, S, api_consent, delete, edit, guest, no, removed, seen, story
from tests.model.strategies import histories
from worker.domain.statements import RemovalStatement


def one(*says, sent=10):
    return statements_of(Envelope("e001", 10, sent, says))


def test_a_profile_claims_the_models_values():
    statements = one(seen(S, "1", E1, P1, "Ayu", t=5, verified=True))

    (profile,) = statements.records[S, "1"]
    assert profile.registers["@email"] == ("email", E1, E1, True)
    assert profile.registers["@phone"] == ("phone", P1, P1, False)
    assert profile.registers["name"] == "Ayu"
    assert minute_of(profile.stamp.occurred) == 5


def test_absent_is_not_empty():
    (profile,) = one(seen(S, "1", email=None)).records[S, "1"]

    assert profile.registers["@email"] is None
    assert "@phone" not in profile.registers


def test_a_guest_has_the_id_that_the_model_gives_it():
    statements = one(guest(S, 5, E1, P1))

    assert list(statements.records) == [(S, guest_id(E1, P1))]


def test_a_consent_through_the_api_counts_from_the_request_unless_it_has_a_time():
    now, then = (one(api_consent("opted_in", (S, "1"), t=t)).consents[0] for t in (None, 5))

    assert (minute_of(now.occurred), minute_of(then.occurred)) == (10, 5)
    assert now.ref == ("api", "edit:shopify:1")


def test_a_delete_removes_the_frozen_records():
    statements = one(delete((S, "1"), ("api", "edit:shopify:1")))

    assert all(type(about[0]) is RemovalStatement for about in statements.records.values())
    assert set(statements.records) == {(S, "1"), ("api", "edit:shopify:1")}


def test_a_replay_is_the_same_envelope():
    assert one(seen(S, "1", E1)).envelope_id == one(seen(S, "1", E1)).envelope_id


def test_times_come_back():
    assert [minute_of(time_of(minute)) for minute in (None, 0, 1, 600)] == [None, 0, 1, 600]


@given(histories())
@settings(max_examples=50, deadline=None)
def test_product_and_model_name_the_same_records_and_decisions(envelopes):
    world = World(envelopes)
    statements = [statements_of(envelope) for envelope in envelopes]

    named = {ref for one in statements for ref in one.records}
    frozen = {ref for envelope in envelopes for saying in envelope.says for ref in getattr(saying, "records", ())}
    assert named | frozen == set(world.records)
    stated = [decision for one in statements for decision in one.decisions if decision.kind != "about"]
    pairs = {(decision.a, decision.b) for decision in stated}
    assert pairs == {(decision.a, decision.b) for decision in world.decisions}


def test_envelopes_of_a_source_bear_its_name():
    assert [statements_of(e).source for e in story(no(S, "1", E1), removed(S, "1"), edit((S, "1")))] == [S, S, "api"]
