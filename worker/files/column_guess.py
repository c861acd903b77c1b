"""Column guess: the header of a file, and which column is likely to hold which of our fields.

``guess`` only proposes, and the person who imports the file confirms. It proposes a column only if most of its
first cells can be read as that field.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from connectors import files
from connectors.cleaning import is_normalisable, normalised
from connectors.contract import MalformedPayloadError
from connectors.files import permission
from connectors.files.cells import Cells
from worker.errors import ConfigError

DELIMITERS = ",;\t|"
_JUDGED_ROWS = 50  #: rows that decide which delimiter cuts the file best

_Judge = Callable[[str, str, dict[str, Any]], bool]  #: (our name, column, row) -> whether the cell can be that field

_MAX_HEADER = 1_000  #: characters of a header that are looked at
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"'?(?:\+|0)[0-9 ().\-/]{6,24}")
#: Under a header such as "Phone" a looser pattern is enough: a number without + or 0 counts too.
_LOOKS = {"email": _MAIL, "phone": re.compile(r"'?[+(0-9][0-9 ().\-/]{4,24}")}

#: Our name -> headers that exports and people use for it, letters and digits only, the likeliest first. English,
#: German, Indonesian, Spanish, French, Portuguese, Dutch; Shopify, Klaviyo, Mailchimp, HubSpot; our own export.
_HEADERS: Mapping[str, str] = {
    "external_id": "externalid customerid recordid recordidcontact klaviyoid euid kundennummer kundennr kundenid "
    "idpelanggan nomorpelanggan kodepelanggan idcliente clienteid codigocliente numeroclient idclient clientid "
    "klantnummer klantid memberid userid contactid id",
    "email": "email emailaddress emailadresse emailadres emailadress mail mailadresse alamatemail surel correo "
    "correoelectronico adresseemail adressemail adresseelectronique courriel enderecodeemail email1 customeremail "
    "primaryemail",
    "phone": "phone phonenumber mobile mobilephone mobilenumber mobilephonenumber cellphone whatsapp whatsappnumber "
    "whatsappphonenumber nomorwhatsapp nowhatsapp nowa telefon telefonnummer handy handynummer mobil mobilnummer "
    "mobiltelefon rufnummer nomorhp nohp hp nomortelepon nomortelpon notelp telepon telepons ponsel telefono "
    "numerodetelefono movil celular telephone tel numerodetelephone mobiel telefoonnummer telefoon mobielnummer "
    "telefone telemovel numerodetelefone smsphonenumber primaryphone customerphone",
    "first_name": "firstname vorname namadepan nombre prenom primeironome voornaam givenname fname",
    "last_name": "lastname nachname familienname namabelakang apellido apellidos nomdefamille sobrenome apelido "
    "achternaam surname familyname lname",
    "name": "name fullname displayname customername contactname namalengkap nama namapelanggan nombrecompleto "
    "nomcomplet nomecompleto volledigenaam naam nome nom vollstandigername",
    "company": "company companyname organization organisation associatedcompany defaultaddresscompany firma "
    "unternehmen perusahaan namaperusahaan empresa entreprise societe bedrijf bedrijfsnaam",
    "locale": "locale language preferredlanguage sprache bahasa idioma langue taal lang",
    "country": "countrycode defaultaddresscountrycode country countryregion cc land landercode negara pais pays",
    "city": "city defaultaddresscity town stadt ort wohnort kota ciudad ville cidade plaats stad woonplaats",
    "zip": "zip zipcode defaultaddresszip postalcode postcode plz postleitzahl kodepos codigopostal codepostal cep",
    "address1": "address1 defaultaddressaddress1 streetaddress street addressline1 address strasse anschrift adresse "
    "alamat direccion calle rue endereco rua straat adres",
    "note": "note notes customernote notiz notizen bemerkung bemerkungen catatan nota notas remarque remarques "
    "observacoes opmerking opmerkingen notitie",
    "birthday": "birthday birthdate dateofbirth dob geburtstag geburtsdatum tanggallahir tgllahir fechadenacimiento "
    "cumpleanos datedenaissance datadenascimento aniversario geboortedatum",
    "tags": "tags tag labels schlagworte schlagworter etiketten label etiquetas etiquettes",
    "created_at": "createdat created createdate createddate datecreated dateadded profilecreatedon customersince "
    "signupdate optintime erstellt erstelltam angelegt angelegtam tanggaldibuat tanggaldaftar creado fechadecreacion "
    "datedecreation criadoem datadecriacao aangemaakt aangemaaktop registeredat",
    "updated_at": "updatedat updated lastmodifieddate lastmodified modifiedat lastchanged lastupdated dateupdated "
    "geandert geandertam aktualisiert aktualisiertam tanggaldiubah actualizado fechadeactualizacion modifiele "
    "datedemodification atualizadoem gewijzigd gewijzigdop bijgewerkt",
    "email_consent": "emailconsent emailmarketingconsent emailmarketing "
    "emailmarketingstatus emailoptin newsletter newsletterconsent optinemail subscribed marketingconsent",
    "sms_consent": "smsconsent smsmarketingconsent smsmarketing smsmarketingstatus smsoptin optinsms",
    "whatsapp_consent": "whatsappconsent whatsappmarketingconsent whatsappmarketing "
    "whatsappmarketingstatus whatsappoptin waoptin",
    "email_consent_at": "emailconsentat emailmarketingconsenttimestamp emailmarketingconsentupdatedat "
    "emailconsenttimestamp emailoptintime confirmtime",
    "sms_consent_at": "smsconsentat smsmarketingconsenttimestamp smsmarketingconsentupdatedat smsconsenttimestamp",
    "whatsapp_consent_at": "whatsappconsentat whatsappmarketingconsenttimestamp whatsappconsenttimestamp",
}


def header_of(beginning: Sequence[str], *, is_whole: bool) -> tuple[str, list[str]]:
    """Return the delimiter and the header of a CSV file that begins with these lines.

    Unless ``is_whole``, the last line is dropped, because it may be cut off. Raises ConfigError if there is no
    header, or if the first line looks like a row.
    """
    lines = list(beginning)
    while lines and (not lines[0].strip() or lines[0].lower().startswith("sep=")):  # Excel writes "sep=;" there
        lines.pop(0)
    if not is_whole:
        if len(lines) < 2:
            raise ConfigError("the header does not end within the first 64 KB; is this a CSV file?")
        lines.pop()
    tried = {delimiter: _cells(lines, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda one: _fit(tried[one]))
    header = next(iter(tried[delimiter]), [])
    if not header:
        raise ConfigError("the file has no header: a line with the names of the columns")
    if any(_MAIL.fullmatch(cell.strip()) or _PHONE.fullmatch(cell.strip()) for cell in header):
        raise ConfigError("the first line looks like a row: put a line with the names of the columns before it")
    return delimiter, header


def names_of(header: Sequence[str]) -> list[str]:
    """Return the names of the columns.

    A column without a name is called ``column 3`` by its place, and so are those that share a name with another.
    """
    names = [" ".join(cell.split()) for cell in header]
    return [name if name and names.count(name) == 1 else f"column {place}" for place, name in enumerate(names, 1)]


def shared_names(header: Sequence[str]) -> list[str]:
    """Return a remark for each name that several columns have."""
    places: dict[str, list[str]] = {}
    for place, cell in enumerate(header, 1):
        places.setdefault(" ".join(cell.split()), []).append(f"column {place}")
    numbers = {2: "two", 3: "three"}
    return [
        f"{numbers.get(len(found), len(found))} columns are called {name[:60]}: map {' or '.join(found)}"
        for name, found in places.items()
        if name and len(found) > 1
    ]


def guess(columns: Sequence[str], sample: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Propose a mapping from our names to columns, by the headers and by the cells of the first rows.

    The mapping may be empty. A column is proposed for one field; only the e-mail may serve as the external_id too.
    """
    rows = [dict(row) for row in sample]
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(_plain(column.removeprefix("address.")), column)
    mapping: dict[str, str] = {}

    def take(ours: str, likely: Iterable[str], is_one: _Judge) -> None:
        free = (column for column in likely if column not in mapping.values())
        column = next((one for one in free if _are_mostly(is_one, ours, one, rows)), None)
        if column is not None:
            mapping[ours] = column

    for ours, headers in _HEADERS.items():
        take(ours, (by_name[header] for header in headers.split() if header in by_name), _is_readable)
    for ours in ("email", "phone"):
        if ours not in mapping:
            take(ours, (column for column in columns if _has_values(column, rows)), _looks_it)
    _part_names(mapping)
    if "tags" in mapping and "email" in mapping:
        mapping.setdefault("external_id", mapping["email"])
    mapping |= _own_fields(columns)
    return {
        ours: column
        for ours, column in mapping.items()
        if not ours.endswith("_consent_at") or ours.removesuffix("_at") in mapping
    }


def _part_names(mapping: dict[str, str]) -> None:
    """Take "Name" for the last name beside "Vorname", and "Nome" for the first name beside "Sobrenome"."""
    has_first, has_last = "first_name" in mapping, "last_name" in mapping
    if "name" in mapping and has_first != has_last:
        mapping["last_name" if has_first else "first_name"] = mapping.pop("name")


def _own_fields(columns: Sequence[str]) -> dict[str, str]:
    """Find the custom fields of our own exports: ``field.tier`` in CSV, ``custom_fields.tier`` in JSON lines."""
    found = {column: column for column in columns if column.startswith((files.FIELD, files.JSON))}
    inner = [column for column in columns if column.startswith("custom_fields.")]
    for column in inner:
        if not any(column.startswith(f"{other}.") for other in inner):
            found[files.FIELD + column.partition(".")[2]] = column
    return found


def _are_mostly(is_one: _Judge, ours: str, column: str, rows: list[dict[str, Any]]) -> bool:
    """Whether four in five filled cells can be this field; a column without filled cells passes."""
    judged = [is_one(ours, column, row) for row in rows if _is_given(column, row)]
    return sum(judged) * 5 >= len(judged) * 4


def _has_values(column: str, rows: list[dict[str, Any]]) -> bool:
    return any(_is_given(column, row) for row in rows)


def _is_given(column: str, row: dict[str, Any]) -> bool:
    return Cells(row, {"": column}, empty_is_none=False).says("")


def _is_readable(ours: str, column: str, row: dict[str, Any]) -> bool:
    cells = Cells(row, {ours: column}, empty_is_none=False)
    try:
        if ours.endswith("_at"):
            return cells.moment(ours) is not None
        if ours == "tags":
            return bool(cells.tags(ours))
        if ours.endswith("_consent"):
            return permission.is_readable(cells.word(ours) or "", column)
        written = cells.number(ours, limit=files.MAX_ID) if ours == "external_id" else cells.text(ours)
    except MalformedPayloadError:
        return False
    return ours not in _LOOKS or _LOOKS[ours].fullmatch(written or "") is not None


def _looks_it(ours: str, column: str, row: dict[str, Any]) -> bool:
    """Whether a cell looks like an e-mail or phone whatever its header; bare digits do not, they may be any number."""
    pattern = _MAIL if ours == "email" else _PHONE
    return _is_readable(ours, column, row) and pattern.fullmatch(str(row.get(column, "")).strip()) is not None


def _plain(header: str) -> str:
    """Return the letters and digits of a header without accents: "E-Mail" and "e_mail" become "email"."""
    header = header[:_MAX_HEADER].casefold()
    parts = normalised("NFKD", header) if is_normalisable(header) else header
    return "".join(one for one in parts if one.isalnum())


def _cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return [cells for cells, _ in zip(reader, range(_JUDGED_ROWS), strict=False) if cells]
    except csv.Error:  # with this delimiter, a quoted cell never ends
        return []


def _fit(rows: Sequence[Sequence[str]]) -> tuple[bool, int]:
    """Score a delimiter: first whether most rows have as many cells as the header, then how many cells it has."""
    if not rows or len(rows[0]) < 2:
        return (False, 0)
    alike = sum(len(row) == len(rows[0]) for row in rows)
    return (alike * 2 > len(rows), len(rows[0]))
