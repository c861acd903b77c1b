"""The operator's page: ours to the last byte, and nothing inline."""

import asyncio
import re

import httpx
import pytest
from starlette.applications import Starlette

from worker import console

PATHS = ("/", "/console.js", "/console.css")


def get(path):
    async def ask():
        transport = httpx.ASGITransport(app=Starlette(routes=console.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", PATHS)
def test_every_file_is_served_under_a_strict_policy(path):
    answer = get(path)

    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere():
    page = get("/").text

    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page)
    assert not re.search(r"https?://", page + get("/console.js").text + get("/console.css").text)
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) <= set(PATHS)


def test_names_of_strangers_are_never_read_as_html():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", get("/console.js").text)
