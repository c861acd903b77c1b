"""Known exports: headers of providers' exports, as their documentation has them, lead to the documented mapping."""

import pytest

from connectors import files
from worker.files.known_exports import EXPORTS, recognise

MAILCHIMP = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,"
    "GMTOFF,DSTOFF,TIMEZONE,CC,REGION,{}LAST_CHANGED,LEID,EUID,NOTES,TAGS"
)
HEADERS = {
    "Shopify: customers": (
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
        "Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,"
        "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,"
        "Total Spent,Total Orders,Note,Tax Exempt,Tags"
    ),
    "WooCommerce: customers report": (
        "Name,Username,Last Active,Sign Up,Email,Orders,Total Spend,AOV,Country / Region,City,Region,Postal Code"
    ),
    "Mailchimp: subscribed contacts": MAILCHIMP.format(""),
    "Mailchimp: unsubscribed contacts": MAILCHIMP.format(
        "UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,"
    ),
    "Mailchimp: cleaned contacts": MAILCHIMP.format("CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,"),
    "Klaviyo: profiles": (
        "Email,Klaviyo ID,First Name,Last Name,Organization,Title,Phone Number,City,Region,Country,Zip Code,"
        "Email Marketing Consent,Email Marketing Consent Timestamp,SMS Marketing Consent,Profile Created On"
    ),
    "HubSpot: contacts": (
        "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Associated Company,Lead Status,"
        "Marketing contact status,Create Date,Last Modified Date,Unsubscribed from all email"
    ),
    "Google Contacts": (
        "First Name,Middle Name,Last Name,Nickname,File As,Organization Name,Birthday,Notes,Labels,E-mail 1 - Label,"
        "E-mail 1 - Value,Phone 1 - Label,Phone 1 - Value,Address 1 - Street,Address 1 - City,Address 1 - Country"
    ),
    "Google Contacts, before 2024": (
        "Name,Given Name,Additional Name,Family Name,Birthday,Notes,Group Membership,E-mail 1 - Type,E-mail 1 - Value"
    ),
    "Outlook: contacts": (
        "First Name,Middle Name,Last Name,Company,Home Street,Home City,Home Country/Region,Business Phone,Home Phone,"
        "Mobile Phone,Birthday,E-mail Address,E-mail 2 Address,Notes"
    ),
    "Square: customers": (
        "Reference ID,First Name,Last Name,Email Address,Phone Number,Nickname,Company Name,Street Address 1,City,"
        "State,Postal Code,Birthday,Memo,Square Customer ID,Creation Source,First Visit,Email Subscription Status"
    ),
    "Stripe: customers": "id,Description,Email,Name,Created (UTC),Delinquent,Card ID,Default Source,Currency",
}


def test_every_export_has_a_header_here():
    assert {export.name for export in EXPORTS} == HEADERS.keys()


@pytest.mark.parametrize("name", HEADERS)
def test_an_export_is_known_by_its_header(name):
    columns = HEADERS[name].split(",")

    found = recognise(columns)

    assert found.name == name
    assert files.problems(found.mapping, columns, found.fixed) == []
    assert found.mapping["email"] in columns


@pytest.mark.parametrize(
    ("name", "fixed", "timed"),
    [
        ("Mailchimp: subscribed contacts", {"email_consent": "subscribed"}, ("email_consent_at", "CONFIRM_TIME")),
        ("Mailchimp: unsubscribed contacts", {"email_consent": "unsubscribed"}, ("email_consent_at", "UNSUB_TIME")),
        ("Mailchimp: cleaned contacts", {"email_suppression": "hard_bounce"}, ("email_suppression_at", "CLEAN_TIME")),
    ],
)
def test_a_list_of_mailchimp_says_the_same_of_all_its_rows(name, fixed, timed):
    found = recognise(HEADERS[name].split(","))

    assert found.fixed == fixed
    assert timed in found.mapping.items()


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Shopify: customers", "Accepts Email Marketing"),
        ("Shopify: customers", "Accepts SMS Marketing"),
        ("HubSpot: contacts", "Unsubscribed from all email"),
    ],
)
def test_a_no_that_nobody_said_is_not_proposed(name, column):
    assert column not in recognise(HEADERS[name].split(",")).mapping.values()


def test_other_files_are_not_taken_for_an_export():
    assert recognise(["Email", "Name", "Phone"]) is None
    assert recognise([]) is None
