"""The change log: who asked for a change stands in a mark of the envelope, never in a header from outside."""

from uuid import uuid4

import pytest

from worker.domain.changes import Change
from worker.store import changes, connections, envelopes

ACTOR = '[["actor","key_1"]]'


@pytest.mark.parametrize(
    ("is_of_api", "columns", "actor"),
    [
        (True, {"marks": ACTOR}, "key_1"),
        (True, {"headers": ACTOR}, "key_1"),  # kept by an earlier release
        (False, {"headers": ACTOR}, None),
        (False, {"headers": '[["Actor","key_1"]]'}, None),
        (False, {"marks": '[["read-not-before","2026-10-01T12:00:00+00:00"]]'}, None),
    ],
)
def test_an_actor_is_who_used_the_api(tx, an_envelope, is_of_api, columns, actor):
    connection_id = connections.of_api(tx) if is_of_api else an_envelope().connection_id
    envelope = an_envelope()._replace(connection_id=connection_id, **columns)
    envelopes.keep(tx.conn, [envelope])
    contact_id = uuid4()
    changes.append(tx, [Change(contact_id, "changed", {}, [envelope.id])])

    (row,) = changes.page(tx, [contact_id], None, 10)

    assert [cause.actor for cause in row.causes] == [actor]
