"""Run every attack at full size and print a table of attack, bound and measured; exit 1 if a bound broke."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.attack import broker, door, headers, hung_reader, passengers, privacy, readers, slow_provider, sweeper
from tests.attack.finding import Attack, Finding
from tests.flows.stack import RunningStack
from worker import logs

ATTACKS: Mapping[str, Attack] = {
    "door": door.attack,
    "readers": readers.attack,
    "broker": broker.attack,
    "headers": headers.attack,
    "passengers": passengers.attack,
    "privacy": privacy.attack,
    "sweeper": sweeper.attack,
    "slow_provider": slow_provider.attack,
    "hung_reader": hung_reader.attack,
}
#: attacks whose short form takes most of a minute; the suite leaves them out
LONG = {"hung_reader"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(ATTACKS), help="may be given several times")
    parser.add_argument("--short", action="store_true", help="the short form, which the suite runs")
    arguments = parser.parse_args()
    logs.configure(least=logging.WARNING)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="contactsync-attack-") as directory:
        Path(directory).chmod(0o755)  # Postgres, started by root, runs under another account
        stack = RunningStack(Path(directory))
        stack.start()
        try:
            for name in arguments.only or ATTACKS:
                began = time.monotonic()
                findings += ATTACKS[name](stack, full=not arguments.short)
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201 - a command
        finally:
            stack.stop()
    table = Table("attack", "bound", "measured", "held")
    for finding in findings:
        table.add_row(finding.attack, finding.bound, finding.measured, "yes" if finding.held else "NO")
    Console(width=160).print(table)
    return 0 if all(finding.held for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
