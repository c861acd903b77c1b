"""Dirt: how often the things happen that make it hard to tell people apart, at three levels.

The rates are assumptions, not measurements. ``low`` is a shop that a careful team keeps, ``middle`` the usual shop
with a till, ``high`` a list that several people have typed in over years. Five years pass.
"""

from dataclasses import dataclass, field, fields
from typing import Any


def _rates(low: float, middle: float, high: float) -> Any:
    return field(metadata={"rates": (low, middle, high)})


@dataclass(frozen=True)
class Dirt:
    """Rates, from 0 to 1."""

    # Of people: how they live
    in_household: float = _rates(0.15, 0.25, 0.35)  #: live with one to four others who are in the data as well
    in_office: float = _rates(0.04, 0.08, 0.12)  #: work with three to nineteen others who are in the data as well
    has_changed_number: float = _rates(0.10, 0.15, 0.20)
    got_used_number: float = _rates(0.01, 0.02, 0.04)  #: got the number that somebody else in the data had before
    has_changed_surname: float = _rates(0.01, 0.02, 0.03)  #: married, or divorced
    has_second_email: float = _rates(0.15, 0.25, 0.35)  #: and give it for one record in four
    has_two_accounts: float = _rates(0.01, 0.03, 0.08)  #: are two customers of a shop

    # Of households and offices: what they share
    shares_number: float = _rates(0.50, 0.60, 0.70)  #: of households: members give it for half of their records
    shares_email: float = _rates(0.10, 0.15, 0.25)  #: likewise
    shares_mailbox: float = _rates(0.10, 0.20, 0.40)  #: of offices: an info@, given for one record in five
    without_extension: float = _rates(0.10, 0.30, 0.50)  #: of records with an office's number

    # Of records: what is missing
    no_email: float = _rates(0.02, 0.04, 0.08)  #: four times as often in shop b, which has a till
    no_number: float = _rates(0.20, 0.30, 0.40)
    no_name: float = _rates(0.01, 0.03, 0.06)

    # Of records: what is wrong
    email_placeholder: float = _rates(0.002, 0.008, 0.02)  #: noreply@ and the like, because the form wants an address
    number_placeholder: float = _rates(0.003, 0.01, 0.03)  #: zeros and the like, because the form wants a number
    till_number: float = _rates(0.005, 0.015, 0.04)  #: of customers of shop b: the clerk gave the number of the branch
    name_typo: float = _rates(0.01, 0.03, 0.08)
    email_typo: float = _rates(0.005, 0.015, 0.04)
    number_typo: float = _rates(0.005, 0.015, 0.04)
    other_name: float = _rates(0.002, 0.006, 0.015)  #: the name of who gets the present, or of who stood at the till

    # Of records: how else the name is written
    nickname: float = _rates(0.02, 0.05, 0.10)  #: if the name has one
    initial: float = _rates(0.01, 0.03, 0.06)
    part_of_name: float = _rates(0.01, 0.04, 0.08)  #: the given name or the surname alone
    swapped: float = _rates(0.005, 0.02, 0.04)
    accents_lost: float = _rates(0.10, 0.30, 0.60)  #: if the name has accents
    company_name: float = _rates(0.01, 0.03, 0.06)  #: of people in offices: the company stands where the name belongs


LEVELS = {
    level: Dirt(**{rate.name: rate.metadata["rates"][place] for rate in fields(Dirt)})
    for place, level in enumerate(("low", "middle", "high"))
}
