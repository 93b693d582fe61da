"""From reflections to the two tests and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.files import read_reflections
from spindle.models import Crystal
from spindle.report import Table
from spindle.symmetry import asu_indices, epsilon_factors
from spindle.table import ReflectionTable
from spindle_lib_merging import read_intensities
from spindle_lib_symmetry_analysis.operator_correlations import MeanValues, resolution_shells, values_of_spots

from .operators import OperatorCheck, check_operators, derived_group
from .origin import MIN_PAIRS, Shift, about_origin, among_equivalents, best_shift, shifts_of, with_reference

#: Shells of a normalisation whose number is not given.
SHELLS = 10
#: Shifts that a table shows.
MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Measured:
    """Intensities of one experiment: rows with an index and a positive variance."""

    hkl: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    crystal: Crystal

    @property
    def d(self) -> np.ndarray:
        """(n,) resolutions, angstrom."""
        return np.asarray(1.0 / np.linalg.norm(self.hkl @ self.crystal.A.T, axis=1))

    def select(self, rows: np.ndarray) -> Measured:
        """Some of them."""
        return Measured(self.hkl[rows], self.intensity[rows], self.sigma[rows], self.crystal)


def check(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Check each experiment; see `spindle_program_check_indexing_symmetry.CheckIndexingSymmetry`."""
    if not inputs.experiments or not inputs.reflections:
        raise UserError(
            "check_indexing_symmetry: give experiments and reflections, for example integrated.expt integrated.refl"
        )
    grid = _grid(params)
    if params.reference is not None and grid is None:
        raise ParameterError("reference: it is compared with shifted intensities; give grid=1 too")
    table = ReflectionTable.concatenate([t.without("shoebox") for t in inputs.reflections])
    several = len(inputs.experiments) > 1
    results = []
    problems = []
    for number, experiment in enumerate(inputs.experiments):
        if experiment.crystal is None:
            raise UserError(f"check_indexing_symmetry: experiment {number} has no crystal; run spindle index first")
        own = table.select(table["id"] == number) if "id" in table else table
        data = _measured(own, experiment.crystal, f"experiment {number}")
        title = f"Experiment {number}: " if several else ""
        for name, column in zip("hkl", data.hkl.T, strict=True):
            context.log.info("%sRange of %s: %d to %d", title, name, column.min(), column.max())
        found = _check_one(data, grid, params, context, title)
        results.append(found)
        problems += [f"{title}{p}" for p in found.pop("problems")]
    summary = {"experiments": results}
    if problems:
        summary["problem"] = problems[0]  # type: ignore[assignment]
    return ProgramResult(summary=summary, next_step=_next_step(results))


def _grid(params: Any) -> tuple[int, int, int] | None:
    """Largest shift along each index; None when no origin is to be searched."""
    usual = params.grid or 0
    own = (params.grid_h or usual, params.grid_k or usual, params.grid_l or usual)
    return own if any(own) else None


def _measured(table: ReflectionTable, crystal: Crystal, name: str) -> Measured:
    rows, intensity, sigma = values_of_spots(table)
    if len(rows) < 2:
        raise UserError(
            f"check_indexing_symmetry: {name} has {len(rows)} reflections with an index, an intensity and a positive "
            "variance: nothing to compare"
        )
    return Measured(table["miller_index"][rows].astype(np.int64), intensity, sigma, crystal)


def _check_one(data: Measured, grid: Any, params: Any, context: Any, title: str) -> dict[str, Any]:
    """Both tests of one experiment."""
    group = data.crystal.space_group
    found: dict[str, Any] = {"problems": []}
    if grid is not None:
        value = _normalised(data, data.intensity, params)
        shifts = _shifts(data, value, grid, params)
        _report_origin(shifts, params, context, title, found)
    limited = data.select(_within(data, params) & (data.intensity > 0))
    if len(limited.hkl) < 2:
        raise UserError(
            f"check_indexing_symmetry: {title}{len(limited.hkl)} positive intensities within the limits of resolution; "
            "change d_min= and d_max="
        )
    quotient = _normalised(limited, limited.intensity / limited.sigma, params)
    checks = check_operators(limited.hkl, quotient, group, params.symop_threshold or 0.0)
    _report_operators(checks, len(limited.hkl), group, context, title, found)
    return found


def _within(data: Measured, params: Any) -> np.ndarray:
    """(n,) bool: inside the limits of resolution."""
    d = data.d
    return np.asarray((d >= (params.d_min or 0.0)) & (d <= (params.d_max or np.inf)))


def _normalised(data: Measured, value: np.ndarray, params: Any) -> np.ndarray:
    """Values over their mean in shells of resolution, symmetry on axes allowed for, when that is asked for."""
    if not params.normalise:
        return value
    epsilon = epsilon_factors(data.hkl.astype(np.int32), data.crystal.space_group)
    (shell,) = resolution_shells([1.0 / data.d], params.normalise_bins or SHELLS)
    count = np.bincount(shell)
    mean = np.bincount(shell, np.maximum(value, 0.0) / epsilon) / np.maximum(count, 1)
    return np.asarray(value / np.maximum(epsilon * mean[shell], 1e-30))


def _shifts(data: Measured, value: np.ndarray, grid: tuple[int, int, int], params: Any) -> list[Shift]:
    """The agreement under every shift."""
    means = MeanValues.of(data.hkl, value, friedel=False)
    group = data.crystal.space_group
    if params.reference is not None:
        reference = read_reference(params.reference, group)
        return [with_reference(means, s, group, reference) for s in shifts_of(grid)]
    if params.asu:
        return [among_equivalents(means, s, group) for s in shifts_of(grid)]
    return [about_origin(means, s) for s in shifts_of(grid)]


def read_reference(path: Path, group: gemmi.SpaceGroup) -> MeanValues:
    """Mean intensities of a reference in the asymmetric unit of a space group.

    Raises
    ------
    UserError
        If the file is of another kind, or holds no intensities.
    """
    suffix = path.suffix.lower()
    if suffix == ".refl":
        table = read_reflections(path)
        for name in ("miller_index", "intensity.sum.value", "intensity.sum.variance"):
            if name not in table:
                raise UserError(f"reference={path}: there is no column {name}; give a file of spindle integrate")
        rows, intensity, _ = values_of_spots(table)
        hkl = table["miller_index"][rows]
    elif suffix == ".mtz":
        read = read_intensities(path, "reference")
        hkl, intensity = read.hkl, read.value
    else:
        raise UserError(f"reference={path}: give reflections (.refl) or merged or unmerged intensities (.mtz)")
    if not len(hkl):
        raise UserError(f"reference={path}: there are no indexed intensities in it")
    asu, _ = asu_indices(np.asarray(hkl, dtype=np.int32), group)
    return MeanValues.of(asu, intensity, friedel=False)


def _report_origin(shifts: list[Shift], params: Any, context: Any, title: str, found: dict[str, Any]) -> None:
    """The table of shifts, and which one is right."""
    threshold = params.symop_threshold or 0.0
    shown = [s for s in shifts if s.cc > threshold or s.offset == (0, 0, 0)]
    shown.sort(key=lambda s: (-s.cc if s.n >= MIN_PAIRS else 2.0, s.offset != (0, 0, 0)))
    rows = [[*s.offset, s.n, round(s.cc, 3), round(s.deviation, 3) if s.n > 2 else None] for s in shown[:MOST_ROWS]]
    context.table(Table(f"{title}Origin of the indices", ["dH", "dK", "dL", "Pairs", "CC", "sd"], rows, "hkl_origin"))
    best, clear = best_shift(shifts)
    found["origin"] = [{"offset": list(s.offset), "cc": s.cc, "n": s.n} for s in shifts]
    if best is None:
        context.log.warning(
            "%sToo few pairs about any origin (at most %d): nothing can be said about shifted indices. A narrow wedge has "
            "no Friedel mates; more images, asu=True or a reference help", title, max(s.n for s in shifts),
        )  # fmt: skip
        return
    found["offset"] = list(best.offset)
    if best.offset == (0, 0, 0):
        context.log.info(
            "%sThe intensities agree best about the origin that the indices have%s", title,
            "" if clear else ", but not clearly better than about others",
        )  # fmt: skip
        return
    text = ",".join(map(str, best.offset))
    context.log.warning(
        "%sThe intensities agree better about another origin (CC %.3f of %d pairs, %.3f about that of the indices): the "
        "indices are wrong by a whole number, since the beam centre is off by a row of spots%s. Add %s to them: "
        "spindle reindex hkl_offset=%s, and refine again", title, best.cc, best.n,
        next(s.cc for s in shifts if s.offset == (0, 0, 0)), "" if clear else " (though not clearly)", text, text,
    )  # fmt: skip
    found["problems"].append(f"the indices are wrong by {text}")


def _report_operators(
    checks: list[OperatorCheck], n: int, group: gemmi.SpaceGroup, context: Any, title: str, found: dict[str, Any]
) -> None:
    """The table of rotations, and the group that they make."""
    rows = [
        [c.text, c.n, round(c.cc, 3) if c.n > 2 else None, round(c.deviation, 3) if c.n > 2 else None,
         "" if c.is_identity else "***" if c.accepted else ""] for c in checks
    ]  # fmt: skip
    context.table(
        Table(
            f"{title}Symmetry operations of {n} reflections", ["Symop", "Pairs", "CC", "sd", ""], rows, "symop_checks"
        )
    )
    if any(c.is_identity and c.n > 2 for c in checks):
        context.log.info("%sIn the row x,y,z repeated measurements of one index are compared", title)
    derived = derived_group(checks, group)
    accepted = [c.text for c in checks if c.accepted]
    name = f"that of {'; '.join(accepted)}" if derived is None else derived.xhm()
    context.log.info("%sDerived point group: %s", title, name)
    found["derived_group"] = None if derived is None else derived.xhm()
    found["operators"] = [{"symop": c.text, "cc": c.cc, "n": c.n, "accepted": c.accepted} for c in checks]
    missing = [c.text for c in checks if not c.accepted and c.n >= MIN_PAIRS]
    untested = [c.text for c in checks if not c.accepted and c.n < MIN_PAIRS]
    if missing:
        context.log.warning(
            "%sThe intensities do not show %s of the space group %s: either the symmetry is lower, or the indices are wrong",
            title, ", ".join(missing), group.xhm(),
        )  # fmt: skip
        found["problems"].append(f"the intensities do not show {', '.join(missing)} of {group.xhm()}")
    if untested:
        context.log.info("%sToo few pairs (less than %d) to judge %s", title, MIN_PAIRS, ", ".join(untested))
    if len(checks) == 1:
        context.log.info(
            "%sThe space group %s has no rotations to check; spindle refine_bravais_settings writes the settings that the lattice "
            "allows, which have", title, group.xhm(),
        )  # fmt: skip


def _next_step(results: list[dict[str, Any]]) -> str:
    """Mending the indices where they are wrong by the same offset everywhere, else the symmetry."""
    offsets = {tuple(r.get("offset", (0, 0, 0))) for r in results}
    if len(offsets) == 1 and (offset := offsets.pop()) != (0, 0, 0):
        return f"spindle reindex <experiments> <reflections> hkl_offset={','.join(map(str, offset))}"
    return "spindle symmetry <experiments> <reflections>"
