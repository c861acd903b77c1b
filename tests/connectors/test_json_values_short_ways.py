"""Usual forms are read a short way; the result is that of the long way."""

from collections.abc import Callable
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from connectors import json_values
from connectors.contract import MalformedPayloadError


def outcome_of(read: Callable[..., object], *args: object, **options: object) -> object:
    try:
        return read(*args, **options)
    except (ValueError, MalformedPayloadError) as error:
        return str(error)


@given(st.from_regex(r"0?[0-9x\u0663]{0,3}", fullmatch=True), st.integers(0, 70))
def test_an_id(start: str, more: int):
    written = start + "7" * more

    # White space is stripped, and makes the function take the long way.
    assert outcome_of(json_values.number_id, {"id": written}, "id") == outcome_of(
        json_values.number_id, {"id": f" {written}"}, "id"
    )


odd = st.text(st.sampled_from("0129W+-:. Z\u0663"), max_size=4)


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2120, 1, 1)).map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S"))  # noqa: DTZ001
    | st.from_regex(r"(19|2\d)\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d", fullmatch=True)
    | st.builds("{:4.4}-{:2.2}-{:2.2}T{:2.2}:{:2.2}:{:2.2}".format, odd, odd, odd, odd, odd, odd)
)
def test_a_time(written: str):
    assert outcome_of(json_values.as_utc, f"{written}Z") == outcome_of(json_values.as_utc, f"{written}+00:00")
