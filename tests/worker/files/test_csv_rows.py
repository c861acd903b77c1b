"""CSV rows: one broken row costs one row."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.files.tabular import read_table

HEADER = "id,email,note,consent\n"


def people(n, start=1):
    return "".join(f"{number},p{number}@example.com,,yes\n" for number in range(start, start + n))


def read(content):
    rows = list(read_table(io.BytesIO(content.encode())).rows())
    return [row.values["id"] for row in rows if row.values], [(row.number, row.error) for row in rows if row.error]


def test_a_stray_quote_costs_its_row_and_no_other():
    good, bad = read(HEADER + people(4) + '5,"p5@example.com,,yes\n' + people(35, 6))

    assert good == [str(number) for number in range(1, 41) if number != 5]
    assert [number for number, _ in bad] == [6]
    assert "quote" in bad[0][1]


@pytest.mark.parametrize("broken", ['5,p5@example.com,"a "b" c",yes\n', '5,"p5"@example.com,,yes\n', '5,"""p5@,,yes\n'])
def test_a_quote_in_the_middle_of_a_cell_costs_its_row(broken):
    good, bad = read(HEADER + people(4) + broken + people(5, 6))

    assert (len(good), len(bad)) == (9, 1)


def test_every_second_row_may_be_broken():
    broken = "".join(f'{number},"p{number}@example.com,,yes\n' + people(1, 1000 + number) for number in range(300))

    good, bad = read(HEADER + people(10) + broken)

    assert (len(good), len(bad)) == (310, 300)


def test_a_cell_of_many_lines_is_one_cell():
    note = '"Dear all,\nit is late, and\n\n""they"" said: no, yes"'

    assert read(HEADER + people(3) + f"4,p4@example.com,{note},yes\n" + people(3, 5)) == (list("1234567"), [])


def test_a_cell_whose_lines_look_like_rows_is_not_swallowed():
    good, bad = read(HEADER + people(3) + f'4,p4@example.com,"a note\n{people(2, 5)}end",yes\n' + people(2, 7))

    assert {"5", "6", "7", "8"} <= set(good)
    assert bad[0][0] == 5
    assert "4" not in good


def test_cells_at_the_end_may_be_empty_or_missing():
    content = HEADER + people(3) + "4,p4@example.com,,yes,,,\n5,p5@example.com\n6,p6@example.com,hello\n" + people(1, 7)

    assert read(content) == (list("1234567"), [])


@pytest.mark.parametrize("short", ["4,no\n", "total: 3\n", "p4@example.com,yes\n"])
def test_a_short_row_whose_cells_are_not_where_they_belong_is_rejected(short):
    good, bad = read(HEADER + people(3) + short + people(1, 5))

    assert good == list("1235")
    assert len(bad) == 1


def test_a_row_that_a_line_break_has_cut_in_two_is_rejected():
    good, bad = read(HEADER + people(3) + "4,p4@example.com,called\nher,no\n" + people(1, 5))

    assert good == list("1235")
    assert [number for number, _ in bad] == [5, 6]


def test_a_row_where_the_file_was_cut_off_is_rejected():
    assert read(HEADER + people(3) + "4,p4@example.com,cal")[1] == [(5, "3 cells, where the header has 4")]


def test_guards_of_spreadsheets_come_off():
    table = read_table(io.BytesIO(b'id,email\n="000123","=""a@example.com"""\n'))

    assert [row.values for row in table.rows()] == [{"id": "000123", "email": "a@example.com"}]


def test_columns_of_one_name_are_mapped_by_their_places():
    table = read_table(io.BytesIO(b"Email,Name,Email\na@example.com,Ayu,b@example.com\n"))

    assert table.columns == ["column 1", "Name", "column 3"]
    assert [row.values["column 3"] for row in table.rows()] == ["b@example.com"]
    assert table.notes == ["two columns are called Email: map column 1 or column 3"]


@given(st.lists(st.text(alphabet='a1,"\n\r;@. ', max_size=12), max_size=20))
def test_no_text_breaks_the_reader_and_rows_keep_their_order(lines):
    rows = list(read_table(io.BytesIO((HEADER + people(2) + "\n".join(lines)).encode())).rows())

    numbers = [row.number for row in rows]
    assert numbers == sorted(numbers)
    assert [row.values["id"] for row in rows[:2] if row.values] == ["1", "2"]
