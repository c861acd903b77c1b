"""vCard: each person of a file is a row."""

import io

import pytest

from worker.files.tabular import read_table

AYU = """BEGIN:VCARD
VERSION:3.0
UID:4711
N:Lestari;Ayu;;;
FN:Ayu Lestari
EMAIL;TYPE=WORK:ayu.work@example.com
EMAIL;TYPE=HOME,PREF:ayu@example.com
TEL;TYPE=CELL:+62 812 7350 9101
ORG:Kedai;Toko
BDAY:1990-05-06
NOTE:likes tea\\, a lot
END:VCARD
"""
BUDI = """BEGIN:VCARD
VERSION:4.0
FN:Budi
EMAIL;PREF=1:budi@example.com
TEL;VALUE=uri:tel:+62-812-7350-9102
END:VCARD
"""


def rows(content):
    return list(read_table(io.BytesIO(content.encode())).rows())


def test_people_are_rows_with_all_their_addresses():
    ayu, budi = rows(AYU + BUDI)

    assert ayu.values == {
        "uid": "4711",
        "name": "Ayu Lestari",
        "first_name": "Ayu",
        "last_name": "Lestari",
        "email": "ayu@example.com ::: ayu.work@example.com",
        "phone": "+62 812 7350 9101",
        "company": "Kedai",
        "birthday": "1990-05-06",
        "note": "likes tea, a lot",
    }
    assert (budi.number, budi.values["name"], budi.values["phone"]) == (13, "Budi", "tel:+62-812-7350-9102")


@pytest.mark.parametrize("broken", ["BEGIN:VCARD\nno vCard\nEND:VCARD\n", "BEGIN:VCARD\nFN:Citra\n"])
def test_a_person_who_cannot_be_read_costs_no_other(broken):
    found = rows(AYU + broken + BUDI)

    assert [row.values is not None for row in found] == [True, False, True]
    assert found[1].error


def test_a_long_line_that_is_folded_is_one():
    folded = AYU.replace("FN:Ayu Lestari", "FN:Ayu\r\n  Lestari").replace("\n", "\r\n").replace("\r\r", "\r")

    assert rows(folded)[0].values["name"] == "Ayu Lestari"
