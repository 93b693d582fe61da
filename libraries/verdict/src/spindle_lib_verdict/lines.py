"""The judged lines and all of them together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from spindle.report import Table

__all__ = ["COLOURS", "Line", "Verdict"]

#: From the best to the worst.
COLOURS = ("green", "amber", "red")


@dataclass(frozen=True, slots=True)
class Line:
    """One judged fact.

    Attributes
    ----------
    colour : str
        "green", "amber" or "red".
    topic : str
        What it is about, a word that does not change between versions: images, spots, ice, indexing, lattices, geometry, symmetry, twin,
        signal, agreement, errors, completeness, resolution, damage, run.
    said : str
        The fact with its number.
    reason : str
        Why it is not green, and what it may mean; empty for green lines.
    next_step : str
        Command or action; empty for green lines.
    value, limit : float or None
        The number that was judged, and the limit that it has passed.
    """

    colour: str
    topic: str
    said: str
    reason: str = ""
    next_step: str = ""
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All lines of a run, the worst first."""

    lines: tuple[Line, ...]

    @property
    def colour(self) -> str:
        """That of the worst line; amber where nothing is known, since nothing was shown to be good."""
        return max((line.colour for line in self.lines), key=COLOURS.index, default="amber")

    def of(self, colour: str) -> tuple[Line, ...]:
        """The lines of one colour."""
        return tuple(line for line in self.lines if line.colour == colour)

    @property
    def next_step(self) -> str:
        """What to do first: that of the first line that has one; empty for a green verdict."""
        return next((line.next_step for line in self.lines if line.next_step), "")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"colour": self.colour, "next": self.next_step, "lines": [asdict(line) for line in self.lines]}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Verdict:
        """From what `as_dict` gave."""
        return cls(tuple(Line(**line) for line in content["lines"]))

    def table(self) -> Table:
        """One line each."""
        rows = [[line.colour, line.topic, line.said] for line in self.lines]
        return Table(f"Verdict: {self.colour}", ["", "About", "What"], rows, "verdict")

    def text(self) -> str:
        """As a person reads it: one line a fact, and below those that are not green why and what next."""
        if not self.lines:
            return "Verdict: none yet, no step has said how good the data are"
        width = max(len(colour) for colour in COLOURS)
        found = [f"Verdict: {self.colour}"]
        for line in self.lines:
            found.append(f"  {line.colour:<{width}}  {line.said}")
            if line.reason:
                found.append(f"  {'':<{width}}  {line.reason}")
            if line.next_step:
                found.append(f"  {'':<{width}}  Next: {line.next_step}")
        return "\n".join(found)
