"""A messaging platform that gives the answers that a test lists, and lookups that use this platform."""

import json
from types import SimpleNamespace

import httpx

from connectors.channels import telegram
from connectors.channels.contract import (
    Identity,
)
from worker.providers.profile_lookup import Lookups

TOKEN = "700100:AAH_invented-by-a-test"
SITI = Identity(type="telegram", value="5550001111")
CHAT = {"id": 5550001111, "type": "private", "first_name": "Siti"}
OK = (200, {"ok": True, "result": CHAT})
NOT_FOUND = (400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"})


def limited(seconds):
    return (429, {"ok": False, "error_code": 429, "parameters": {"retry_after": seconds}})


class Provider:
    """A transport that gives its answers one after the other, and repeats the last."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return answer_of(*answer)


def answer_of(status, body, **headers):
    """Return an answer whose body has not been read yet."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(json.dumps(body).encode()))


def answering(*answers, **limits):
    provider = Provider(*answers)
    return provider, Lookups(httpx.MockTransport(provider), **limits)


def a_platform(**other):
    """Return the platform Telegram with some of its attributes replaced."""
    return SimpleNamespace(**{**vars(telegram), **other})


def platform_with(profile):
    """Return a platform that finds this profile in every answer."""
    return a_platform(read=lambda *_answer: profile)
