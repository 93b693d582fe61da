"""The program `anvil_correction`."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiment
from spindle.params import Auto, Float, Floats, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_attenuators import Material, plate_normals, plate_paths
from spindle_lib_selection.parts import join

COLUMN = "anvil_correction"
LEAST_COSINE = 0.01  # beams nearly along the anvils go through the gasket
LARGEST_FACTOR = 1e6
COMMAND = "spindle anvil_correction integrated.expt integrated.refl"


class AnvilCorrection(Program):
    """Correct integrated intensities for what the two anvils of a diamond anvil cell take away.

    The incident beam passes one anvil and every reflection one, on ways that depend on the setting of the cell. The anvils turn
    with the crystal. Scale the result as usual; without this correction the scaling model has to find it by itself.

        spindle anvil_correction integrated.expt integrated.refl anvil.thickness=1.6
    """

    takes_files = False
    needs_columns = {"s1": "spindle integrate", "flags": "spindle integrate"}

    class Params(ParamsBase):
        """The anvils."""

        class anvil(ParamsBase):
            """The two anvils; both are alike."""

            density = Float(3510.0, min=1, units="kg/m^3", help="Density of the anvils.")
            thickness = Float(1.5925, min=0, units="mm", help="Thickness of one anvil along its normal.")
            normal = Floats(
                (0.0, 1.0, 0.0),
                size=3,
                help="Normal of the anvils in the laboratory with all axes of the goniometer at 0; either sense.",
            )
            material = Str("C", help="Formula of what they are made of (not in DIALS), e.g. Al2O3.", level=1)
            attenuation = Float(
                Auto,
                auto=True,
                min=0,
                units="1/mm",
                help="Attenuation coefficient (not in DIALS); Auto: total attenuation of the material at the wavelength.",
                level=1,
            )

        class output(ParamsBase):
            """What is written."""

            experiments = PathParam(None, none=True, help="Also write the experiments here; they are not changed.")
            reflections = PathParam("corrected.refl", help="Corrected reflections.")
            log = PathParam("spindle.anvil_correction.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Correct; see `spindle.contracts.program.ProgramSpec`."""
        experiments, table = inputs.experiments, join(inputs.reflections)
        if experiments is None or not len(experiments) or table is None:
            raise UserError(f"anvil_correction: give integrated experiments and reflections, e.g. {COMMAND}")
        if COLUMN in table:
            raise UserError(
                "anvil_correction: these reflections are corrected already (they have the column anvil_correction); give those that "
                "spindle integrate wrote"
            )
        table = table.view()
        table.identifiers = experiments.identifiers
        factor, passes = np.ones(len(table)), np.ones(len(table), np.bool_)
        rows_of = table.rows_by_experiment()
        lines: list[list[Any]] = []
        for i, rows in rows_of.items():
            if i < 0:
                continue
            factor[rows], passes[rows], coefficient = _factors(experiments[i], i, table.select(rows), params.anvil)
            if len(lines) < 50:
                lines.append(
                    [
                        i,
                        round(experiments[i].beam.wavelength, 5),
                        round(coefficient, 5),
                        len(rows),
                        *_range(factor[rows]),
                    ]
                )
        n = _apply(table, factor, passes)
        context.table(
            Table(
                "Anvils",
                ["ID", "Wavelength (A)", "Attenuation (1/mm)", "# refl", "Least", "Mean", "Largest"],
                lines,
                "anvils",
            )
        )
        if not n and len(table):
            raise UserError(
                "anvil_correction: no reflection has an intensity of spindle integrate (flags integrated_sum, integrated_prf); give its output"
            )
        if not passes.all():
            context.log.warning(
                "%d reflections were left as they are and flagged excluded_for_scaling: a beam runs nearly along the anvils. Check "
                "anvil.normal if these are many",
                np.count_nonzero(~passes),
            )
        context.log.info("Corrected %d of %d reflections", n, len(table))
        least, mean, largest = _range(factor)
        return ProgramResult(
            experiments=experiments if params.output.experiments else None,
            reflections=table,
            summary={
                "n_corrected": n, "n_along_anvils": int(np.count_nonzero(~passes)), "factor_least": least, "factor_mean": mean,
                "factor_largest": largest,
            },
            next_step=f"spindle symmetry {params.output.experiments or 'integrated.expt'} {params.output.reflections}",
        )  # fmt: skip


def _range(factor: np.ndarray) -> list[float]:
    """Least, mean, largest."""
    if not len(factor):
        return [1.0, 1.0, 1.0]
    return [round(float(v), 4) for v in (factor.min(), factor.mean(), factor.max())]


def _factors(
    experiment: Experiment, index: int, table: ReflectionTable, anvil: Any
) -> tuple[np.ndarray, np.ndarray, float]:
    """Factors (n,), whether both beams pass the anvils (n,), and the attenuation coefficient (1/mm)."""
    if experiment.beam.probe != "x-ray":
        raise UserError(
            f"anvil_correction: experiment {index} is of {experiment.beam.probe}s, of which this attenuation says nothing; leave it out"
        )
    wavelength = experiment.beam.wavelength
    if anvil.attenuation is Auto:
        coefficient = Material(anvil.material, anvil.density / 1000.0).coefficient(wavelength)
    else:
        coefficient = float(anvil.attenuation)
    angles = np.zeros(len(table))
    goniometer = experiment.goniometer
    if goniometer is not None and experiment.scan is not None:
        name = "xyzobs.mm.value" if "xyzobs.mm.value" in table else "xyzcal.mm"
        if name not in table:
            raise UserError(
                "anvil_correction: the reflections have neither xyzobs.mm.value nor xyzcal.mm, their scan angles; run spindle integrate"
            )
        angles = table[name][:, 2]
    normals = plate_normals(np.array(anvil.normal), goniometer, angles, "anvil.normal")
    s0 = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    s1 = table["s1"] / np.linalg.norm(table["s1"], axis=1)[:, None]
    passes = np.minimum(np.abs(normals @ s0), np.abs(np.sum(normals * s1, axis=1))) >= LEAST_COSINE
    ways = np.zeros(len(table))
    ways[passes] = plate_paths(s0, normals[passes], anvil.thickness) + plate_paths(
        s1[passes], normals[passes], anvil.thickness
    )
    if coefficient * 2.0 * anvil.thickness > np.log(LARGEST_FACTOR):
        raise UserError(
            f"anvil_correction: two anvils of {anvil.thickness:g} mm with {coefficient:.4g} /mm let less than a millionth through; "
            "check anvil.thickness (mm), anvil.density (kg/m^3) and the wavelength"
        )
    passes &= coefficient * ways < 2.0 * np.log(LARGEST_FACTOR)
    return np.where(passes, np.exp(np.where(passes, coefficient * ways, 0.0)), 1.0), passes, coefficient


def _apply(table: ReflectionTable, factor: np.ndarray, passes: np.ndarray) -> int:
    """Multiply what was measured; the number of reflections of which anything was."""
    flags = table["flags"]
    some = np.zeros(len(table), np.bool_)
    for kind, flag in (("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)):
        if f"intensity.{kind}.value" not in table:
            continue
        rows = ((flags & np.uint64(int(flag))) != 0) & passes
        some |= rows
        for column, power in (("value", 1), ("variance", 2)):
            name = f"intensity.{kind}.{column}"
            table[name] = np.where(rows, table[name] * factor**power, table[name])
    table[COLUMN] = np.where(some, factor, 1.0)
    table["flags"] = np.where(passes, flags, flags | np.uint64(int(Flag.EXCLUDED_FOR_SCALING)))
    return int(np.count_nonzero(some))
