"""Encodings: a file that is not UTF-8 is read as Western only where nothing else is likely."""

import io

import pytest

from worker.errors import ConfigError
from worker.files.encodings import checked
from worker.files.tabular import read_table

NAMES = {
    "cp1250": "Dvořák",
    "cp1251": "Анна",
    "cp932": "花子",
    "gbk": "王芳",
    "koi8-r": "Анна",
    "iso8859-2": "Łukasz",
}


def read(content, encoding=None):
    table = read_table(io.BytesIO(content), encoding=encoding)
    return [row.values["Name"] if row.values else row.error for row in table.rows()], table.notes


@pytest.mark.parametrize("encoding", NAMES)
def test_an_encoding_that_is_not_the_only_likely_one_is_asked_for(encoding):
    content = f"Name\n{NAMES[encoding]}\n".encode(encoding)

    with pytest.raises(ConfigError, match="--encoding"):
        read(content)
    assert read(content, encoding)[0] == [NAMES[encoding]]


@pytest.mark.parametrize("name", ["Müller", "José", "Zoé", "Gonçalves", "Größe", "créée"])
def test_a_name_that_is_western_whatever_else_is_thought_of_is_read(name):
    names, notes = read(f"Name\n{name}\n".encode("cp1252"))

    assert names == [name]
    assert notes == ["the file is not UTF-8; it was read as Windows-1252"]


def test_lines_of_another_encoding_are_rejected():
    content = "Name\nJosé\n".encode() + "Анна\n".encode("cp1251") + "Zoë\n".encode()

    assert read(content)[0] == ["José", "this line is not UTF-8, but the rest of the file is", "Zoë"]
    assert read("Name\n花子\n".encode("cp932") + b"\x81\n", "cp932")[0][1].startswith("this line is not cp932")


def test_a_line_behind_the_sample_is_asked_about_too():
    names, _ = read(b"Name\n" + b"Ayu\n" * 20_000 + "Анна\n".encode("cp1251"))

    assert "--encoding" in names[-1]


@pytest.mark.parametrize("name", ["no such", "", "base64"])
def test_an_encoding_that_is_none_is_named(name):
    with pytest.raises(ConfigError, match="--encoding"):
        checked(name)
