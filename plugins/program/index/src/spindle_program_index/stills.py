"""Stills: each a crystal of its own, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments
from spindle.params import Auto, walk
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_refinement.short_refinement import quiet

from .indexed import Indexed

#: Stills and lines of reasons that are listed.
MOST_SHOWN = 200
#: Stills that are named in a warning.
MOST_NAMED = 10


def groups_of(sweeps: Experiments, joint: Any) -> list[list[int]]:
    """Numbers of the sweeps and stills that have their crystals in common.

    Parameters
    ----------
    sweeps : Experiments
    joint : bool or Auto
        Auto: all rotation sweeps together, each still by itself.
    """
    if joint is True:
        return [list(range(len(sweeps)))]
    if joint is False:
        return [[i] for i in range(len(sweeps))]
    rotated = [i for i, sweep in enumerate(sweeps) if not sweep.is_still]
    return ([rotated] if rotated else []) + [[i] for i, sweep in enumerate(sweeps) if sweep.is_still]


def check_stills_params(sweeps: Experiments, stills: Any) -> None:
    """Refuse parameters of the model of stills that nothing would heed.

    Raises
    ------
    ParameterError
    """
    changed = [entry for entry in walk(stills) if entry.is_modified and not entry.path.endswith("indexer")]
    if not changed or (stills.indexer != "sequences" and any(sweep.is_still for sweep in sweeps)):
        return
    why = "stills.indexer=sequences has no model of stills" if stills.indexer == "sequences" else "there are no stills"
    raise ParameterError(f"indexing.stills.{changed[0].path}={changed[0].text}: {why}; leave it out")


def settings_for_a_still(params: Any) -> Any:
    """Parameters with which a single still is indexed: its detector and beam stay where they are, unless fixed otherwise.

    The distance and the size of the cell, a tilt and its angles look alike in one still, and there are few spots.
    """
    detector = params.refinement.parameterisation.detector
    if detector.fix is not Auto or detector.fix_list is not None:
        return params
    return params.changed(
        refinement__parameterisation__detector__fix="all", refinement__parameterisation__beam__fix=("all",)
    )


def name_of(sweep: Experiment, number: int) -> str:
    """The file of a still, else its number."""
    paths = [] if sweep.imageset is None else [str(p) for p in sweep.imageset.paths]
    if not paths:
        return f"still {number}"
    image = "" if sweep.scan is None or len(paths) == 1 else f" image {sweep.scan.image_range[0]}"
    return Path(paths[0]).name + image


def index_stills(
    sweeps: Experiments,
    spots: ReflectionTable,
    numbers: list[int],
    params: Any,
    context: Any,
    index_one: Callable[[Experiments, ReflectionTable, Any], Indexed],
) -> tuple[list[tuple[int, Indexed]], list[str]]:
    """Index stills one by one; what cannot be indexed is left out.

    Returns
    -------
    list of (number of the still, Indexed)
    list of str
        Why others failed, each with the name of the still.
    """
    settings = settings_for_a_still(params)
    found, failed, rows = [], [], []
    with context.progress("Indexing stills", len(numbers)) as progress:
        for number in numbers:
            context.check_cancelled()
            own = spots.select(spots["imageset_id"] == number)
            own["imageset_id"] = np.zeros(len(own), dtype=np.int32)
            n_tables = len(context.tables)
            try:
                if len(own) == 0:
                    raise IndexingError("it has no spots")
                with quiet():
                    part = index_one(Experiments([sweeps[number]]), own, settings)
                found.append((number, part))
                rows.append(_row(sweeps[number], number, part))
            except UserError as error:
                failed.append(f"{name_of(sweeps[number], number)} ({len(own)} spots): {str(error).splitlines()[0]}")
                rows.append([name_of(sweeps[number], number), len(own), 0, "--", "--", "--"])
            del context.tables[n_tables:]
            progress.advance()
    context.table(
        Table(
            f"Stills, each indexed by itself ({len(found)} of {len(numbers)})",
            ["Still", "Spots", "Indexed", "%", "rmsd\n(px)", "Unit cell"],
            rows[:MOST_SHOWN],
            "stills",
        )
    )
    return found, failed


def _row(sweep: Experiment, number: int, part: Indexed) -> list[Any]:
    total = len(part.reflections)
    rmsd = "--" if part.last is None else f"{np.hypot(*np.mean(part.last.rmsd_px, axis=0)[:2]):.2f}"
    crystals = part.experiments.unique("crystal")
    cells = "; ".join(" ".join(f"{v:.2f}" for v in c.cell) for c in crystals)
    return [name_of(sweep, number), total, part.n_indexed, f"{100 * part.n_indexed / max(total, 1):.1f}", rmsd, cells]


def few_text(few: list[tuple[str, float]], n: int, warn_below: float) -> str:
    """The warning about stills of which few spots are indexed, with their names and the fractions."""
    worst = sorted(few, key=lambda f: f[1])[:MOST_NAMED]
    named = ", ".join(f"{name} ({100 * fraction:.0f} %)" for name, fraction in worst)
    return (
        f"WARNING: fewer than {100 * warn_below:.0f} % of the spots are indexed of {len(few)} of {n} stills: {named}"
        + (" ..." if len(few) > len(worst) else "")
        + ". Several crystals (max_lattices=Auto), ice or noise among the spots, or a wrong cell or geometry; index one of them alone for "
        "more"
    )


def failure_text(failed: list[str], n: int) -> str:
    """The warning about stills that were left out."""
    more = "" if len(failed) <= MOST_SHOWN else f"\n  and {len(failed) - MOST_SHOWN} more"
    return (
        f"WARNING: {len(failed)} of {n} stills cannot be indexed and are left out:\n"
        + "\n".join(f"  {text}" for text in failed[:MOST_SHOWN])
        + more
    )


def together_text(n: int) -> str:
    """What is done with stills, for the log."""
    return (
        f"{n} stills are taken as {n} crystals, each indexed by itself with beam and detector as the headers have them; "
        "indexing.joint_indexing=True takes all as one crystal"
    )
