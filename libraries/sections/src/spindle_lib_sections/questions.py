"""Five questions that a referee asks, answered with the judged lines of `spindle_lib_verdict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from spindle.report import Section
from spindle_lib_verdict import COLOURS, Facts, Line, Verdict, judge

__all__ = ["QUESTIONS", "Answer", "answers", "facts_of", "judged"]

#: Question, topics of the lines that answer it, and what to run where nothing is known.
QUESTIONS = (
    (
        "Does the lattice explain the spots?",
        ("spots", "indexing", "lattices"),
        "spindle index imported.expt strong.refl",
    ),
    ("Are reflections where they are calculated?", ("geometry",), "spindle refine indexed.expt indexed.refl"),
    ("Did crystal, beam and images stay good?", ("images", "ice", "damage"), "spindle find_spots imported.expt"),
    (
        "Is the symmetry right, and is it one crystal?",
        ("symmetry", "twin"),
        "spindle symmetry integrated.expt integrated.refl",
    ),
    (
        "How good are the data, how complete, and how far do they go?",
        ("run", "signal", "agreement", "errors", "completeness", "resolution"),
        "spindle scale symmetrized.expt symmetrized.refl",
    ),
)
#: What to run instead where each image is of a crystal of its own, by the question.
OF_STILLS = {
    QUESTIONS[3][0]: "spindle cosym integrated.expt integrated.refl",
    QUESTIONS[4][0]: "spindle scale_stills integrated.expt integrated.refl",
}
#: What to do about a question of a step that was done, since a later one is answered.
EARLIER = "give the report the files of that step, too, such as indexed.refl or refined.refl"
_MOODS = {"green": "good", "amber": "doubtful", "red": "bad"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One light.

    Attributes
    ----------
    question : str
    mood : str
        "good", "doubtful", "bad", or "unknown".
    said : str
        The facts with their numbers.
    reason : str
        Why it is not green, and what it may mean.
    next_step : str
        What to do, with the command; empty where there is nothing to do.
    """

    question: str
    mood: str
    said: str
    reason: str = ""
    next_step: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


def facts_of(sections: Sequence[Section]) -> Facts:
    """What the sections know.

    Where the data are those of one run, as it has left them, its verdict is theirs: facts of its steps (values ``facts_of_run``) stand
    before all. Else the data themselves tell (values ``facts``, of later sections before those of earlier ones), and before them those of
    merged data (``facts_of_merged``).
    """
    kinds = ("facts", "facts_of_merged", "facts_of_run")
    return Facts.joined(Facts.from_dict(s.values.get(name, {})) for name in kinds for s in sections)


def judged(sections: Sequence[Section]) -> str:
    """Which data the verdict is about, in a sentence; empty where there is nothing to say."""
    known = [name for name in ("facts_of_run", "facts_of_merged") if any(s.values.get(name) for s in sections)]
    facts = facts_of(sections)
    if "facts_of_merged" in known and facts.d_min is not None:
        return f"Judged are the data as they were merged, to {facts.d_min:.2f} A, and the steps before; the figures below are of all data."
    if "facts_of_run" in known:
        return "Judged is what the steps of this run have said; the figures below are of the data that were given."
    return "Judged are the data that were given, all of them." if facts.as_dict() else ""


def answers(sections: Sequence[Section], stills: bool = False) -> tuple[list[Answer], Verdict]:
    """Answer the questions from what the sections know, about stills or sweeps; the verdict has all lines."""
    verdict = judge(facts_of(sections))
    lines = [[line for line in verdict.lines if line.topic in topics] for _, topics, _ in QUESTIONS]
    last = max((i for i, found in enumerate(lines) if found), default=-1)
    return [
        _answer(question, found, (OF_STILLS.get(question, first) if stills else first) if i > last else EARLIER)
        for i, ((question, _, first), found) in enumerate(zip(QUESTIONS, lines, strict=True))
    ], verdict


def _answer(question: str, lines: list[Line], first: str) -> Answer:
    """The worst line decides; it stands first."""
    if not lines:
        return Answer(question, "unknown", "nothing that was given tells", "", first)
    worst = max(lines, key=lambda line: COLOURS.index(line.colour))
    return Answer(
        question, _MOODS[worst.colour], "; ".join(line.said for line in lines),
        "; ".join(dict.fromkeys(line.reason for line in lines if line.reason)), worst.next_step,
    )  # fmt: skip
