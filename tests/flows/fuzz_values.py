"""Values that Schemathesis cannot generate from the document alone. It loads this module as its hooks.

They are values of formats that JSON Schema only names, and values that are likely to be stored already. Schemathesis
makes the invalid values itself.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import phonenumbers
import schemathesis
from hypothesis import strategies as st

from worker.api import paging

#: One number of each country, and Ujang's. They are few, so that requests often name a stored number.
NUMBERS = sorted(
    {"+6281234567890"}.union(
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        for region in ("AR", "BR", "DE", "GB", "ID", "IN", "MX", "MY", "PH", "SG", "TH", "US", "VN", "ZA")
        if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
    )
)
LOCAL_PART = st.sampled_from(["ujang", "Ujang", "ayu.lestari", "dewi+shop", "x"]) | st.text("abc019_+-", min_size=1)
DOMAIN = st.sampled_from(["example.com", "EXAMPLE.com", "a.example.com", "xn--bcher-kva.example.com"])
TIME = st.datetimes(datetime(1970, 1, 3), datetime(2199, 12, 30))  # noqa: DTZ001 - hypothesis takes them without a zone
ZONE = st.just(0) | st.integers(-14 * 60, 14 * 60)


def _written(time: datetime, minutes: int) -> str:
    local = (time.replace(tzinfo=UTC) + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    hours, rest = divmod(abs(minutes), 60)
    return local + ("Z" if minutes == 0 else f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}")


schemathesis.openapi.format("phone", st.sampled_from(NUMBERS))
schemathesis.openapi.format("email", st.builds("{}@{}".format, LOCAL_PART, DOMAIN))
schemathesis.openapi.format("date-time", st.builds(_written, TIME, ZONE))
schemathesis.openapi.format("cursor", st.uuids(version=4).map(lambda id_: paging.write(UUID(int=id_.int))))


@schemathesis.hook
def after_call(context, case, response):
    """Note each request, to count the requests of each operation."""
    with Path(os.environ["FUZZ_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(f"{case.operation.label}\n")


@schemathesis.hook
def map_headers(context, headers):
    """Replace most ETags with ``*``, because a generated ETag is never the contact's."""
    given = (headers or {}).get("If-Match")
    return {**headers, "If-Match": "*"} if isinstance(given, str) and len(given) % 4 else headers


@schemathesis.hook
def map_body(context, body):
    """Replace generated phone numbers with numbers that are likely to be stored."""
    if isinstance(body, dict) and isinstance(body.get("identifiers"), list):
        for position, one in enumerate(body["identifiers"]):
            if isinstance(one, dict) and one.get("type") == "phone" and isinstance(one.get("value"), str):
                one["value"] = one["value"] and NUMBERS[(len(one["value"]) + position) % len(NUMBERS)]
    return body
