"""Files as objects to look at and to go on with, in a notebook or a script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.errors import FileFormatError, UserError
from spindle.params import HostParams, build
from spindle.report import definitions_html

from .context import RunContext

if TYPE_CHECKING:
    from spindle.contracts import ProgramResult
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """What was read.

    Attributes
    ----------
    experiments : Experiments
        Empty where no file of experiments was given.
    reflections : ReflectionTable or None
        Column ``id`` points into `experiments`.
    files : tuple of Path
    notes : tuple of str
        What the reader has to say.
    """

    experiments: Experiments
    reflections: ReflectionTable | None
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def run(self, program: str, **params: Any) -> ProgramResult:
        """Run a program on it; see `spindle.run`."""
        from .runner import run

        return run(program, self.experiments or None, self.reflections, **params)

    def __repr__(self) -> str:
        names = ", ".join(f.name for f in self.files)
        n = 0 if self.reflections is None else len(self.reflections)
        return f"Loaded({names}: {len(self.experiments)} experiments, {n} reflections)"

    def _repr_html_(self) -> str:
        rows = [("files", ", ".join(f.name for f in self.files)), *(("note", note) for note in self.notes)]
        parts = [definitions_html("Loaded", rows), self.experiments._repr_html_()]
        if self.reflections is not None:
            parts.append(self.reflections._repr_html_())
        return "".join(parts)


def load(*files: Path | str) -> Loaded:
    """Read experiments and reflections, of Spindle, DIALS or another program that an importer is installed for.

    Parameters
    ----------
    *files : path
        Files .expt and .refl; several are joined. Or files of other programs, XDS_ASCII.HKL or an unmerged MTZ file for example.

    Returns
    -------
    Loaded

    Raises
    ------
    UserError
        If nothing is given, a file is of a kind that nobody reads, or reflections belong to none of the experiments.

    Examples
    --------
    >>> data = spindle.load("integrated.expt", "integrated.refl")  # doctest: +SKIP
    >>> data.reflections.to_pandas()  # doctest: +SKIP
    >>> data.run("symmetry")  # doctest: +SKIP
    """
    paths = [Path(f) for f in files]
    if not paths:
        raise UserError('load: no files; spindle.load("x.expt", "x.refl")')
    for path in paths:
        if not path.is_file():
            raise FileFormatError(f"{path}: no such file")
    ours = [p for p in paths if p.suffix in (".expt", ".refl", ".json")]
    if not ours:
        return _of_others(paths)
    if len(ours) < len(paths):
        other = next(p for p in paths if p not in ours)
        raise UserError(f"{other}: it is neither .expt nor .refl; load the results of other programs by themselves")
    # these import numba, which has to find its cache prepared
    from spindle.files import read_experiments, read_reflections
    from spindle.models import Experiments

    lists = [read_experiments(p) for p in paths if p.suffix != ".refl"]
    experiments = Experiments([e for found in lists for e in found])
    names = [p for p in paths if p.suffix == ".refl"]
    if not names:
        return Loaded(experiments, None, tuple(paths))
    from spindle.table import ReflectionTable

    from .door import check_reflections
    from .numbering import number_tables, numbered_by_identifiers

    tables = [read_reflections(p) for p in names]
    if len(tables) == 1:
        tables = [numbered_by_identifiers(tables[0], experiments or None, str(names[0]))]
    elif lists:
        tables = number_tables(tables, lists, [str(p) for p in names])
    for path, table in zip(names, tables, strict=True):
        check_reflections(table, experiments or None, str(path))
    return Loaded(experiments, tables[0] if len(tables) == 1 else ReflectionTable.concatenate(tables), tuple(paths))


def _of_others(paths: list[Path]) -> Loaded:
    from .importing import import_results

    found = import_results(paths, RunContext("load", build(HostParams)))
    if found is None:
        raise FileFormatError(
            f"{paths[0]}: no installed importer reads it; give .expt and .refl files, or images to spindle.run('import', files=[...])"
        )
    return Loaded(found.experiments, found.reflections, tuple(paths), found.notes)
