"""The suppression ledger: a statement is one row, however often it is made."""

from uuid import uuid4

import pytest

from worker.domain.statements import SuppressionStatement
from worker.store import suppressions

BOUNCE = SuppressionStatement(
    channel="email",
    address="emma@example.com",
    scope="all",
    reason="bounce",
    is_lift=False,
    occurred=1,
    expires_at=None,
    ref=("shop", "1"),
)


def test_a_repeated_statement_changes_nothing(tx):
    for _ in range(2):
        suppressions.append(tx, [(BOUNCE, uuid4()), (BOUNCE, uuid4())])

    (entry,) = suppressions.by_addresses(tx, [BOUNCE.address])
    assert (entry.reason, entry.ref, entry.occurred) == ("bounce", ("shop", "1"), 1)


@pytest.mark.parametrize("other", [{"occurred": 2}, {"ref": ("shop", "2")}, {"is_lift": True}, {"note": "by phone"}])
def test_a_statement_with_any_other_content_is_a_row_of_its_own(tx, other):
    suppressions.append(tx, [(BOUNCE, uuid4()), (BOUNCE._replace(**other), uuid4())])

    assert len(suppressions.by_addresses(tx, [BOUNCE.address])) == 2


def test_a_statement_without_origin_and_note_keeps_the_key_of_early_releases():
    assert suppressions.key_of(BOUNCE).hex() == "a96e4c327b1e57da54d813b5e63193f4"


def test_a_replay_withdraws_the_statements_of_its_envelope_only(tx):
    replayed, other = uuid4(), uuid4()
    suppressions.append(tx, [(BOUNCE, replayed), (BOUNCE._replace(occurred=2), other)])

    suppressions.withdraw(tx, [replayed])

    assert [entry.envelope_id for entry in suppressions.by_addresses(tx, [BOUNCE.address])] == [other]
