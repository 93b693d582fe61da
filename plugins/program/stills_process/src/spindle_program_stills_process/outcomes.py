"""How many images came how far, and why others did not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from spindle.report import Table

from .tasks import BLANK, FEW, INDEXED, MANY, NOT_INDEXED, UNREADABLE, Outcome

__all__ = ["outcome_table", "reasons_table"]

MOST_REASONS = 20


def outcome_table(outcomes: list[Outcome], n_integrated: int | None = None, n_failed: int = 0) -> Table:
    """Numbers of images by how far they came.

    Parameters
    ----------
    outcomes : list of Outcome
    n_integrated : int or None
        Crystals integrated; None where that was not asked for.
    n_failed : int
        Crystals indexed and not integrated.
    """
    counts = Counter(o.outcome for o in outcomes)
    total = len(outcomes)
    hits = total - sum(counts[name] for name in (UNREADABLE, BLANK, FEW, MANY))
    n_crystals = sum(len(o.experiments) for o in outcomes) or counts[INDEXED]

    def line(what: str, n: int) -> list[object]:
        return [what, n, f"{100 * n / max(total, 1):.1f}"]

    rows = [line("images", total)]
    rows += [line(name, counts[name]) for name in (UNREADABLE, BLANK, FEW, MANY) if counts[name]]
    rows.append(line("hits", hits))
    if counts[NOT_INDEXED] or counts[INDEXED]:
        rows += [line("not indexed", counts[NOT_INDEXED]), line("indexed", counts[INDEXED])]
        rows.append(["crystals", n_crystals, ""])
    if n_integrated is not None and counts[INDEXED]:
        rows += [["crystals not integrated", n_failed, ""], ["crystals integrated", n_integrated, ""]]
    return Table("Images", ["", "Number", "%"], rows, "outcomes")


def reasons_table(outcomes: list[Outcome]) -> Table:
    """Reasons of failure, numbers in them left aside, the most frequent first, each with an image as an example."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if one.reason:
            kinds[re.sub(r"-?\d+(\.\d+)?", "#", one.reason.replace(one.name, "IMAGE"))].append(one)
    rows = [
        [len(found), _short(found[0].reason), found[0].name]
        for found in sorted(kinds.values(), key=len, reverse=True)[:MOST_REASONS]
    ]
    return Table("Why images were left behind", ["Images", "Reason (of the first)", "The first"], rows, "reasons")


def _short(text: str, most: int = 100) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
