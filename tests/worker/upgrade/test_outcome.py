"""Outcome: who parts, meets and goes, and to whom something else may be sent, counted by the contacts of before."""

from worker.upgrade.regroup import regroup

E1, E2, E3 = "ayu@example.com", "budi@example.com", "citra@example.com"
P1, P2 = "+6281273509100", "+6281273509110"


def outcome(before, migrate, old_engine):
    migrate()
    return regroup(old_engine, before.organization_id, is_dry=True)


def shown(before, name):
    return f"cnt_{before.ids[name].hex}"


def test_those_whom_a_number_kept_apart_meet_by_their_email(before, migrate, old_engine):
    before.shop.seen("1", email=E1, name="Ayu", at=0)
    before.shop.seen("2", email=E2, phone=P1, name="Budi", at=1)
    before.woo.seen("1", email=E1, phone=P1, name="Ayu", at=2)
    before.write(["shop:2", "woo:1"], ["shop:1"], contested=[E1])

    report = outcome(before, migrate, old_engine)

    assert report.counts == {"part": 1, "meet": 2, "go": 0, "more": 0, "less": 0}
    assert report.examples["part"] == [{"contact_id": shown(before, "shop:2"), "people": 2}]
    assert (
        sorted(map(sorted, report.examples["meet"])) == [sorted([shown(before, "shop:1"), shown(before, "shop:2")])] * 2
    )


def test_a_no_about_another_address_closes(before, migrate, old_engine):
    before.shop.seen("1", email=E1, at=0)
    before.shop.consent("1", "email", "subscribed", E1, at=1)
    before.shop.consent("1", "email", "unsubscribed", E2, at=2)
    before.write(["shop:1"])

    report = outcome(before, migrate, old_engine)

    assert report.examples["less"] == [{"contact_id": shown(before, "shop:1"), "on": ["email:marketing"]}]


def test_a_no_of_a_deleted_customer_closes(before, migrate, old_engine):
    before.woo.seen("1", email=E1, at=0, newsletter=True)
    before.shop.seen("1", email=E1, at=1)
    before.shop.consent("1", "email", "unsubscribed", E2, at=2)
    before.shop.deleted("1", at=3)
    before.write(["woo:1"])

    report = outcome(before, migrate, old_engine)

    assert report.examples["less"] == [{"contact_id": shown(before, "woo:1"), "on": ["email:marketing"]}]


def test_the_yes_of_somebody_else_opens_nothing(before, migrate, old_engine):
    before.shop.seen("1", email=E1, at=0)
    before.eu.consent("7", "email", "subscribed", E1, at=1)
    before.write(["shop:1"], ["eu:7"])

    assert outcome(before, migrate, old_engine).counts["less"] == 1


def test_who_is_parted_from_the_no_may_be_written_to_and_the_report_says_so(before, migrate, old_engine):
    before.shop.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=0)
    before.eu.seen("1", email=E2, phone=P1, name="Budi Santoso", at=1)
    before.shop.consent("1", "email", "subscribed", E1, at=2)
    before.eu.consent("1", "email", "unsubscribed", E2, at=3)
    before.write(["shop:1", "eu:1"])

    report = outcome(before, migrate, old_engine)

    assert report.examples["more"] == [{"contact_id": shown(before, "shop:1"), "on": ["email:marketing"]}]


def test_an_edit_alone_goes(before, migrate, old_engine):
    before.shop.seen("1", email=E1, at=0)
    before.shop.deleted("1", at=1)
    before.edited("x", "shop:1", name="Edited")
    before.write(["api:cnt_x"])

    assert outcome(before, migrate, old_engine).examples["go"] == [shown(before, "api:cnt_x")]
