"""Our rules beside naive closure, on the same rows, at three levels of dirt."""

from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.identity import naive, ours
from bench.identity.dirt import LEVELS
from bench.identity.rows import Row, generate
from bench.identity.score import KINDS, Score, score

#: how many fewer wrong pairs than naive closure our rules are to make, and at which part of its recall
TARGETS = {"low": (0.80, 0.99), "middle": (0.70, 0.90)}
_PLACEHOLDERS = {"email_placeholder", "number_placeholder", "till_number"}
#: what the lines of a level leave out, each line more: what one of the sides is known to get wrong
CUTS: Mapping[str, Callable[[Row], bool]] = {
    "no placeholders": lambda row: bool(row.dirt & _PLACEHOLDERS),
    "no guests either": lambda row: row.is_guest,
    "one account each": lambda row: "has_two_accounts" in row.dirt,
}
ALL = "all rows"
_SIDES = {"ours": ours.groups, "naive": naive.groups}


def run(people: int, rounds: int, progress: Console) -> dict[str, Any]:
    """Compare both sides; each round invents other people, and the pairs of all rounds are added up."""
    levels: dict[str, Any] = {}
    for level, dirt in LEVELS.items():
        progress.print(f"identity, {level} …", highlight=False)
        rounds_of_rows = [generate(seed, people, dirt) for seed in range(1, rounds + 1)]
        levels[level] = {ALL: _compared(rounds_of_rows)}
        for cut, is_out in CUTS.items():
            rounds_of_rows = [[row for row in rows if not is_out(row)] for rows in rounds_of_rows]
            levels[level][cut] = _compared(rounds_of_rows)
    return {"identity": {"people": people, "rounds": rounds, "levels": levels}}


def _compared(rounds: list[list[Row]]) -> dict[str, Any]:
    scores = {side: {kind: Score() for kind in KINDS} for side in _SIDES}
    for rows in rounds:
        for side, groups in _SIDES.items():
            for kind, found in score(rows, groups(rows)).items():
                scores[side][kind] += found
    all_pairs = {side: sum(by_kind.values(), Score()) for side, by_kind in scores.items()}
    return {
        "rows": sum(map(len, rounds)),
        "fewer_wrong": round(1 - all_pairs["ours"].wrong / max(all_pairs["naive"].wrong, 1), 3),
        "recall_ratio": round(all_pairs["ours"].recall / all_pairs["naive"].recall, 3),
        **{
            side: {"all": found.figures(), **{kind: scores[side][kind].figures() for kind in KINDS}}
            for side, found in all_pairs.items()
        },
    }


def show(console: Console, results: dict[str, Any]) -> None:
    """Print four lines for each level. The last two columns compare wrong pairs and recall with the baseline's."""
    table = Table("dirt", title="contactsync bench: who is who", title_justify="left", box=box.SIMPLE)
    for name in ("precision", "recall", "wrong pairs", "missed"):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("naive", justify="right", no_wrap=True)
    for name in ("fewer", "recall"):
        table.add_column(name, justify="right", no_wrap=True)
    for level, cuts in results["identity"]["levels"].items():
        table.add_row(level, style="bold")
        for cut, compared in cuts.items():
            found = (compared["ours"]["all"], compared["naive"]["all"])
            shares = (f"{side[name]:.3f}" for name in ("precision", "recall") for side in found)
            counts = (f"{side[name]:,}" for name in ("wrong", "missed") for side in found)
            table.add_row(
                f"  {cut}", *shares, *counts, f"{compared['fewer_wrong']:.1%}", f"{compared['recall_ratio']:.3f} x"
            )
    console.print(table)
    console.print(note(results), highlight=False)


def note(results: dict[str, Any]) -> str:
    """Say what was compared, and whether it is as wanted."""
    figures = results["identity"]
    verdicts = []
    for level, (fewer, recall) in TARGETS.items():
        cuts = figures["levels"][level].items()
        reached = [cut for cut, found in cuts if found["fewer_wrong"] >= fewer and found["recall_ratio"] >= recall]
        verdicts.append(f"{level}: {fewer:.0%} at {recall:.2f} x; reached by {', '.join(reached) or 'no line'}.")
    return (
        f"{figures['rounds']} times some {figures['people']:,} invented people. Naive closure joins whoever shares an "
        "e-mail or a number, extensions dropped. Pairs are of two customers of two sources, or with a guest. Each line "
        "of a level leaves out more rows. The targets are fewer wrong pairs at a part of its recall. "
        + " ".join(verdicts)
    )
