"""Whether data sets are indexed alike, and like a reference, where the lattice has more symmetry than the crystal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.symmetry import ChangeOfBasis
from spindle.table import ReflectionTable
from spindle_lib_merging import prepare_intensities
from spindle_lib_reference_intensities import Indexings, clear_choice
from spindle_lib_reindexing import change_experiments, change_indices

from .params import ScaleParams

if TYPE_CHECKING:
    from spindle.contracts.scaling import ScaleTarget

__all__ = ["consistently_indexed", "observed_intensities"]

#: Rows of tables that are shown.
MOST_ROWS = 50


def observed_intensities(table: ReflectionTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices (n, 3), intensities (n,) and sigmas (n,) of what was integrated, corrected, before scaling."""
    data = prepare_intensities(table, "auto")
    return data.table["miller_index"], data.values[data.best], np.sqrt(data.variances[data.best])


def consistently_indexed(
    experiments: Experiments,
    table: ReflectionTable,
    target: ScaleTarget | None,
    scaled: Sequence[int],
    params: ScaleParams,
    context: Any,
) -> tuple[Experiments, ReflectionTable]:
    """Data sets in one indexing, that of the reference where there is one.

    Parameters
    ----------
    experiments : Experiments
        Of one space group.
    table : ReflectionTable
    target : ScaleTarget or None
        In the setting of the data.
    scaled : sequence of int
        Experiments that were scaled before, which keep their indexing.
    params : ScaleParams
        With ``check_consistent_indexing`` data are reindexed; without, and with a reference, it is said where they should be.
    """
    check = params.scaling_options.check_consistent_indexing
    if not check and target is None:
        return experiments, table
    indexings = Indexings(experiments[0].known_crystal)
    if not indexings.ambiguous:
        if check:
            context.log.info("The lattice leaves one way to index the data, which are therefore indexed alike")
        return experiments, table
    crystals: dict[int, list[int]] = {}
    for k, experiment in enumerate(experiments):
        crystals.setdefault(id(experiment.crystal), []).append(k)
    units = list(crystals.values())
    sets = []
    for members in units:
        hkl, value, sigma = observed_intensities(table.select(np.isin(table["id"], members)))
        sets.append(indexings.normalised(hkl, value, sigma, experiments[members[0]].known_crystal))
    operators = [ChangeOfBasis.identity()] * len(units)
    rows: list[list[Any]] = []
    doubtful: list[int] = []
    if target is not None:
        known = experiments[0].known_crystal
        spread = np.maximum(np.sqrt(target.variance), 0.05 * np.abs(target.intensity) + 1e-30)
        reference = indexings.normalised(target.miller_index, target.intensity, spread, known)
        for i, (members, data) in enumerate(zip(units, sets, strict=True)):
            choices = indexings.choices(reference, data)
            best, clear = clear_choice([c for _, c in choices])
            if clear:
                operators[i] = choices[best][0]
            else:
                doubtful.extend(members)
            found = choices[best if clear else 0]
            others = max(
                (c.cc for n, (_, c) in enumerate(choices) if n != (best if clear else 0)), default=float("nan")
            )
            rows += [[k, found[0].as_abc(), found[1].n, _number(found[1].cc), _number(others)] for k in members]
    elif len(units) > 1:
        frames = np.arange(len(units))
        fixed = [i for i, members in enumerate(units) if any(k in scaled for k in members)]
        if fixed:  # those that were scaled together stay together
            frames[fixed] = fixed[0]
        operators, found_all = indexings.aligned(sets, frames)
        if fixed:
            back = operators[fixed[0]].inverse()
            operators = [back @ o for o in operators]
        doubtful = [k for i, members in enumerate(units) if not found_all.decided[i] for k in members]
        rows = [
            [k, operators[i].as_abc(), int(found_all.n_common[i]), _number(found_all.cc[i]), _number(found_all.cc_next[i])]
            for i, members in enumerate(units) for k in members
        ]  # fmt: skip
    if not rows:
        return experiments, table
    headers = ["Data set", "Change of basis", "Common reflections", "CC", "CC of the next"]
    title = "Indexing against the reference" if target is not None else "Indexing of the data sets against each other"
    context.table(Table(title, headers, sorted(rows)[:MOST_ROWS], "consistent_indexing"))
    if doubtful:
        context.log.warning(
            "The intensities do not tell the indexing of data set(s) %s: too few reflections in common, weak or twinned data. "
            "They stay as they are", ", ".join(map(str, sorted(doubtful)[:20])),
        )  # fmt: skip
    of_experiment = [ChangeOfBasis.identity()] * len(experiments)
    for operator, members in zip(operators, units, strict=True):
        for k in members:
            of_experiment[k] = operator
    turned = [k for k, o in enumerate(of_experiment) if not o.is_identity()]
    if not turned:
        return experiments, table
    names = ", ".join(map(str, turned[:20]))
    if not check:
        context.log.warning(
            "Data set(s) %s agree with the reference in another indexing: scaling_options.check_consistent_indexing=True reindexes them",
            names,
        )  # fmt: skip
        return experiments, table
    context.log.info("Data set(s) %s are reindexed", names)
    changed = change_indices(table, of_experiment)
    return change_experiments(experiments, of_experiment), changed.table


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
