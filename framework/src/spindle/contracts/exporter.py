"""Slot ``exporter``: write integrated, scaled or merged data in the format of another program.

Chosen by ``format=`` of `spindle export`; entry-point group ``spindle.exporter``. An exporter computes what goes into
its files and returns writers; the host calls them with temporary paths, so that no file is ever half written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, Fault, instance, items

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable

__all__ = ["Export", "ExporterSpec", "MergedColumn", "MergedData", "MergedDataset"]


@dataclass(slots=True)
class Export:
    """What an exporter wants written.

    Attributes
    ----------
    files : dict of path to writer
        Paths as the user will see them (relative to the working folder); each writer is called once with a path to
        write to.
    messages : list of str
        What the user should know: above all which intensity the file holds, how many reflections, what was left out.
    summary : dict
        Key numbers.
    tables : list of spindle.report.Table
        Shown after the messages: what the files hold.
    next_step : str
        What to do with the files, as a command where there is one; empty says that the program takes them that reads the format.
    """

    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class MergedDataset:
    """One data set of a merged file: the data of one wavelength.

    Attributes
    ----------
    name, crystal, project : str
    cell : (6,) float64, angstrom and degrees
    wavelength : float, angstrom
    """

    name: str
    crystal: str
    project: str
    cell: np.ndarray
    wavelength: float


@dataclass(frozen=True, slots=True)
class MergedColumn:
    """A column of merged data.

    Attributes
    ----------
    label : str
        As programs expect it: IMEAN, SIGIMEAN, I(+), F, ...
    type : str
        MTZ column type: J, Q, K, M, F, G, L, D, I, R ...
    values : (n,) float
        NaN is missing.
    dataset : int
        Position in `MergedData.datasets`.
    """

    label: str
    type: str
    values: np.ndarray
    dataset: int = 0


@dataclass(frozen=True, slots=True)
class MergedData:
    """Merged intensities and amplitudes, one row per unique index.

    Attributes
    ----------
    miller_index : (n, 3) int
        Inside CCP4's asymmetric unit.
    columns : list of MergedColumn
    datasets : list of MergedDataset
        At least one.
    space_group : str
        Hall or Hermann-Mauguin symbol.
    title : str
    """

    miller_index: np.ndarray
    columns: list[MergedColumn]
    datasets: list[MergedDataset]
    space_group: str
    title: str = "Merged by spindle"


def check_export(arguments: dict[str, Any], result: Any) -> Export:
    """Refuse what holds no writers."""
    export: Export = instance(result, Export, "the result")
    for path, writer in instance(export.files, dict, "files").items():
        instance(path, (str, Path), "a path in files")
        if not callable(writer):
            raise Fault(f"files[{str(path)!r}] is {type(writer).__name__}, a function that writes to a path expected")
    if not export.files:
        raise Fault("files is empty, at least one file expected")
    items(export.messages, str, "messages")
    instance(export.summary, dict, "summary")
    return export


class ExporterSpec:
    """Hooks of an exporter; an exporter implements one or both.

    Attributes
    ----------
    needs : frozenset of str, declared
        Of ``experiments`` and ``reflections`` those without which `export` can do nothing. An argument that is not needed may be None.
    several_panels : bool, declared
        Whether the format can say where a reflection is on a detector of several panels. Unless it can, the program refuses such
        experiments before the exporter sees them.
    several_experiments : bool, declared
        The same for several experiments.
    """

    declares: ClassVar[dict[str, Any]] = {
        "needs": frozenset({"experiments", "reflections"}),
        "several_panels": False,
        "several_experiments": True,
    }

    checks: ClassVar[Checks] = {"export": check_export, "export_merged": check_export}

    optional: ClassVar[frozenset[str]] = frozenset({"export", "export_merged"})

    @hookspec(firstresult=True)
    def export(  # type: ignore[empty-body]
        self, experiments: Experiments, reflections: ReflectionTable | None, intensity: str, path: str | None
    ) -> Export:
        """Unmerged data.

        Parameters
        ----------
        experiments : Experiments
        reflections : ReflectionTable
            Integrated or scaled; `id` points into `experiments`.
        intensity : "auto", "profile", "sum", "profile+sum" or "scale"
            Which intensity is wanted; "auto" is scaled when the data are scaled, else profile-fitted and summed.
        path : str or None
            Output file or folder; None leaves it to the exporter's parameters.

        Raises
        ------
        UserError
            If the data lack what the format needs: what, which value, remedy.
        """

    @hookspec(firstresult=True)
    def export_merged(self, merged: MergedData, path: str) -> Export:  # type: ignore[empty-body]
        """Merged data.

        Parameters
        ----------
        merged : MergedData
            One row per unique index, with columns as programs expect them.
        path : str
            Output file as the user named it.

        Raises
        ------
        UserError
            If the format cannot hold these data.
        """
