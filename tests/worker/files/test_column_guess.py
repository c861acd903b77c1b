"""Column guess: headers of many exports and languages, and the cells below them, decide the mapping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import files
from worker.files.column_guess import guess

#: header, first row, and the mapping that is proposed, from our names to columns
EXPORTS = {
    "shopify": (
        (
            "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
            "Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,"
            "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,"
            "Total Spent,Total Orders,Note,Tax Exempt,Tags"
        ),
        "'7029,Ayu,Lestari,ayu@example.com,yes,,Jl. Braga 9,,Bandung,JB,ID,'40111,,'+6281273509101,no,12.50,3,,no,VIP",
        {
            "external_id": "Customer ID",
            "first_name": "First Name",
            "last_name": "Last Name",
            "email": "Email",
            "company": "Default Address Company",
            "address1": "Default Address Address1",
            "city": "Default Address City",
            "country": "Default Address Country Code",
            "zip": "Default Address Zip",
            "phone": "Phone",
            "note": "Note",
            "tags": "Tags",
        },
    ),
    "klaviyo": (
        (
            "Email,Klaviyo ID,First Name,Last Name,Organization,Title,Phone Number,Address,Address 2,City,"
            "State / Region,Country,Zip Code,Latitude,Longitude,Source,IP Address,Email Marketing Consent,"
            "SMS Marketing Consent,Profile Created On,Date Added"
        ),
        (
            "ayu@example.com,01HZX,Ayu,Lestari,Toko,,+6281273509101,,,Bandung,,Indonesia,40111,,,-6,,SUBSCRIBED,"
            "NEVER_SUBSCRIBED,2024-05-06 07:08:09,2024-05-06 07:08:09"
        ),
        {
            "email": "Email",
            "external_id": "Klaviyo ID",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Organization",
            "phone": "Phone Number",
            "address1": "Address",
            "city": "City",
            "country": "Country",
            "zip": "Zip Code",
            "email_consent": "Email Marketing Consent",
            "sms_consent": "SMS Marketing Consent",
            "created_at": "Date Added",
        },
    ),
    "mailchimp": (
        (
            "Email Address,First Name,Last Name,Birthday,MEMBER_RATING,OPTIN_TIME,CONFIRM_TIME,CC,LAST_CHANGED,"
            "LEID,EUID,NOTES,TAGS"
        ),
        "ayu@example.com,Ayu,Lestari,05/01,2,2024-05-06 07:08:09,2024-05-06 07:08:09,ID,2025-01-01 00:00:00,9,ab,,VIP",
        {
            "email": "Email Address",
            "first_name": "First Name",
            "last_name": "Last Name",
            "birthday": "Birthday",
            "created_at": "OPTIN_TIME",
            "country": "CC",
            "updated_at": "LAST_CHANGED",
            "external_id": "EUID",
            "note": "NOTES",
            "tags": "TAGS",
        },
    ),
    "hubspot": (
        (
            "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Associated Company,Create Date,"
            "Last Modified Date,Unsubscribed from all email,Country/Region"
        ),
        "151,Ayu,Lestari,ayu@example.com,+62 812-7350-9101,Budi,Toko,2024-05-06 07:08,2024-05-06 07:08,true,Indonesia",
        {
            "external_id": "Record ID",
            "first_name": "First Name",
            "last_name": "Last Name",
            "email": "Email",
            "phone": "Phone Number",
            "company": "Associated Company",
            "created_at": "Create Date",
            "updated_at": "Last Modified Date",
            "country": "Country/Region",
        },
    ),
    "german": (
        "Kundennummer,Vorname,Name,E-Mail-Adresse,Handy,PLZ,Ort,Straße,Geändert am,Schlagwörter",
        "1,Ayu,Lestari,ayu@example.com,0151 23456789,10115,Berlin,Allee 9,14.09.2026,VIP",
        {
            "external_id": "Kundennummer",
            "first_name": "Vorname",
            "last_name": "Name",
            "email": "E-Mail-Adresse",
            "phone": "Handy",
            "zip": "PLZ",
            "city": "Ort",
            "address1": "Straße",
            "tags": "Schlagwörter",
        },
    ),
    "indonesian": (
        "Nama Lengkap,Nomor HP,Surel,Kota,Kode Pos,Tanggal Lahir",
        "Ayu Lestari,081273509101,ayu@example.com,Bandung,40111,1990-05-01",
        {
            "name": "Nama Lengkap",
            "phone": "Nomor HP",
            "email": "Surel",
            "city": "Kota",
            "zip": "Kode Pos",
            "birthday": "Tanggal Lahir",
        },
    ),
    "spanish": (
        "Correo electrónico,Nombre,Apellidos,Teléfono,Ciudad,País",
        "ayu@example.com,Ayu,Lestari,+34 600 000 001,Madrid,ES",
        {
            "email": "Correo electrónico",
            "first_name": "Nombre",
            "last_name": "Apellidos",
            "phone": "Teléfono",
            "city": "Ciudad",
            "country": "País",
        },
    ),
    "french": (
        "Nom,Prénom,Adresse e-mail,Téléphone,Ville,Code postal",
        "Lestari,Ayu,ayu@example.com,+33 6 00 00 00 01,Lyon,69001",
        {
            "last_name": "Nom",
            "first_name": "Prénom",
            "email": "Adresse e-mail",
            "phone": "Téléphone",
            "city": "Ville",
            "zip": "Code postal",
        },
    ),
    "portuguese": (
        "Nome,Sobrenome,Endereço de e-mail,Celular,Cidade",
        "Ayu,Lestari,ayu@example.com,+55 11 90000-0001,Santos",
        {
            "first_name": "Nome",
            "last_name": "Sobrenome",
            "email": "Endereço de e-mail",
            "phone": "Celular",
            "city": "Cidade",
        },
    ),
    "dutch": (
        "Klantnummer,Voornaam,Achternaam,E-mailadres,Telefoonnummer,Woonplaats",
        "1,Ayu,Lestari,ayu@example.com,06 00000001,Utrecht",
        {
            "external_id": "Klantnummer",
            "first_name": "Voornaam",
            "last_name": "Achternaam",
            "email": "E-mailadres",
            "phone": "Telefoonnummer",
            "city": "Woonplaats",
        },
    ),
}


def guessed(header, *rows):
    columns = header.split(",")
    return guess(columns, [dict(zip(columns, row.split(","), strict=True)) for row in rows])


@pytest.mark.parametrize(("header", "row", "mapping"), EXPORTS.values(), ids=EXPORTS)
def test_exports_of_many_systems_and_languages_are_mapped(header, row, mapping):
    assert guessed(header, row) == mapping


@pytest.mark.parametrize(("header", "row", "mapping"), EXPORTS.values(), ids=EXPORTS)
def test_without_rows_the_headers_alone_are_enough(header, row, mapping):
    assert mapping.items() <= guessed(header).items()


def test_a_column_without_a_known_header_is_recognised_by_its_cells():
    assert guessed("A,B,C", "4711,ayu@example.com,+62 812-7350-9101", "4712,budi@example.com,0812 7350 9102") == {
        "email": "B",
        "phone": "C",
    }
    assert guessed("A,B", "123456789,12.50", "987654321,99.00") == {}


def test_a_column_whose_cells_contradict_its_header_is_not_proposed():
    assert guessed("Email,Mail", "yes,ayu@example.com", "no,budi@example.com") == {"email": "Mail"}
    assert guessed("Id,Created,Newsletter,WhatsApp", "1,14/09/2026,sometimes,yes") == {"external_id": "Id"}
    assert guessed("Id", "1.23457E+15") == {}


def test_one_odd_cell_in_many_does_not_hide_a_column():
    rows = [*["1,2026-09-14"] * 9, "2,soon"]

    assert guessed("Id,Created", *rows) == {"external_id": "Id", "created_at": "Created"}


def test_without_an_external_id_the_e_mail_serves_as_the_external_id_of_tags():
    assert guessed("Email,Tags", "ayu@example.com,VIP") == {"email": "Email", "tags": "Tags", "external_id": "Email"}


def test_a_consent_time_without_a_consent_is_left_out():
    assert guessed("Email,CONFIRM_TIME", "ayu@example.com,2026-01-01") == {"email": "Email"}


def test_keys_inside_json_objects_are_found():
    row = {"id": 1, "address": {"city": "Bandung"}, "custom_fields": {"tier": "gold", "last": {"order": 1}}}
    columns = [
        "id",
        "address",
        "address.city",
        "custom_fields",
        *(f"custom_fields.{n}" for n in ("tier", "last", "last.order")),
    ]

    assert guess(columns, [row]) == {
        "external_id": "id",
        "city": "address.city",
        "field.tier": "custom_fields.tier",
        "field.last": "custom_fields.last",
    }


@given(
    columns=st.lists(
        st.sampled_from([name for header, _, _ in EXPORTS.values() for name in header.split(",")]) | st.text(),
        unique=True,
        max_size=12,
    ),
    data=st.data(),
)
def test_a_proposal_with_an_identifier_can_be_imported(columns, data):
    cells = st.sampled_from(["", "yes", "ayu@example.com", "+6281273509101", "2026-01-01", "VIP", "1"]) | st.text()
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, cells)), max_size=3))

    mapping = guess(columns, rows)

    if mapping.keys() & {"external_id", "email", "phone"}:
        assert [p for p in files.problems(mapping, columns) if not p.startswith("tags:")] == []
