"""Who is who: invented source records whose people are known, grouped by our rules and by naive closure.

``people`` invents who lives with whom, ``rows`` what two shops and a messenger hold about them, ``dirt`` has the rates
of everything that goes wrong. ``ours`` and ``naive`` group the rows, ``score`` compares the groups with the truth, and
``comparison`` prints both. The rates were written down before any rule was tried on them, and fitted to none.
"""
