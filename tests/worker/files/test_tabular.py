"""Tabular: the first 64 KB of a file decide its format, and a bad row does not affect other rows."""

import csv
import gzip
import io
import json
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ConfigError
from worker.files.csv_rows import MAX_ROW
from worker.files.formula_guard import guard
from worker.files.tabular import SAMPLE, open_table, read_table

MANY = SAMPLE // 10  #: a number of lines; twice as many lines of six bytes are longer than the sample


def table(content, **options):
    raw = content if isinstance(content, bytes) else content.encode()
    return read_table(io.BytesIO(raw), **options)


def rows(content, **options):
    return list(table(content, **options).rows())


def values(content, **options):
    found = rows(content, **options)
    assert [row.error for row in found] == [None] * len(found)
    return [row.values for row in found]


def errors(content):
    return [(row.number, row.error) for row in rows(content) if row.error is not None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_delimiter_and_the_line_ends_are_detected(delimiter, end):
    lines = [["E-Mail", "Name, first", "Note"], ["ayu@example.com", "Ayu, Lestari", "a;b|c"]]
    content = end.join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)

    assert values(content) == [{"E-Mail": "ayu@example.com", "Name, first": "Ayu, Lestari", "Note": "a;b|c"}]


def test_the_delimiter_is_the_character_that_gives_most_rows_the_same_number_of_cells():
    assert values("Name;Note\nAyu;a, b, c\nBudi;d, e") == [
        {"Name": "Ayu", "Note": "a, b, c"},
        {"Name": "Budi", "Note": "d, e"},
    ]
    assert values("a|b, c|d\n1|2|3")[0].keys() == {"a", "b, c", "d"}


def test_a_file_may_have_a_single_column():
    assert values("Email\nayu@example.com\n") == [{"Email": "ayu@example.com"}]


def test_excel_s_sep_line_is_skipped_but_counted():
    (row,) = rows("sep=;\nEmail;Name\nayu@example.com;Ayu\n")

    assert row == (3, {"Email": "ayu@example.com", "Name": "Ayu"}, None, "ayu@example.com;Ayu")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_the_encoding_is_detected_by_the_byte_order_mark_or_by_the_bytes(encoding):
    opened = table("Name,Prénom\nMüller,José\n".encode(encoding))

    assert opened.columns == ["Name", "Prénom"]
    assert [row.values for row in opened.rows()] == [{"Name": "Müller", "Prénom": "José"}]
    assert opened.notes == (["the file is not UTF-8; it was read as Windows-1252"] if encoding == "cp1252" else [])


def test_big_endian_utf_16_is_read():
    assert values("\ufeffName\nJosé".encode("utf-16-be")) == [{"Name": "José"}]


@pytest.mark.parametrize("later", ["José", "日本"])
def test_the_first_line_outside_ascii_decides_even_beyond_the_sample(later):
    plain = "Name\n" + "plain\n" * MANY * 2

    assert values((plain + later).encode())[-1] == {"Name": later}


def test_windows_1252_beyond_the_sample_is_noted_while_reading():
    opened = table(("Name\n" + "plain\n" * MANY * 2 + "José\n").encode("cp1252"))
    assert opened.notes == []

    assert list(opened.rows())[-1].values == {"Name": "José"}
    assert len(opened.notes) == 1


def test_one_bad_byte_rejects_its_row_and_does_not_change_how_the_rest_is_read():
    content = "Name\nJosé\n".encode() + b"Mar\xeda\n" + "Zoë\n".encode()

    assert [row.values for row in rows(content)] == [{"Name": "José"}, None, {"Name": "Zoë"}]
    assert errors(content) == [(3, "this line is not UTF-8, but the rest of the file is")]
    assert errors(b"Name\n" + 10 * b"Jos\xe9\n" + b"\x81\n") == [(12, "this line is neither UTF-8 nor Windows-1252")]


def test_a_character_that_the_end_of_the_sample_cuts_is_whole_in_its_row():
    content = ("Name\n" + "x" * (SAMPLE - 6) + "é\n" + "José\n").encode()

    opened = table(content)

    assert [row.values["Name"][-1] for row in opened.rows()] == ["é", "é"]
    assert opened.notes == []


def test_cells_may_hold_quotes_and_line_breaks_and_every_row_has_its_line_number():
    content = 'Id,Note\r\n1,"says ""hi"", twice\r\non two lines"\r\n\r\n2,5" pipe\r\n'

    assert rows(content) == [
        (2, {"Id": "1", "Note": 'says "hi", twice\r\non two lines'}, None, '1,"says ""hi"", twice\r\non two lines"'),
        (5, {"Id": "2", "Note": '5" pipe'}, None, '2,5" pipe'),
    ]


def test_a_file_may_have_two_hundred_columns():
    names = [f"column number {n}" for n in range(200)]
    content = ";".join(names) + "\n" + ";".join(map(str, range(200)))

    assert values(content) == [dict(zip(names, map(str, range(200)), strict=True))]


def test_rows_with_too_many_or_too_few_cells_are_rejected_as_they_were():
    content = "Id,Name\n1,Ayu,Lestari\n2\n3,Budi\n"

    assert rows(content) == [
        (2, None, "3 cells, where the header has 2", "1,Ayu,Lestari"),
        (3, None, "1 cells, where the header has 2", "2"),
        (4, {"Id": "3", "Name": "Budi"}, None, "3,Budi"),
    ]


def test_a_quote_that_is_not_closed_costs_its_row():
    content = 'Id,Name\n1,"Ayu\n2,"Budi"\n3,Citra\n4,"Dewi\n'

    assert [(row.number, row.error, row.raw) for row in rows(content)] == [
        (2, "a quote is not closed, or closed in the middle of a cell", '1,"Ayu'),
        (3, None, '2,"Budi"'),
        (4, None, "3,Citra"),
        (5, "a quote is not closed, or closed in the middle of a cell", '4,"Dewi'),
    ]


def test_a_row_of_a_megabyte_is_rejected_whether_of_one_line_or_of_many():
    one_line = rows("Id,Name\n1," + "x" * MAX_ROW + "\n2,Budi\n")
    many_lines = rows('Id,Name\n1,"' + ("x" * 999 + "\n") * 1001 + '"\n2,Budi\n3,"Citra"\n4,Dewi\n')

    assert [row[:3] for row in one_line] == [
        (2, None, f"the line is longer than {MAX_ROW:,} characters"),
        (3, {"Id": "2", "Name": "Budi"}, None),
    ]
    # The reader cannot know where the cell ended, so it goes on at the next line.
    too_long = f"longer than {MAX_ROW:,} characters or 2,000 lines, or a quote is not closed"
    assert many_lines[0][:3] == (2, None, too_long)
    assert many_lines[-1].values == {"Id": "4", "Name": "Dewi"}
    assert all(len(row.raw) <= MAX_ROW + 1000 for row in one_line + many_lines)


def test_a_cell_of_nearly_a_megabyte_is_read():
    assert values("Id,Name\n1," + "x" * (MAX_ROW - 10))[0]["Name"] == "x" * (MAX_ROW - 10)


def test_the_apostrophe_of_our_exports_is_taken_off_unless_the_file_is_raw():
    content = "Phone,Name\n'+6281273509101,'t Hooft\n"

    assert values(content) == [{"Phone": "+6281273509101", "Name": "'t Hooft"}]
    assert values(content, unguards=False) == [{"Phone": "'+6281273509101", "Name": "'t Hooft"}]


def test_json_lines_are_read_and_bad_ones_rejected_with_their_number():
    content = '{"id": 1, "a": {"b": "é"}}\n\nno JSON\n[1]\n{"id": 2, "id": 3}\n{"id": 4}\r\n{"id": 5, "na'

    assert [(row.number, row.values) for row in rows(content)] == [
        (1, {"id": 1, "a": {"b": "é"}}),
        (3, None),
        (4, None),
        (5, None),
        (6, {"id": 4}),
        (7, None),
    ]
    assert errors(content) == [
        (3, "the line is not JSON: see column 1"),
        (4, "the line: expected an object, got a list"),
        (5, "the line has a key twice in one object"),
        (7, "the line is not JSON: see column 11"),
    ]


def test_a_json_line_of_a_megabyte_is_rejected():
    content = '{"id": 1, "note": "' + "x" * MAX_ROW + '"}\n{"id": 2}\n'

    assert errors(content) == [(1, f"the line is longer than {MAX_ROW:,} characters")]
    assert rows(content)[-1].values == {"id": 2}


def test_the_columns_of_json_lines_are_the_keys_of_the_first_rows_inner_keys_too():
    opened = table('{"id": 1, "address": {"city": "Bandung"}}\n{"id": 2, "name": "Budi"}\n')

    assert (opened.format, opened.columns) == ("jsonl", ["id", "address", "address.city", "name"])


def test_a_gzipped_file_is_unpacked_and_a_damaged_one_refused(tmp_path):
    whole = gzip.compress("\n".join(["Id,Name", *(f"{n},{n * 7919 % 104729}" for n in range(MANY * 4))]).encode())
    path = tmp_path / "customers.csv.gz"
    path.write_bytes(whole)

    with open_table(path) as opened:
        assert sum(1 for _ in opened.rows()) == MANY * 4

    path.write_bytes(whole[: len(whole) // 2])
    with open_table(path) as opened, pytest.raises(ConfigError, match="cut off or damaged after line"):
        list(opened.rows())
    path.write_bytes(whole[:50])
    with pytest.raises(ConfigError, match="cut off or damaged"), open_table(path):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n  \n", "empty"),
        (b"PK\x03\x04\x14\0", "save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "save it as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not text"),
        ("Name\nAyu".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b'[{"id": 1}]', "one object a line"),
        (b"sep=;\n", "no header"),
        (b"ayu@example.com,Ayu\nbudi@example.com,Budi\n", "looks like a row"),
        (b"Ayu,+62 812-7350-9101\n", "looks like a row"),
        (b"Id,Name\n".join([b"x" * SAMPLE, b""]), "does not end"),
        (b'Id,"Na"me\n1,2\n', "header cannot be read"),
    ],
)
def test_a_file_without_rows_to_read_is_refused_with_what_to_do(content, reason):
    with pytest.raises(ConfigError, match=reason):
        rows(content)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"), open_table(tmp_path / "none.csv"):
        pass
    with pytest.raises(ConfigError, match="cannot be read"), open_table(tmp_path):
        pass


def test_a_column_without_a_name_is_named_by_its_place():
    assert values("Id,,Name,\n1,2,3,4\n") == [{"Id": "1", "column 2": "2", "Name": "3", "column 4": "4"}]


def test_the_sample_has_whole_rows_only_and_all_rows_are_still_read():
    opened = table("Id,Name\n" + "".join(f"{n},{'x' * 1000}\n" for n in range(100)))

    assert 30 < len(opened.sample) < 66
    assert {len(row["Name"]) for row in opened.sample} == {1000}
    assert sum(1 for _ in opened.rows()) == 100


class GeneratedStream(io.RawIOBase):
    """A stream of a head and then many times the same line, which it generates while somebody reads it."""

    def __init__(self, head, line, size):
        self._next, self._block, self._left = head, line * (SAMPLE // len(line)), size

    def readable(self):
        return True

    def readinto(self, buffer):
        taken = self._next[: min(len(buffer), self._left)]
        self._next = self._next[len(taken) :] or self._block
        self._left -= len(taken)
        buffer[: len(taken)] = taken
        return len(taken)


@pytest.mark.parametrize(
    ("head", "line"),
    [(b"Id,Name,Note\n", b'4711,"Ayu","one\ntwo"\n'), (b'{"id": 0}\n', b'{"id": 4711, "name": "Ayu"}\n')],
)
def test_memory_does_not_grow_with_the_file(head, line):
    opened = read_table(io.BufferedReader(GeneratedStream(head, line, 6_000_000), SAMPLE))
    remaining = opened.rows()
    list(islice(remaining, 100))
    tracemalloc.start()
    try:
        count = sum(1 for _ in islice(remaining, 10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 10_000
    assert peak < 2_000_000
    assert sum(1 for _ in remaining) > 150_000


def test_memory_does_not_grow_with_a_line_that_never_ends():
    opened = read_table(io.BufferedReader(GeneratedStream(b"Id,Name\n", b"x", 20_000_000), SAMPLE))
    tracemalloc.start()
    try:
        (row,) = opened.rows()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "longer" in row.error
    assert peak < 8_000_000


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["=1+1", "'=1", "''+6281", "+6281273509101", "-5", "@x", "'t", "'", "\t", "\r", '"', "a,b;c|d", "a\r\nb", " "]
)


@given(
    written=st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), max_size=5)),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_rows_that_were_written_as_csv_are_read_without_loss(written, delimiter, encoding):
    names = [f"c{n}" for n in range(len(written[0]) if written else 1)]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *([guard(cell) for cell in line] for line in written)])

    assert values(stream.getvalue().encode(encoding)) == [dict(zip(names, line, strict=True)) for line in written]


@given(st.lists(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-99, 99) | st.text()), min_size=1))
def test_rows_that_were_written_as_json_lines_are_read_without_loss(written):
    content = "\n".join(json.dumps(line, ensure_ascii=True) for line in written)

    assert values(content) == written


@given(st.binary(max_size=300) | st.text(alphabet="a,;\t|\"'\n\r=+é{}[]: 1", max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_a_reason(content):
    try:
        found = rows(content)
    except ConfigError:
        return
    for row in found:
        assert (row.values is None) != (row.error is None)
        assert row.number >= 1
