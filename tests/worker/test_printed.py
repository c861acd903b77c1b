"""Printed: who prints in a process of ours makes a line that says where, and quotes nobody."""

import io
import sys
import traceback

import pytest

from worker import printed

MARK = "ayu.lestari@example.com"


@pytest.fixture
def take_over(monkeypatch):
    """Take stdout and stderr over when called, because pytest changes them after a fixture; return what is told."""

    def take_over():
        found = []
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.StringIO())
        printed.take_over(lambda *line: found.append(line))
        printed.take_over(lambda *_: pytest.fail("taken over twice"))
        return found

    return take_over


def test_a_print_is_told_with_its_place(take_over):
    told = take_over()

    print(MARK, MARK, sep="\n")  # noqa: T201 - it is what is tested

    [(stream, place, _, text)] = told
    assert stream == "stdout"
    assert place.startswith(f"{__file__}:")
    assert text is None


def test_a_traceback_is_one_line_with_the_place_that_printed_it(take_over):
    told = take_over()

    try:
        raise ValueError(MARK)  # noqa: TRY301 - for its traceback
    except ValueError:
        traceback.print_exc()

    [(stream, place, _, text)] = told
    assert stream == "stderr"
    assert place.startswith(f"{__file__}:")
    assert text is None


def test_what_the_parser_of_a_command_line_says_is_shown(take_over):
    told = take_over()

    say = {"__name__": "click.exceptions"}
    exec("def say(): print('No such option:  --bogus')", say)

    say["say"]()

    assert told[0][3] == "No such option: --bogus"


def test_a_blank_line_is_nothing(take_over):
    told = take_over()

    print()  # noqa: T201 - as above

    assert told == []


def test_the_real_stream_stays_behind(take_over):
    take_over()

    real = printed.behind(sys.stdout)

    assert isinstance(real, io.StringIO)
    assert printed.behind(real) is real
    assert real.getvalue() == ""
