"""Times: microseconds since 1970 and back."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime | None) -> int:
    """Return a time as microseconds since 1970; 0 for none."""
    if at is None:
        return 0
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # a division would take twice as long


def moment(at: int) -> datetime | None:
    """Return microseconds since 1970 as a time; None for 0."""
    return None if at == 0 else EPOCH + timedelta(microseconds=at)
