"""Rejects: the rejected rows of an import are in a file beside it, which is written whole or not at all."""

import csv
import stat

import pytest

from worker.errors import ConfigError
from worker.files.rejects import Rejects


@pytest.fixture
def path(tmp_path):
    return tmp_path / "customers.csv"


def read(rejects):
    with rejects.path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def test_rejected_rows_have_their_line_and_reason_and_only_the_owner_can_read_them(path):
    with Rejects(path) as rejects:
        rejects.add(7, "no e-mail", '1,"two\nlines",José\udcff')

    assert rejects.count == 1
    assert rejects.path.name == "customers.csv.rejects.csv"
    assert read(rejects) == [["line", "reason", "row"], ["7", "no e-mail", '1,"two\nlines",José\\udcff']]
    assert stat.S_IMODE(rejects.path.stat().st_mode) == 0o600


def test_a_formula_in_a_rejected_row_is_guarded(path):
    with Rejects(path) as rejects:
        rejects.add(2, "3 cells", "=cmd(),x")
        rejects.add(3, "=odd", "x,=1")

    assert read(rejects)[1:] == [["2", "3 cells", "'=cmd(),x"], ["3", "'=odd", "x,'=1"]]


def test_without_rejects_no_file_is_written_and_an_earlier_file_is_deleted(path):
    with Rejects(path) as rejects:
        pass
    assert list(path.parent.iterdir()) == []

    rejects.path.write_text("earlier")
    with Rejects(path):
        pass
    assert not rejects.path.exists()


def test_an_earlier_file_is_replaced_only_when_the_import_ends_well(path):
    rejects = Rejects(path)
    rejects.path.write_text("earlier")

    def interrupted():
        with rejects:
            rejects.add(1, "reason", "row")
            assert rejects.path.read_text() == "earlier"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert rejects.path.read_text() == "earlier"
    assert [p.name for p in path.parent.iterdir()] == [rejects.path.name]

    with Rejects(path) as again:
        again.add(1, "reason", "row")
    assert len(read(again)) == 2
    assert [p.name for p in path.parent.iterdir()] == [rejects.path.name]


def test_a_directory_that_cannot_be_written_is_a_config_error(path):
    with pytest.raises(ConfigError, match="cannot be written"), Rejects(path / "none" / "x.csv") as rejects:
        rejects.add(1, "reason", "row")
