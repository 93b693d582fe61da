"""The program `compare_orientation_matrices`."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.models import Crystal
from spindle.params import Choice, Ints, PathParam, SpaceGroup
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle_lib_reindexing.misorientation import Misorientation, Orientations

# Pairs that are described one by one, with all equivalent rotations; and rows of the table of all pairs.
MOST_DESCRIBED = 10
MAX_ROWS = 200
# Cells whose edges differ by more than this fraction, or angles by more than degrees, are hardly those of one crystal form.
SAME_LENGTH, SAME_ANGLE_DEG = 0.05, 3.0


class CompareOrientationMatrices(Program):
    """Find the rotation from each crystal to each other one.

    Of the bases that the rotations of the Laue group make equal, the one with the smallest rotation counts; all others are listed
    for up to ten pairs. Rotations are in the frame of the goniometer at zero angles.

        spindle compare_orientation_matrices sweep_1.expt sweep_2.expt
        spindle compare_orientation_matrices lattices.expt hkl=1,0,0 hkl=0,0,1 space_group=P422
    """

    takes_files = False
    compares_models = True

    class Params(ParamsBase):
        """Which crystals, and how they are compared."""

        hkl = Ints(
            None,
            size=3,
            multiple=True,
            min=-100_000,
            max=100_000,
            help="Also tell the angle between this reciprocal lattice vector of the two crystals; may be repeated.",
        )
        comparison = Choice(
            ["pairwise", "sequential"],
            default="pairwise",
            help="pairwise: each crystal with all that follow; sequential: each with the next one.",
        )
        space_group = SpaceGroup(None, none=True, help="Symmetry of all crystals, instead of that in the files.")

        class output(ParamsBase):
            """What is written."""

            log = PathParam("spindle.compare_orientation_matrices.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Compare; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.experiments is None:
            raise UserError("compare_orientation_matrices: give experiment files with two crystals or more")
        crystals: list[Crystal] = inputs.experiments.unique("crystal")
        if len(crystals) < 2:
            raise UserError(
                f"compare_orientation_matrices: {len(crystals) or 'no'} crystal in these experiments; give files with two or more"
            )
        if any(not np.any(hkl) for hkl in params.hkl or ()):
            raise ParameterError("compare_orientation_matrices: hkl=0,0,0 has no direction; give another index")
        sequential = params.comparison == "sequential"
        pairs = list(pairwise(range(len(crystals))) if sequential else combinations(range(len(crystals)), 2))
        orientations = Orientations(crystals, params.space_group)
        angles, equivalent = orientations.angles(pairs)
        found = [
            orientations.rotation(i, j, int(k))
            for (i, j), k in zip(pairs[:MAX_ROWS], equivalent[:MAX_ROWS], strict=True)
        ]
        if len(pairs) <= MOST_DESCRIBED:
            for (i, j), best in zip(pairs, found, strict=True):
                self._describe(i, j, best, orientations, context)
        self._summarise(pairs, found, crystals, params, context)
        unlike = _unlike(crystals, pairs)
        if unlike:
            i, j = unlike[0]
            context.log.warning(
                "Warning: the cells of %d pairs differ (crystal %d: %s, crystal %d: %s); the rotation between other crystal forms or "
                "settings says little. spindle reindex brings crystals to one setting",
                len(unlike),
                i + 1,
                _cell(crystals[i]),
                j + 1,
                _cell(crystals[j]),
            )
        summary = {
            "n_crystals": len(crystals), "n_pairs": len(pairs), "smallest_angle_deg": round(float(angles.min()), 4),
            "median_angle_deg": round(float(np.median(angles)), 4), "largest_angle_deg": round(float(angles.max()), 4),
        }  # fmt: skip
        return ProgramResult(
            summary=summary, next_step="spindle stereographic_projection <experiments> hkl=1,0,0 expand_to_p1=True"
        )

    def _describe(self, i: int, j: int, best: Misorientation, orientations: Orientations, context: Any) -> None:
        """Print the rotation of a pair, and all that are equivalent to it."""
        matrix = ",\n ".join("{" + ", ".join(f"{v:.3f}" for v in row + 0.0) + "}" for row in best.rotation.round(9))
        context.log.info("Change of basis op: %s", best.operator.as_abc())
        context.log.info("Rotation matrix to transform crystal %d to crystal %d:\n{%s}", i + 1, j + 1, matrix)
        context.log.info("Rotation of %.3f degrees about axis (%s)\n", best.angle_deg, _vector(best.axis))
        every = orientations.all_rotations(i, j)
        if len(every) > 1:
            rows = [[m.operator.as_abc(), f"{m.angle_deg:.3f}", _vector(m.axis)] for m in every]
            title = f"Equivalent rotations of crystal {i + 1} to crystal {j + 1}"
            context.table(Table(title, ["Operator", "Angle (deg)", "Axis"], rows, f"equivalents_{i + 1}_{j + 1}"))

    def _summarise(
        self,
        pairs: list[tuple[int, int]],
        found: list[Misorientation],
        crystals: list[Crystal],
        params: Any,
        context: Any,
    ) -> None:
        """Print the smallest rotation of each pair, with the angles between reciprocal lattice vectors."""
        headers = ["Crystals", "Operator", "Angle (deg)", "Axis", *(f"{h} {k} {m} (deg)" for h, k, m in params.hkl)]
        rows = []
        for (i, j), best in zip(pairs, found, strict=False):
            turned = [f"{angle_between(crystals[i].A, best.A, hkl):.3f}" for hkl in params.hkl]
            rows.append(
                [f"{i + 1} {j + 1}", best.operator.as_abc(), f"{best.angle_deg:.3f}", _vector(best.axis), *turned]
            )
        if len(pairs) > MAX_ROWS:
            rows.append([f"... {len(pairs) - MAX_ROWS} more", *[""] * (len(headers) - 1)])
        context.table(Table("Smallest rotations", headers, rows, "misorientations"))


def angle_between(A: np.ndarray, other: np.ndarray, hkl: Any) -> float:
    """Angle in degrees between a reciprocal lattice vector, other than 0 0 0, of two crystals."""
    index = np.asarray(hkl, dtype=np.float64)
    one, two = A @ index, other @ index
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, two)), one @ two)))


def _unlike(crystals: list[Crystal], pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of crystals whose cells differ."""
    cells = np.array([c.cell for c in crystals])
    i, j = np.array(pairs).T
    change = np.abs(cells[i] - cells[j])
    alike = (change[:, :3] <= SAME_LENGTH * np.maximum(cells[i], cells[j])[:, :3]).all(axis=1)
    alike &= (change[:, 3:] <= SAME_ANGLE_DEG).all(axis=1)
    return [pairs[row] for row in np.flatnonzero(~alike)]


def _cell(crystal: Crystal) -> str:
    return " ".join(f"{v:.2f}" for v in crystal.cell)


def _vector(values: np.ndarray) -> str:
    return ", ".join(f"{v:.3f}" for v in np.round(values, 9) + 0.0)
