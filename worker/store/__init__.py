"""Every SQL statement, one module per table.

A function takes a connection or a ``Tx`` and never commits. Its verb says what it does to the table: ``insert_new`` (a
conflict raises), ``ensure`` (may be repeated), ``append`` (``ensure`` of an immutable row of a ledger), ``update``,
``delete``, ``withdraw`` (``delete`` what envelopes stated, before a replay states it anew), ``lease``, ``settle``,
``postpone``, ``park``. A name without a verb loads: ``by_ids``, ``page``, ``count``.
"""
