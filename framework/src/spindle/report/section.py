"""Sections of a report: what one part of the work has to show, as plain values that any page can draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .table import Table

__all__ = ["MOODS", "Section"]

#: How a remark judges: all is well, look at it, mend it.
MOODS = ("good", "doubtful", "bad")


@dataclass(slots=True)
class Section:
    """A part of a report.

    Parameters
    ----------
    title : str
    key : str
        Short name by which scripts find the section in the JSON file: letters, digits and underscores.
    text : list of str
        Paragraphs, in plain text.
    remarks : list of (str, str)
        Judgements: one of `MOODS`, and a sentence.
    tables : list of Table
    figures : dict of str to dict
        By key, each with ``data`` and ``layout`` of plain values as plotly has them, and with ``wide`` where it is to take the width of
        the page.
    absent : str
        Why there is nothing to show and what to do about it; empty where there is.
    values : dict
        Further plain values for the JSON file.

    Raises
    ------
    ValueError
        If the key is no name, or a remark has another mood.

    Examples
    --------
    >>> Section("Spots", "spots", ["1200 spots"], [("good", "no image is without spots")]).to_dict()["text"]
    ['1200 spots']
    """

    title: str
    key: str
    text: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.key.isidentifier():
            raise ValueError(
                f"section {self.title!r}: the key {self.key!r} is no name of letters, digits and underscores"
            )
        for mood, sentence in self.remarks:
            if mood not in MOODS:
                raise ValueError(f"section {self.key}: {mood!r} of {sentence!r} is none of {', '.join(MOODS)}")
        for key, figure in self.figures.items():
            if not isinstance(figure, Mapping) or not isinstance(figure.get("data"), list | tuple):
                raise ValueError(f"section {self.key}: figure {key} has no list ``data``, as plotly wants it")

    @classmethod
    def missing(cls, title: str, key: str, reason: str) -> Section:
        """A section of which nothing can be shown."""
        return cls(title, key, absent=reason)

    def to_dict(self) -> dict[str, Any]:
        """Everything in it, for JSON: figures by their keys beside text, remarks, tables and values."""
        return {
            "title": self.title,
            "absent": self.absent,
            "text": list(self.text),
            "remarks": [{"mood": mood, "text": sentence} for mood, sentence in self.remarks],
            "tables": {t.key or str(i): t.to_dict() for i, t in enumerate(self.tables)},
            "values": dict(self.values),
            **{key: {"data": f["data"], "layout": f.get("layout", {})} for key, f in self.figures.items()},
        }
