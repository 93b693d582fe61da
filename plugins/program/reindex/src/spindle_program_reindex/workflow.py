"""From the operator that is asked for, or found, to models and indices in the new basis."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.symmetry import ChangeOfBasis, is_centring_absent, space_group
from spindle.table import INTEGRATED, ReflectionTable
from spindle_lib_reindexing import change_experiments, change_indices

from .finding import (
    operators_of_intensities,
    operators_of_orientations,
    operators_of_spots,
    read_reference,
    read_reference_file,
)

#: An operator that gives a larger part of the indices no whole numbers belongs to another lattice.
MOST_BROKEN = 0.3
#: Relative change of an edge, and change of an angle in degrees, from which a constraint is worth a warning.
LARGE_CHANGE, LARGE_ANGLE = 0.02, 2.0
#: Share of indices that a centring forbids and that are wrongly indexed spots still.
MOST_ABSENT = 0.1
#: Crystals whose cells are printed.
MOST_TOLD = 10


def reindex(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Reindex what was given; see `spindle_program_reindex.Reindex`."""
    experiments, table = _inputs(inputs)
    operators, of_spots = _operators(experiments, table, params, context)
    written = experiments is not None and not of_spots
    group = None
    if params.space_group is not None:
        if experiments is None or of_spots:
            raise ParameterError(
                "space_group: it is a property of the crystal; give the experiments too, with a change_of_basis_op "
                "that is not found from the spots"
            )
        group = space_group(params.space_group)
    if params.hkl_offset is None and group is None and all(op.is_identity() for op in operators):
        context.log.info("Nothing changes: change_of_basis_op=%s leaves the basis as it is", operators[0].as_abc())
    result = ProgramResult(summary={"change_of_basis_op": list(dict.fromkeys(op.as_abc() for op in operators))})
    if table is not None:
        _reindex_table(table, operators, params, context, result)
    if experiments is not None and written:
        changed = _changed(experiments, operators, group)
        _tell_crystals(experiments, changed, operators, context)
        if group is not None and result.reflections is not None:
            _tell_absent(result.reflections, experiments, changed, operators, context)
        result.experiments = changed
        crystals = [c for c in changed.unique("crystal") if c is not None]
        result.summary["unit_cell"] = [[round(float(v), 4) for v in c.cell] for c in crystals]
        result.summary["space_group"] = list(dict.fromkeys(c.space_group.xhm() for c in crystals))
    result.next_step = _next_step(result, params)
    return result


def _inputs(inputs: ProgramInputs) -> tuple[Experiments | None, ReflectionTable | None]:
    """What is to be reindexed."""
    experiments = inputs.experiments if inputs.experiments is not None and len(inputs.experiments) else None
    if experiments is None and not inputs.reflections:
        raise UserError("reindex: give experiments, reflections or both, for example indexed.expt indexed.refl")
    if experiments is not None and all(e.crystal is None for e in experiments):
        raise UserError("reindex: the experiments have no crystals; run spindle index and give its indexed.expt")
    table = ReflectionTable.concatenate(inputs.reflections) if inputs.reflections else None
    if table is not None and "miller_index" not in table:
        raise UserError("reindex: the reflections have no indices; run spindle index and give its indexed.refl")
    return experiments, table


def _operators(
    experiments: Experiments | None, table: ReflectionTable | None, params: Any, context: Any
) -> tuple[list[ChangeOfBasis], bool]:
    """The operator of each experiment (or one for all rows), and whether only the table is to change."""
    text = params.change_of_basis_op
    reference = params.reference
    automatic = text is Auto or (isinstance(text, str) and text.strip().lower() == "auto")
    n = len(experiments) if experiments is not None else 1
    given = ChangeOfBasis.identity() if text is None or automatic else _parsed(text)
    if reference.experiments is None and reference.reflections is not None:
        raise ParameterError(
            "reference.reflections: give reference.experiments too, with the crystals that they belong to"
        )
    if reference.file is not None and (reference.experiments or reference.reflections):
        raise ParameterError("reference.file: it stands for reference.experiments and reflections; leave these out")
    if reference.experiments is not None or reference.file is not None:
        if not given.is_identity():
            raise ParameterError(
                f"change_of_basis_op={text}: with a reference the operator is found; give one of the two"
            )
        if experiments is None:
            raise UserError("reindex: a reference is compared with the crystals: give the experiments too")
        if reference.file is not None:
            followed = read_reference_file(reference.file)
        else:
            followed = read_reference(reference.experiments, reference.reflections)
        if followed.reflections is None:
            return operators_of_orientations(experiments, followed, context), False
        if table is None:
            raise UserError("reindex: intensities of a reference are compared with the reflections: give these too")
        return operators_of_intensities(experiments, table, followed, context), False
    if automatic:
        if experiments is None or table is None:
            raise UserError(
                "reindex: change_of_basis_op=Auto compares spots with a crystal: give the experiments and the "
                "reflections; or name a crystal to follow with reference.experiments="
            )
        return operators_of_spots(experiments, table, context), True
    return [given] * n, False


def _parsed(text: str) -> ChangeOfBasis:
    """The operator that a user wrote.

    Raises
    ------
    ParameterError
        If it is none, or changes the hand of the axes.
    """
    try:
        operator = ChangeOfBasis.from_string(text)
    except UserError as error:
        raise ParameterError(
            f"change_of_basis_op={text}: {_reason(error)}; write three expressions for new basis vectors (a+b,-a+b,c), "
            "indices (h+k,-h+k,l) or coordinates (x,y,z) whose determinant is not 0"
        ) from error
    determinant = float(np.linalg.det(operator.matrix))
    if determinant < 0:
        raise ParameterError(
            f"change_of_basis_op={text}: it makes the axes left-handed (determinant {determinant:g}); reverse one or all "
            f"of them, for example {ChangeOfBasis(-operator.matrix).as_abc()}"
        )
    return operator


def _reason(error: UserError) -> str:
    return str(error).removeprefix("change of basis: ")


def _reindex_table(
    table: ReflectionTable, operators: list[ChangeOfBasis], params: Any, context: Any, result: ProgramResult
) -> None:
    """New indices; what lost its index is told, and an operator that breaks many is refused."""
    changed = change_indices(table, operators, params.hkl_offset)
    lost = changed.n_unindexed + changed.n_left_out
    if lost > MOST_BROKEN * changed.n_indexed:
        raise ParameterError(
            f"change_of_basis_op={operators[0].as_abc()}: {lost} of {changed.n_indexed} reflections would have no whole "
            "index: the new basis vectors are not those of a lattice that these reflections belong to"
        )
    if changed.n_unindexed:
        context.log.warning(
            "%d of %d reflections have no whole index in the new basis: these spots are without index now",
            changed.n_unindexed, changed.n_indexed,
        )  # fmt: skip
    if changed.n_left_out:
        context.log.warning(
            "%d of %d reflections have no whole index in the new basis and are left out: there is nothing at these places",
            changed.n_left_out, changed.n_indexed,
        )  # fmt: skip
    context.log.info(
        "%d reflections reindexed%s", changed.n_indexed - lost,
        "" if params.hkl_offset is None else f", after adding {' '.join(map(str, params.hkl_offset))} to the indices",
    )  # fmt: skip
    result.reflections = changed.table
    result.summary.update(n_reindexed=changed.n_indexed - lost, n_without_index=lost)


def _changed(experiments: Experiments, operators: list[ChangeOfBasis], group: Any) -> Experiments:
    """Experiments in the new basis.

    Raises
    ------
    ParameterError
        If the space group has no name there.
    """
    try:
        changed = change_experiments(experiments, operators, group)
    except ParameterError as error:
        if group is not None:
            raise
        names = ", ".join(dict.fromkeys(c.space_group.xhm() for c in experiments.unique("crystal") if c is not None))
        raise ParameterError(
            f"change_of_basis_op={operators[0].as_abc()}: it takes the space group {names} to a setting that has no "
            "symbol; say with space_group= which group the crystal has in the new basis, for example space_group=P1"
        ) from error
    if group is not None:  # the user said so
        for crystal in changed.unique("crystal"):
            if crystal is not None:
                changed = changed.with_model(crystal, crystal.with_space_group(group, known=True))
    return changed


def _tell_crystals(before: Experiments, after: Experiments, operators: list[ChangeOfBasis], context: Any) -> None:
    """Old and new cells; a warning where the space group changes one by much."""
    told: set[int] = set()
    for old, new, operator in zip(before, after, operators, strict=True):
        if old.crystal is None or new.crystal is None or id(new.crystal) in told:
            continue
        told.add(id(new.crystal))
        if len(told) <= MOST_TOLD:
            context.log.info("Old crystal: %s", _text(old.crystal))
            context.log.info("New crystal: %s", _text(new.crystal))
        free = operator.apply_to_cell(old.crystal.cell)
        change = np.abs(new.crystal.cell - free)
        if np.any(change[:3] > LARGE_CHANGE * free[:3]) or np.any(change[3:] > LARGE_ANGLE):
            context.log.warning(
                "The space group %s changes the cell %s to %s: the lattice does not have this symmetry in this basis%s",
                new.crystal.space_group.xhm(), " ".join(f"{v:.2f}" for v in free),
                " ".join(f"{v:.2f}" for v in new.crystal.cell), _remedy(old.crystal, new.crystal, operator),
            )  # fmt: skip
    if len(told) > MOST_TOLD:
        context.log.info("... and %d more crystals", len(told) - MOST_TOLD)


def _tell_absent(
    table: ReflectionTable, before: Experiments, after: Experiments, operators: list[ChangeOfBasis], context: Any
) -> None:
    """A warning where indices are not those of the lattice that a given space group is centred on."""
    for number, rows in table.rows_by_experiment().items():
        new, old = after[number].crystal, before[number].crystal
        hkl = table["miller_index"][rows]
        hkl = hkl[(hkl != 0).any(axis=1)]
        if new is None or old is None or not len(hkl):
            continue
        n_absent = int(np.count_nonzero(is_centring_absent(hkl, new.space_group)))
        if n_absent > MOST_ABSENT * len(hkl):
            context.log.warning(
                "%d of %d indices of experiment %d are not those of a lattice centred as in %s%s",
                n_absent, len(hkl), number, new.space_group.xhm(), _remedy(old, new, operators[number]),
            )  # fmt: skip
            return


def _remedy(old: Crystal, new: Crystal, operator: ChangeOfBasis) -> str:
    """The operator that takes a setting to another one of the same space group, where none was given."""
    if not operator.is_identity() or old.space_group.number != new.space_group.number:
        return ""
    # gemmi: x_setting = basisop x_reference, so that new basis vectors are the rows of the inverse transpose
    settings = [np.array(c.space_group.basisop.rot, float) / gemmi.Op.DEN for c in (old, new)]
    first, second = (ChangeOfBasis(np.linalg.inv(rotation.T)) for rotation in settings)
    change = second @ first.inverse()
    return f". Give change_of_basis_op={change.as_abc()} too, which takes {old.space_group.xhm()} to {new.space_group.xhm()}"


def _text(crystal: Crystal) -> str:
    cell = " ".join(f"{v:.4f}" for v in crystal.cell[:3]) + " " + " ".join(f"{v:.3f}" for v in crystal.cell[3:])
    return f"cell {cell}, space group {crystal.space_group.xhm()}"


def _next_step(result: ProgramResult, params: Any) -> str:
    """What one would do with the files that are written."""
    experiments = str(params.output.experiments) if result.experiments is not None else "<experiments>"
    table = result.reflections
    if table is None:
        return f"spindle show {experiments}"
    integrated = "flags" in table and bool(table.has_flags(INTEGRATED, all=False).any())
    return f"spindle {'symmetry' if integrated else 'refine'} {experiments} {params.output.reflections}"
