"""Values that Schemathesis cannot make up from the document alone: it loads this file as its hooks.

They are what JSON Schema has only a name for. Wrong ones it makes itself.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import phonenumbers
import schemathesis
from hypothesis import strategies as st

from worker.api import paging

NUMBERS = sorted(
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in phonenumbers.SUPPORTED_REGIONS
    if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
)
#: of a block of Indonesian mobile numbers
INDONESIAN = st.integers(0, 9_999_999).map(lambda n: f"+62812{n:07d}")
LOCAL_PART = st.text("abcdefghijklmnopqrstuvwxyz0123456789_+-", min_size=1, max_size=30)
DOMAIN = st.from_regex(r"[a-z]([a-z0-9]{0,20}[a-z0-9])?\.example\.com", fullmatch=True)
TIME = st.datetimes(datetime(1970, 1, 3), datetime(2199, 12, 31))  # noqa: DTZ001 - hypothesis wants them without a zone
ZONE = st.integers(-14 * 60, 14 * 60)


def _written(time: datetime, minutes: int) -> str:
    shown = (time.replace(tzinfo=UTC) + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    return shown + (
        "Z" if minutes == 0 else f"{'+' if minutes > 0 else '-'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    )


schemathesis.openapi.format("phone", st.sampled_from(NUMBERS) | INDONESIAN)
schemathesis.openapi.format("email", st.builds("{}@{}".format, LOCAL_PART, DOMAIN))
schemathesis.openapi.format("date-time", st.builds(_written, TIME, st.just(0) | ZONE))
schemathesis.openapi.format("cursor", st.uuids(version=4).map(lambda id_: paging.write(UUID(int=id_.int))))
