"""The program `split_experiments`."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.params import Bool, Int, Ints, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_selection.parts import Parts, join

#: Wavelengths nearer to each other than this are one, angstrom.
SAME_WAVELENGTH = 1e-4
MAX_ROWS = 100


class SplitExperiments(Program):
    """Write each experiment, or each group of them, with its reflections to files of its own.

    Groups are the experiments with one detector, with one wavelength, or a number of them in their order. Rows of the
    reflections that belong to no experiment (spots that were not indexed) are left out.

        spindle split_experiments indexed.expt indexed.refl
        spindle split_experiments combined.expt combined.refl by_wavelength=True
        spindle split_experiments stills.expt stills.refl output.chunk_size=500
    """

    takes_files = False

    class Params(ParamsBase):
        """Parts to write."""

        by_detector = Bool(False, help="One part for each detector.")
        by_wavelength = Bool(False, help="One part for each wavelength, from the shortest (within 0.0001 A).")

        class output(ParamsBase):
            """What is written."""

            experiments_prefix = Str("split", help="Begin the names of experiment files with this.")
            reflections_prefix = Str("split", help="Begin the names of reflection files with this.")
            template = Str(
                "{prefix}_{index:0{maxindexlength:d}d}.{extension}",
                level=2,
                help="Names of the files: Python's format of prefix, index, maxindexlength (digits of the largest index) and extension.",
            )
            chunk_size = Int(None, min=1, max=10_000_000, level=2, help="Write parts of this many experiments.")
            chunk_sizes = Ints(
                None,
                min=1,
                max=10_000_000,
                level=2,
                help="Write parts of these numbers of experiments, which add up to all.",
            )
            log = PathParam("spindle.split_experiments.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Split; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments:
            raise UserError("split_experiments: no experiments: give an experiment file, and its reflections")
        table = join(inputs.reflections)
        if table is not None and "id" not in table:
            raise UserError("split_experiments: the reflections have no column id, which tells their experiments apart")
        groups = groups_of(experiments, params)
        parts = Parts(experiments, table)
        files: dict[str, Callable[[Path], None]] = {}
        rows: list[list[Any]] = []
        width = len(str(len(experiments) - 1))
        for index, (what, places) in enumerate(groups):
            context.check_cancelled()
            chosen, reflections = parts.take(places, with_stray=False)
            names = [file_name(params.output, "expt", index, width)]
            _add(files, names[0], partial(write_experiments, chosen), params.output.template)
            if reflections is not None:
                names.append(file_name(params.output, "refl", index, width))
                _add(files, names[1], partial(write_reflections, reflections), params.output.template)
            rows.append([what, len(places), None if reflections is None else len(reflections), " ".join(names)])
        shown = rows[:MAX_ROWS]
        if len(rows) > MAX_ROWS:
            shown.append([f"... {len(rows) - MAX_ROWS} more", None, None, ""])
        context.table(Table("Parts", ["Part", "Experiments", "Reflections", "Files"], shown, "parts"))
        if table is not None:
            _say_strays(table, context)
        first = " ".join(list(files)[: 1 if table is None else 2])
        summary = {"n_parts": len(groups), "n_experiments": len(experiments)}
        return ProgramResult(files=files, summary=summary, next_step=f"spindle show {first}")


def groups_of(experiments: Experiments, params: Any) -> list[tuple[str, list[int]]]:
    """What each part is, and the places of its experiments.

    Raises
    ------
    ParameterError
        If more than one way to split is asked for, or numbers of experiments do not add up.
    """
    output = params.output
    ways = {
        "by_detector=True": params.by_detector, "by_wavelength=True": params.by_wavelength,
        "output.chunk_size=": output.chunk_size is not None, "output.chunk_sizes=": output.chunk_sizes is not None,
    }  # fmt: skip
    given = [name for name, is_set in ways.items() if is_set]
    if len(given) > 1:
        raise ParameterError(f"split_experiments: {given[0]} and {given[1]} are two ways to split; give one of them")
    n = len(experiments)
    if params.by_detector:
        found = [experiments.indices_with("detector", d) for d in experiments.unique("detector")]
        return [(f"detector {k}", places) for k, places in enumerate(found)]
    if params.by_wavelength:
        return _by_wavelength(experiments)
    if output.chunk_sizes is not None:
        sizes = list(output.chunk_sizes)
        if sum(sizes) != n:
            raise ParameterError(
                f"output.chunk_sizes={','.join(map(str, sizes))}: that is {sum(sizes)} experiments, there are {n}"
            )
    else:
        size = output.chunk_size or 1
        sizes = [min(size, n - start) for start in range(0, n, size)]
    ends = np.cumsum([0, *sizes]).tolist()
    names = [f"{a}" if b == a + 1 else f"{a} to {b - 1}" for a, b in pairwise(ends)]
    return [(name, list(range(a, b))) for name, a, b in zip(names, ends, ends[1:], strict=False)]


def _by_wavelength(experiments: Experiments) -> list[tuple[str, list[int]]]:
    """Experiments of each wavelength; a chain of near ones is one."""
    values = np.array([e.beam.wavelength for e in experiments])
    order = np.argsort(values, kind="stable")
    new = np.concatenate([[True], np.diff(values[order]) > SAME_WAVELENGTH])
    number = np.cumsum(new) - 1
    found = [np.sort(order[number == k]).tolist() for k in range(number[-1] + 1)]
    return [(f"{np.mean(values[places]):.5f} A", places) for places in found]


def file_name(output: Any, extension: str, index: int, width: int) -> str:
    """The name of a file by the template.

    Raises
    ------
    ParameterError
        If the template asks for what there is not.
    """
    prefix = output.experiments_prefix if extension == "expt" else output.reflections_prefix
    try:
        if re.search(r"\d{3}", output.template) or any(
            name and not name.isidentifier() for _, name, _, _ in string.Formatter().parse(output.template)
        ):
            raise ValueError("names and widths of up to 99 digits alone can be filled in")
        return output.template.format(prefix=prefix, index=index, maxindexlength=width, extension=extension)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ParameterError(
            f"output.template={output.template}: {error}; use prefix, index, maxindexlength and extension in braces, such as "
            "{prefix}_{index:04d}.{extension}"
        ) from error


def _add(files: dict[str, Callable[[Path], None]], name: str, writer: Callable[[Path], None], template: str) -> None:
    if name in files:
        raise ParameterError(
            f"output.template={template}: two files would be called {name}; use index and extension in it"
        )
    files[name] = writer


def _say_strays(table: ReflectionTable, context: Any) -> None:
    strays = int(np.count_nonzero(table["id"] < 0))
    if strays:
        context.log.info("%d reflections belong to no experiment (they are not indexed) and are left out", strays)
