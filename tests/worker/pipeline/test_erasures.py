"""Erasures in histories: what comes of them depends on no order and no batch, and is what a naive model says."""

import copy
import os
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.contract import ErasureRequested, Identifier
from tests.conftest import empty
from tests.worker.histories import EMAILS, PHONES, T0, events, histories, statements_of
from tests.worker.pipeline.test_apply import resolved_at_once, run, stored
from worker import settings as worker_settings
from worker.domain.grouping import Limits
from worker.domain.statements import ProfileStatement, RemovalStatement
from worker.files import export_json
from worker.privacy import shops
from worker.store import db, organizations
from worker.store.db import Tx

EXAMPLES = int(os.environ.get("ERASURE_HISTORIES", "25"))
PHASES = [phase for phase in Phase if phase is not Phase.shrink]  # a failure takes long to shrink
LIMITS = Limits(worker_settings.settings().crowd_limit, worker_settings.settings().component_limit)


@st.composite
def redacts(draw, number):
    """Draw a request to forget a customer, with some of the addresses, or a whole source."""
    minute = draw(st.integers(0, 4))
    identifiers = [
        Identifier(type="email", value=email) for email in draw(st.sets(st.sampled_from(EMAILS), max_size=1))
    ]
    identifiers += [
        Identifier(type="phone", value=phone) for phone in draw(st.sets(st.sampled_from(PHONES), max_size=1))
    ]
    is_shop = draw(st.integers(0, 3)) == 0
    event = ErasureRequested(
        subject="shop" if is_shop else "customer",
        external_id=None if is_shop else draw(st.sampled_from(["1", "2", "3"])),
        identifiers=() if is_shop else tuple(identifiers),
        occurred_at=T0 + timedelta(minutes=minute),
    )
    return statements_of(draw(st.sampled_from("abc")), event, minute=5, number=number)


def model(history):
    """Return the records that live: those seen after everything that removed them. Edits are left out."""
    seen, gone = {}, {}
    for stated in history:
        for ref, about in stated.records.items():
            for one in about:
                times = gone if isinstance(one, RemovalStatement) else seen
                if times is gone or (isinstance(one, ProfileStatement) and one.exists):
                    times[ref] = max(one.stamp, times.get(ref, one.stamp))
    for stated in history:
        if stated.shop_erased is not None:
            for ref in seen:
                if ref[0] == stated.source:
                    gone[ref] = max(stated.shop_erased, gone.get(ref, stated.shop_erased))
    return {ref for ref, at in seen.items() if "edit:" not in ref[1] and (ref not in gone or at > gone[ref])}


def outcome(engine, history, rng):
    """Apply a history in some order and batches; return what is stored, and the canonical export."""
    empty(engine)
    left = copy.deepcopy(rng.sample(history, len(history)))
    while left:
        size = rng.randint(1, 4)
        run(engine, left[:size])
        left = left[size:]
    shops.sweep(engine, budget_s=60)
    found, (rows, decided) = stored(engine)
    assert {name: found[name] for name in ("groups", "owners", "ties")} == {
        name: value
        for name, value in resolved_at_once(rows, decided, LIMITS).items()
        if name in ("groups", "owners", "ties")
    }
    with db.snapshot(engine) as conn:
        exported = b"".join(export_json.canonical(Tx(conn, organizations.find(conn, "default"))))
    lives = {row.ref for row in rows if row.record.is_live and row.record.kind != "edit"}
    return found, exported, lives


@given(histories(events, redacts), st.randoms(use_true_random=False))
@settings(
    max_examples=EXAMPLES, phases=PHASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_does_not_matter_and_who_lives_was_seen_after_the_request(engine, history, rng):
    expected = model(history)

    outcomes = [outcome(engine, history, rng) for _ in range(3)]

    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][2] == expected
