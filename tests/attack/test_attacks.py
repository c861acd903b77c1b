"""Every attack in its short form; `make attack` runs the full ones."""

import pytest

from tests.attack.__main__ import ATTACKS, LONG


@pytest.mark.parametrize("name", sorted(ATTACKS.keys() - LONG))
def test_every_bound_holds(name, stack):
    broken = [found for found in ATTACKS[name](stack, full=False) if not found.held]

    assert broken == []
