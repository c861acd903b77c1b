"""Attacks on a running stack, each beside the bound that it must not break.

`make attack` runs them at full size, and the suite a short form of each. A module here is one kind of attack. It offers
``attack(stack, full=…)``, which yields its findings one by one, and is named in ``ATTACKS`` of ``__main__``.
"""
