"""Lanes: each connection has one, so that one shop's flood does not hold up the others. In Python and in SQL."""

from uuid import UUID

#: a divisor of 256, because SQL takes the lane from the last byte of the id
LANES = 8


def lane_of(connection_id: UUID) -> int:
    """Return the lane of a connection."""
    return connection_id.int % LANES


def lane_sql(column: str) -> str:
    """Return the SQL for the lane of a column with ids of connections."""
    return f"get_byte(uuid_send({column}), 15) % {LANES}"
