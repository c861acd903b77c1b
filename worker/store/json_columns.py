"""Columns of type ``json``: documents that are read whole, kept as they were written."""


def document(column: str) -> str:
    """Write the cast of a ``json`` column of ``rows_of``.

    ``jsonb`` refuses NUL, ``json`` does not: it would surface later, where the value goes into a column of its own, and
    harm whoever is worked off then. So what may have one (or an escaped backslash before these letters) is looked into.
    """
    return f"CASE WHEN strpos({column}, '\\u0000') = 0 THEN {column}::json ELSE {column}::jsonb::json END"
