"""Commands that name the files that were given, whatever they are called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spindle.models import Experiments
from spindle.report import Section
from spindle.table import ReflectionTable

from .given import stage_of
from .questions import Answer

__all__ = ["FileNames"]

#: The step whose files a usual name stands for.
_STAGE = {
    "strong": "strong", "indexed": "indexed", "refined": "refined", "integrated": "integrated", "symmetrized": "integrated", "scaled": "scaled",
}  # fmt: skip
_PAIR = re.compile(rf"\b({'|'.join(('imported', *_STAGE))})\.expt(?: ({'|'.join(_STAGE)})\.refl)?")
#: Most files of one kind that a command lists.
_MOST = 6


class FileNames:
    """What the usual names (integrated.expt, scaled.refl) stand for among files that were given.

    Parameters
    ----------
    files : sequence of Path
        As the user has named them; names of other kinds are left out.
    experiments : Experiments or None
        Of all files of experiments together.
    tables : sequence of ReflectionTable
        Of the files of reflections, in their order.
    """

    def __init__(
        self, files: Sequence[Path], experiments: Experiments | None, tables: Sequence[ReflectionTable]
    ) -> None:
        self._models = [p for p in files if p.suffix == ".expt"]
        self._has_crystal = any(e.crystal is not None for e in experiments or ())
        reflections = [p for p in files if p.suffix == ".refl"]
        self._folder = files[-1].parent if len(files) else None
        self._reflections: dict[str, list[Path]] = {}
        if len(reflections) == len(tables):
            for path, table in zip(reflections, tables, strict=True):
                self._reflections.setdefault(stage_of(table), []).append(path)

    def in_text(self, text: str) -> str:
        """A sentence or a command with the names of what was given; names of steps that nothing was given of stay."""
        return _PAIR.sub(self._replaced, text)

    def in_answer(self, answer: Answer) -> Answer:
        """The same for an answer."""
        return replace(answer, reason=self.in_text(answer.reason), next_step=self.in_text(answer.next_step))

    def in_section(self, section: Section) -> None:
        """Change the texts and remarks of a section."""
        section.text[:] = [self.in_text(t) for t in section.text]
        section.remarks[:] = [(mood, self.in_text(t)) for mood, t in section.remarks]

    def _replaced(self, found: re.Match[str]) -> str:
        models, reflections = found[1], found[2]
        if reflections is None:
            return _listed(self._models_of(models, [])) or found[0]
        named = self._reflections_of(reflections)
        if not named:
            return found[0]
        return f"{_listed(self._models_of(models, named)) or models + '.expt'} {_listed(named)}"

    def _reflections_of(self, stem: str) -> list[Path]:
        """Those of the step that were given: of that name, else as the last is named; else what lies beside the given files."""
        of_stage = self._reflections.get(_STAGE[stem])
        if not of_stage:
            return self._beside(f"{stem}.refl")
        name = stem if any(p.stem == stem for p in of_stage) else of_stage[-1].stem
        several = [p for p in of_stage if p.stem == name]  # integrated.refl of several folders
        return several if {p.stem for p in of_stage} <= {"integrated", "symmetrized", name} else of_stage

    def _models_of(self, stem: str, reflections: list[Path]) -> list[Path]:
        """Experiments that belong to reflections; else those of that name, else the only ones, where they are as far as the step needs."""
        fits = self._has_crystal == (stem != "imported")
        own = [p.with_suffix(".expt") for p in reflections]
        if own and fits and all(p in self._models or p.is_file() for p in own):
            return own
        if named := [p for p in self._models if p.stem == stem] or self._beside(f"{stem}.expt"):
            return named
        return self._models if fits and len({p.stem for p in self._models}) == 1 else []

    def _beside(self, name: str) -> list[Path]:
        return [path] if self._folder is not None and (path := self._folder / name).is_file() else []


def _listed(paths: Sequence[Path]) -> str:
    return shlex.join(str(p) for p in paths[:_MOST]) + (" ..." if len(paths) > _MOST else "")
