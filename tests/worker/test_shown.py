"""Shown: a terminal shows the text of others as one short line. Markup and control codes in it do nothing."""

import io

import pytest
from rich.console import Console

from worker import status
from worker.commands import context
from worker.shown import cell, plain

HOSTILE = (
    "[/b]",
    "[red]red",
    "[link=https://evil.example]here[/link]",
    "\x1b[2J\x1b]0;title\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x9b31m",
    "a\rb\nc\td\x00",
    "\u202egnp.exe\u2066",
    "\ud800",
    "\u2028line",
    "x" * 100_000,
    "[" * 5_000,
)
UNSEEN = "\x1b\x9b\x07\x00\r\u202e\u2066\ud800\u2028"


def printed(show):
    stream = io.StringIO()
    show(Console(file=stream, width=100_000))
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_one_line_of_characters_that_are_seen(text):
    shown = plain(text)

    assert not set(shown) & {*UNSEEN, "\n", "\t"}
    assert len(shown) <= 10 * 1_000
    shown.encode()


@pytest.mark.parametrize("text", ["Ayu Lestari", "[b]us", "Łódź", "नमस्ते", "می‌خواهم", "👩‍👧", "a\\b"])
def test_ordinary_text_stays_as_it_is(text):
    assert plain(text) == text
    assert text in printed(lambda console: console.print(cell(text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_status_shows_any_topic_source_and_remark(text):
    row = dict.fromkeys(("connection_id", "connector", "source"), text)
    found = {
        "inbox": dict.fromkeys(("due", "postponed", "parked", "settled", "ignored", "oldest_due_s"), 0)
        | {"ignored_topics": {text: 1}, "noted": {}, "undecided": {text: 2}},
        "contacts": 0,
        "upgrade": None,
        "replica": None,
        "privacy_requests": [row],
        "connections": [row],
    }

    shown = printed(lambda console: status.show(console, found))

    assert not set(shown) & set(UNSEEN)
    assert plain(text)[:20] in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_every_table_of_a_command_shows_any_value_and_any_name(text, capsys):
    context.show(False, [{"name": text, text: 1}])

    shown = capsys.readouterr().out
    assert not set(shown) & set(UNSEEN)
