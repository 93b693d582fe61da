"""The operator, where it is not given: from orientations, from positions of spots, or from intensities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import spindle
from spindle.errors import ParameterError, UserError
from spindle.models import Crystal, Experiments
from spindle.report import Table
from spindle.symmetry import ChangeOfBasis, change_crystal_basis
from spindle.table import INTEGRATED, Flag, ReflectionTable
from spindle_lib_merging import prepare_intensities, read_intensities
from spindle_lib_reference_intensities import Indexings, clear_choice
from spindle_lib_reindexing import change_indices, change_of_setting, match, observed_indices
from spindle_lib_symmetry_analysis.alignment import IndexingChoice, Observed
from spindle_lib_symmetry_analysis.operator_correlations import values_of_spots

#: Cells of data and reference may differ by this part of an edge and by this angle in degrees.
CELL_LENGTHS, CELL_ANGLES = 0.1, 5.0
#: Fewer common reflections than this decide nothing.
MIN_COMMON = 12
#: Crystals, and rows of tables, that are shown.
MOST_TOLD, MOST_ROWS = 10, 50


@dataclass(frozen=True, slots=True)
class Reference:
    """Data to follow."""

    experiments: Experiments
    reflections: ReflectionTable | None
    crystal: Crystal


def read_reference(experiments: Path, reflections: Path | None) -> Reference:
    """Read the reference; of several crystals the one of median volume stands for all.

    Raises
    ------
    UserError
        If it has no crystal, or crystals of several space groups.
    """
    loaded = spindle.load(*(path for path in (experiments, reflections) if path is not None))
    models = loaded.experiments
    crystals = [c for c in models.unique("crystal") if c is not None]
    if not crystals:
        raise UserError(
            f"reference.experiments={experiments}: there is no crystal in it; run spindle index on it first"
        )
    names = list(dict.fromkeys(c.space_group.xhm() for c in crystals))
    if len(names) > 1:
        raise UserError(
            f"reference.experiments={experiments}: its crystals have several space groups, {', '.join(names)}; give one "
            "that has a single one"
        )
    middle = sorted(crystals, key=lambda c: c.volume)[len(crystals) // 2]
    return Reference(models, loaded.reflections, middle)


def read_reference_file(path: Path) -> Reference:
    """Intensities of another program as a reference: a crystal of their cell and group, in any orientation.

    Raises
    ------
    UserError
        If the file has no intensities, no cell or no space group.
    """
    read = read_intensities(path, "reference.file")
    if read.group is None or not read.cell[:3].min() > 1:
        raise UserError(f"reference.file={path}: it does not tell the cell and the space group; give a file that does")
    crystal = Crystal.from_cell(read.cell, space_group=read.group)
    n = len(read.hkl)
    table = ReflectionTable({
        "miller_index": read.hkl, "id": np.zeros(n, np.int32), "flags": np.full(n, int(Flag.INTEGRATED_SUM), np.uint64),
        "intensity.sum.value": read.value, "intensity.sum.variance": read.sigma**2, "partiality": np.ones(n),
        "d": 1 / np.maximum(np.linalg.norm(read.hkl @ crystal.A.T, axis=1), 1e-9),
    })  # fmt: skip
    return Reference(Experiments([]), table, crystal)


def operators_of_orientations(experiments: Experiments, reference: Reference, context: Any) -> list[ChangeOfBasis]:
    """From the basis of each experiment's crystal to that of the reference, by the smallest rotation between the two."""
    found: dict[int, ChangeOfBasis] = {}
    for number, crystal in enumerate(_crystals(experiments)):
        m = match(crystal, reference.crystal)
        found[id(crystal)] = m.operator
        if number < MOST_TOLD:
            context.log.info(
                "Crystal %d: change of basis to that of the reference: %s; the reference is turned from it by %.3f degrees "
                "about the axis %s:\n%s", number, m.operator.as_abc(), m.angle_deg,
                " ".join(f"{v + 0.0:.3f}" for v in m.axis),
                "\n".join("    " + " ".join(f"{v + 0.0:8.5f}" for v in row) for row in m.rotation),
            )  # fmt: skip
    return [found.get(id(e.crystal), ChangeOfBasis.identity()) for e in experiments]


def _crystals(experiments: Experiments) -> list[Crystal]:
    return [c for c in experiments.unique("crystal") if c is not None]


def operators_of_spots(experiments: Experiments, table: ReflectionTable, context: Any) -> list[ChangeOfBasis]:
    """From the indices of the spots to those that each experiment's crystal gives them.

    Raises
    ------
    UserError
        If the positions do not tell.
    """
    for name in ("id", "panel", "xyzobs.px.value", "xyzobs.px.variance"):
        if name not in table:
            raise UserError(
                f"reindex: change_of_basis_op=Auto needs positions of spots, and the reflections have no column {name}"
            )
    operators = [ChangeOfBasis.identity()] * len(experiments)
    indexed = (table["miller_index"] != 0).any(axis=1)
    if not indexed.any():
        raise UserError(
            f"reindex: none of {len(table)} spots has an index to compare with that which its crystal gives it"
        )
    for number, rows in table.rows_by_experiment().items():
        rows = rows[indexed[rows]]
        if experiments[number].crystal is None or not len(rows):
            continue
        hkl = table["miller_index"][rows]
        seen = observed_indices(experiments[number], table, rows)
        change = change_of_setting(hkl, seen)
        if change is not None:
            operators[number] = ChangeOfBasis(change)
        elif np.mean(np.abs(seen - hkl).max(axis=1) < 0.3) < 0.5:
            raise UserError(
                f"reindex: no change of basis takes the indices of the {len(rows)} spots of experiment {number} to those "
                "that its crystal gives them: the crystal is another one, or spots are too few (20 are needed)"
            )
        context.log.info("Experiment %d: change of basis of the indices: %s", number, operators[number].as_abc())
    return operators


def operators_of_intensities(
    experiments: Experiments, table: ReflectionTable, reference: Reference, context: Any
) -> list[ChangeOfBasis]:
    """For each crystal the symmetry of the lattice under which its intensities agree best with those of the reference.

    Raises
    ------
    UserError
        If space groups or cells differ, or hardly any reflection is common.
    """
    known = reference.crystal
    crystals = _crystals(experiments)
    settings = {id(crystal): _in_setting_of(known, crystal) for crystal in crystals}
    assert reference.reflections is not None
    indexings = Indexings(known)
    if not indexings.ambiguous:
        context.log.info(
            "The lattice has no symmetry beyond that of the space group %s: there is one way to index it in this setting, and "
            "nothing to choose", known.space_group.xhm(),
        )  # fmt: skip
        return [
            settings[id(e.crystal)][0] if id(e.crystal) in settings else ChangeOfBasis.identity() for e in experiments
        ]
    target = _observed(reference.reflections, known, indexings, "the reference")
    found: dict[int, ChangeOfBasis] = {}
    rows: list[list[Any]] = []
    for number, crystal in enumerate(crystals):
        own = table.select(np.isin(table["id"], experiments.indices_with("crystal", crystal)))
        to_setting, moved = settings[id(crystal)]
        if not to_setting.is_identity():
            own = change_indices(own, [to_setting]).table
        data = _observed(own, moved, indexings, f"crystal {number}")
        compared = [(op @ to_setting, choice) for op, choice in indexings.choices(target, data)]
        choices = [c for _, c in compared]
        best = _best(choices, f"Crystal {number}: " if len(crystals) > 1 else "", known, context)
        found[id(crystal)] = compared[best][0]
        rows += [
            [number, op.as_abc(), round(c.cc, 3), c.n, "*" if i == best else ""] for i, (op, c) in enumerate(compared)
        ]
    headers = ["Crystal", "Change of basis", "CC", "Common reflections", ""]
    context.table(Table("Correlation with the reference", headers, rows[:MOST_ROWS], "reference_cc"))
    return [found.get(id(e.crystal), ChangeOfBasis.identity()) for e in experiments]


def _in_setting_of(known: Crystal, crystal: Crystal) -> tuple[ChangeOfBasis, Crystal]:
    """The change of basis to the setting of the reference, and the crystal in it.

    Raises
    ------
    UserError
        If the space group or the lattice is another one.
    """
    if crystal.space_group.number != known.space_group.number:
        raise UserError(
            f"reindex: the space group is {crystal.space_group.xhm()}, that of the reference {known.space_group.xhm()}: "
            "intensities can be compared in the same one only; set it with space_group= in a run before"
        )
    if _has_cell_of(known, crystal):
        return ChangeOfBasis.identity(), crystal
    refusal = (
        f"reindex: the cells {_cell(crystal)} and {_cell(known)} (reference) differ, and no change of basis takes one to the other and "
        f"{crystal.space_group.xhm()} to {known.space_group.xhm()}: these are different crystals, or one has a wrong space group"
    )
    try:
        operator = match(crystal, known).operator
    except UserError as error:
        raise UserError(refusal) from error
    # The lattice may be more symmetric than the intensities: of its bases those are right in which axes of symmetry lie where they should.
    indexings = Indexings(known)
    for rotation in [np.eye(3), *indexings.lattice]:
        turn = indexings.change.inverse() @ ChangeOfBasis(np.linalg.inv(rotation).T) @ indexings.change
        try:
            moved = change_crystal_basis(crystal, turn @ operator)
        except ParameterError:  # a setting without a name
            continue
        if moved.space_group.xhm() == known.space_group.xhm() and _has_cell_of(known, moved):
            return turn @ operator, moved
    raise UserError(refusal)


def _has_cell_of(known: Crystal, crystal: Crystal) -> bool:
    difference = np.abs(crystal.cell - known.cell)
    return bool(np.all(difference[:3] <= CELL_LENGTHS * known.cell[:3]) and np.all(difference[3:] <= CELL_ANGLES))


def _best(choices: list[IndexingChoice], name: str, known: Crystal, context: Any) -> int:
    """Which choice agrees best; a warning where that is not clear."""
    most = max(c.n for c in choices)
    if most < MIN_COMMON:
        raise UserError(
            f"reindex: {name}at most {most} reflections are common with the reference, too few to choose (at least "
            f"{MIN_COMMON} are needed); give more data, or an operator with change_of_basis_op="
        )
    best, clear = clear_choice(choices)
    if not clear:
        second = max((c.cc for i, c in enumerate(choices) if i != best), default=float("nan"))
        context.log.warning(
            "%sThe best operator has CC %.3f, the next %.3f: intensities hardly tell which indexing is that of the "
            "reference. The data are weak or twinned, or the symmetry of the intensities is higher than %s",
            name, choices[best].cc, second, known.space_group.xhm(),
        )  # fmt: skip
    return best


def _observed(table: ReflectionTable, crystal: Crystal, indexings: Indexings, name: str) -> Observed:
    """Normalised mean intensities in the reduced basis: integrated or scaled ones where there are any, else of spots."""
    if "flags" in table and table.has_flags(INTEGRATED, all=False).any():
        data = prepare_intensities(table, "auto")
        hkl, value, variance = data.table["miller_index"], data.values[data.best], data.variances[data.best]
        sigma = np.sqrt(variance)
    else:
        for column in ("intensity.sum.value", "intensity.sum.variance"):
            if column not in table:
                raise UserError(f"reindex: {name} has no column {column}; give files of spindle integrate or scale")
        rows, value, sigma = values_of_spots(table)
        hkl = table["miller_index"][rows]
    if not len(hkl):
        raise UserError(f"reindex: {name} has no reflection with an index and an intensity")
    return indexings.normalised(hkl, value, sigma, crystal)


def _cell(crystal: Crystal) -> str:
    return " ".join(f"{v:.2f}" for v in crystal.cell)
