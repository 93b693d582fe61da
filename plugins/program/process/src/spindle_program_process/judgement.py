"""What the steps have found, judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError
from spindle.execution import read_record
from spindle.files import atomic_write
from spindle.report import json_text
from spindle_lib_verdict import Facts, Verdict, facts_of_steps, judge

from .steps import STEPS

__all__ = ["FORMAT", "Judged", "judged", "text_of"]

#: Version of the content of process.json; see docs/how-to/judge-a-run.md.
FORMAT = 1


class Judged:
    """Facts of a run and the verdict on them.

    Attributes
    ----------
    facts : Facts
    verdict : Verdict
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.verdict: Verdict = judge(facts)

    def next_step(self, merged: str) -> str:
        """What the user does now that everything is done."""
        verdict = self.verdict
        if verdict.colour == "red":
            why = "; ".join(line.said for line in verdict.of("red"))
            return f"do not solve a structure from these data before this is mended: {why}. First: {verdict.next_step}"
        look = "spindle show scaled.expt scaled.refl looks at the data"
        if verdict.colour == "amber":
            return f"see to the amber lines, then open {merged} in a structure solution program; {look}"
        return f"open {merged} in a structure solution program; {look}"


def judged(
    report: dict[str, Any], params: Any, start: int, failed: str | None = None, failed_step: str | None = None
) -> Judged:
    """Judge the steps that were done, and those before them by the records that they have left in this folder.

    Parameters
    ----------
    report : dict of str to dict
        Summaries by the name of the step.
    params : Params
        Those of `process`.
    start : int
        Number of the first step that was done.
    failed : str, optional
        What ended the chain.
    failed_step : str, optional
        In which step.
    """
    earlier = {}
    for step in STEPS[:start]:
        path: Path = step.record(params)
        if step.name in report or not path.is_file():
            continue
        try:
            record = read_record(path)
        except FileFormatError:
            continue
        if record["program"] == step.program(params) and isinstance(record.get("summary"), dict):
            earlier[step.name] = record["summary"]
    return Judged(facts_of_steps({**earlier, **report}, failed, failed_step))


def text_of(report: dict[str, Any], warnings: list[str], result: Judged, failed: str | None) -> str:
    """The content of process.json."""
    content = {
        "format": "spindle process", "format_version": FORMAT, "failed": failed, "verdict": result.verdict.as_dict(),
        "facts": result.facts.as_dict(), "steps": report, "warnings": warnings,
    }  # fmt: skip
    return json_text(content, 2) + "\n"


def write_failed(path: Path, text: str) -> None:
    """Write process.json of a run that a step has ended: the host writes nothing then."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
