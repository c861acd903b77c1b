"""Profile lookup: how long an answer is cached, and for whom."""

from datetime import timedelta
from uuid import uuid4

import pytest

from connectors.channels import telegram
from connectors.channels.contract import (
    ConsentRequiredError,
    Identity,
    NoSuchProfileError,
    Profile,
    TokenRefusedError,
)
from tests.worker.providers.scripted import NOT_FOUND, OK, SITI, a_platform, answering, platform_with
from worker.providers import profile_lookup


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profile_lookup.time, "monotonic", clock)
    return clock


def test_an_answer_is_cached_for_a_minute(channel, clock):
    provider, lookups = answering(OK)
    first = lookups.look_up(channel, telegram, SITI, refresh=False)

    clock.now += 59
    again = lookups.look_up(channel, telegram, SITI, refresh=False)
    clock.now += 2
    later = lookups.look_up(channel, telegram, SITI, refresh=False)

    assert again == first._replace(is_cached=True)
    assert not later.is_cached
    assert len(provider.requests) == 2


def test_refresh_sends_a_new_request(channel, clock):
    provider, lookups = answering(OK)
    lookups.look_up(channel, telegram, SITI, refresh=False)

    assert not lookups.look_up(channel, telegram, SITI, refresh=True).is_cached
    assert len(provider.requests) == 2


def test_refresh_does_not_overrule_the_platform(channel, clock):
    careful = a_platform(ASK_AGAIN_AFTER=timedelta(hours=12))
    provider, lookups = answering(OK)
    lookups.look_up(channel, careful, SITI, refresh=False)

    clock.now += 12 * 3600 - 1
    assert lookups.look_up(channel, careful, SITI, refresh=True).is_cached
    assert lookups.look_up(channel, careful, SITI, refresh=False).is_cached
    clock.now += 2
    assert not lookups.look_up(channel, careful, SITI, refresh=False).is_cached

    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [(NOT_FOUND, NoSuchProfileError), ((403, {"description": "Forbidden"}), ConsentRequiredError)],
)
def test_a_missing_profile_is_cached_briefly(channel, clock, answer, error):
    provider, lookups = answering(answer, OK)
    for later in (0, 9):
        clock.now += later
        with pytest.raises(error):
            lookups.look_up(channel, telegram, SITI, refresh=False)
    assert len(provider.requests) == 1

    clock.now += 2
    assert lookups.look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"


def test_a_missing_profile_is_cached_as_long_as_a_careful_platform_demands(channel, clock):
    careful = a_platform(ASK_AGAIN_AFTER=timedelta(hours=12))
    provider, lookups = answering(NOT_FOUND)
    for later in (0, 3600):
        clock.now += later
        with pytest.raises(NoSuchProfileError):
            lookups.look_up(channel, careful, SITI, refresh=True)

    assert len(provider.requests) == 1


def test_a_failure_is_not_cached(channel):
    _, lookups = answering((401, {}), OK)
    with pytest.raises(TokenRefusedError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert lookups.look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"


def test_channels_do_not_share_cached_answers(channel):
    provider, lookups = answering(OK)
    lookups.look_up(channel, telegram, SITI, refresh=False)
    channel.id = uuid4()

    assert not lookups.look_up(channel, telegram, SITI, refresh=False).is_cached
    assert len(provider.requests) == 2


def test_the_cache_has_a_limit(channel, monkeypatch):
    monkeypatch.setattr(profile_lookup, "_MAX_CACHED", 3)
    _, lookups = answering(OK)
    for number in range(5):
        lookups.look_up(
            channel, platform_with(Profile(id="1")), Identity(type="telegram", value=str(number)), refresh=False
        )

    kept = [value for _, _, value in lookups._cache]

    assert kept == ["2", "3", "4"]
