"""Known exports: the files of customers that providers export, recognised by their headers.

The headers are those of the providers' own documentation, which each entry names. A column is left out where its "no"
does not mean that the person said no: Shopify's ``Accepts Email Marketing`` is ``no`` for who was never asked, and
HubSpot's ``Unsubscribed from all email`` is ``false`` for the same.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownExport:
    """An export of a provider."""

    name: str
    document: str  #: where the provider describes it
    has: frozenset[str]  #: the headers that tell it from others
    lacks: frozenset[str] = frozenset()  #: headers that another export of the provider has
    mapping: Mapping[str, str]  #: our name -> header, as far as the file has it
    fixed: Mapping[str, str] = field(default_factory=dict)  #: our name -> what all rows say


_MAILCHIMP = "https://mailchimp.com/help/view-export-contacts/"
_MAILCHIMP_COLUMNS = {
    "external_id": "EUID",
    "email": "Email Address",
    "first_name": "First Name",
    "last_name": "Last Name",
    "phone": "Phone Number",
    "birthday": "Birthday",
    "country": "CC",
    "updated_at": "LAST_CHANGED",
    "tags": "TAGS",
}
_MAILCHIMP_HAS = frozenset({"Email Address", "MEMBER_RATING", "LEID", "EUID"})

EXPORTS = (
    KnownExport(
        name="Shopify: customers",
        document="https://help.shopify.com/en/manual/customers/import-export-customers",
        has=frozenset({"Customer ID", "Accepts Email Marketing", "Default Address Company"}),
        mapping={
            "external_id": "Customer ID",
            "email": "Email",
            "phone": "Phone",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Default Address Company",
            "address1": "Default Address Address1",
            "city": "Default Address City",
            "zip": "Default Address Zip",
            "country": "Default Address Country Code",
            "note": "Note",
            "tags": "Tags",
        },
    ),
    KnownExport(
        name="WooCommerce: customers report",
        document="https://woocommerce.com/document/woocommerce-analytics/customers-report/",
        has=frozenset({"Username", "Last Active", "Sign Up", "AOV"}),
        mapping={
            "name": "Name",
            "email": "Email",
            "city": "City",
            "zip": "Postal Code",
            "country": "Country / Region",
            "created_at": "Sign Up",
        },
    ),
    KnownExport(
        name="Mailchimp: unsubscribed contacts",
        document=_MAILCHIMP,
        has=_MAILCHIMP_HAS | {"UNSUB_TIME"},
        mapping={**_MAILCHIMP_COLUMNS, "email_consent_at": "UNSUB_TIME"},
        fixed={"email_consent": "unsubscribed"},
    ),
    KnownExport(
        name="Mailchimp: cleaned contacts",
        document=_MAILCHIMP,
        has=_MAILCHIMP_HAS | {"CLEAN_TIME"},
        mapping={**_MAILCHIMP_COLUMNS, "email_suppression_at": "CLEAN_TIME"},
        fixed={"email_suppression": "hard_bounce"},
    ),
    KnownExport(
        name="Mailchimp: subscribed contacts",
        document=_MAILCHIMP,
        has=_MAILCHIMP_HAS | {"CONFIRM_TIME"},
        lacks=frozenset({"UNSUB_TIME", "CLEAN_TIME"}),
        mapping={**_MAILCHIMP_COLUMNS, "email_consent_at": "CONFIRM_TIME"},
        fixed={"email_consent": "subscribed"},
    ),
    KnownExport(
        name="Klaviyo: profiles",
        document="https://help.klaviyo.com/hc/en-us/articles/115005078647",
        has=frozenset({"Klaviyo ID", "Email"}),
        mapping={
            "external_id": "Klaviyo ID",
            "email": "Email",
            "phone": "Phone Number",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Organization",
            "city": "City",
            "zip": "Zip Code",
            "country": "Country",
            "created_at": "Profile Created On",
            "email_consent": "Email Marketing Consent",
            "email_consent_at": "Email Marketing Consent Timestamp",
            "sms_consent": "SMS Marketing Consent",
            "sms_consent_at": "SMS Marketing Consent Timestamp",
        },
    ),
    KnownExport(
        name="HubSpot: contacts",
        document="https://knowledge.hubspot.com/import-and-export/export-records",
        has=frozenset({"Record ID", "Contact owner", "Create Date"}),
        mapping={
            "external_id": "Record ID",
            "email": "Email",
            "phone": "Phone Number",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Associated Company",
            "city": "City",
            "country": "Country/Region",
            "created_at": "Create Date",
            "updated_at": "Last Modified Date",
        },
    ),
    KnownExport(
        name="Google Contacts",
        document="https://support.google.com/contacts/answer/7199294",
        has=frozenset({"E-mail 1 - Value", "Phone 1 - Value"}),
        mapping={
            "email": "E-mail 1 - Value",
            "phone": "Phone 1 - Value",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Organization Name",
            "birthday": "Birthday",
            "note": "Notes",
            "address1": "Address 1 - Street",
            "city": "Address 1 - City",
            "zip": "Address 1 - Postal Code",
            "country": "Address 1 - Country",
        },
    ),
    KnownExport(
        name="Google Contacts, before 2024",
        document="https://support.google.com/contacts/answer/7199294",
        has=frozenset({"Given Name", "Family Name", "E-mail 1 - Value"}),
        mapping={
            "email": "E-mail 1 - Value",
            "phone": "Phone 1 - Value",
            "first_name": "Given Name",
            "last_name": "Family Name",
            "company": "Organization 1 - Name",
            "birthday": "Birthday",
            "note": "Notes",
            "city": "Address 1 - City",
            "zip": "Address 1 - Postal Code",
            "country": "Address 1 - Country",
        },
    ),
    KnownExport(
        name="Outlook: contacts",
        document="https://support.microsoft.com/office/create-or-edit-csv-files-to-import-into-outlook",
        has=frozenset({"E-mail Address", "Mobile Phone", "Business Phone"}),
        mapping={
            "email": "E-mail Address",
            "phone": "Mobile Phone",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Company",
            "birthday": "Birthday",
            "note": "Notes",
            "address1": "Home Street",
            "city": "Home City",
            "zip": "Home Postal Code",
            "country": "Home Country/Region",
        },
    ),
    KnownExport(
        name="Square: customers",
        document="https://squareup.com/help/us/en/article/5498-manage-your-customer-directory-online",
        has=frozenset({"Square Customer ID", "Email Address"}),
        mapping={
            "external_id": "Square Customer ID",
            "email": "Email Address",
            "phone": "Phone Number",
            "first_name": "First Name",
            "last_name": "Last Name",
            "company": "Company Name",
            "address1": "Street Address 1",
            "city": "City",
            "zip": "Postal Code",
            "birthday": "Birthday",
            "note": "Memo",
            "email_consent": "Email Subscription Status",
        },
    ),
    KnownExport(
        name="Stripe: customers",
        document="https://docs.stripe.com/get-started/data-migrations/export-file-formats",
        has=frozenset({"id", "Email", "Created (UTC)"}),
        mapping={
            "external_id": "id",
            "email": "Email",
            "name": "Name",
            "phone": "Phone",
            "created_at": "Created (UTC)",
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file was taken for."""

    name: str
    mapping: Mapping[str, str]
    fixed: Mapping[str, str]


def recognise(columns: Collection[str]) -> Recognised | None:
    """Return the known export that has these columns, reduced to the columns that are there; None if there is none."""
    present = set(columns)
    for export in EXPORTS:
        if export.has <= present and not export.lacks & present:
            mapping = {ours: column for ours, column in export.mapping.items() if column in present}
            timed = {ours.removesuffix("_at") for ours in mapping} | set(export.fixed)
            mapping = {
                ours: column
                for ours, column in mapping.items()
                if not ours.endswith(("_consent_at", "_suppression_at")) or ours.removesuffix("_at") in timed
            }
            return Recognised(export.name, mapping, export.fixed)
    return None
