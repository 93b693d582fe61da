"""The SHELX exporter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Bool, Float, Floats, PathParam, Str, UnitCell
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import (
    cell_for_export,
    decimals_that_fit,
    experiment_name,
    observations,
    the_space_group,
    write_rows,
)

from .instructions import instructions, read_composition

WIDTH, DECIMALS = 8, 2
ASSUMED = "CH"  # as a composition that nobody has given


class ShelxExporter(Algorithm):
    """Observations for SHELXT, SHELXS and SHELXL (HKLF 4), not merged, and instructions with cell and symmetry."""

    several_panels = True

    class Params(ParamsBase):
        hklout = PathParam("spindle.hkl", output=True, help="Reflections.")
        ins = PathParam("spindle.ins", output=True, help="Instructions: cell, wavelength, symmetry, composition.")
        scale = Bool(True, help="Multiply intensities and sigmas so that the largest fills its eight columns.")
        scale_range = Floats(
            (-9999.0, 9999.0),
            size=2,
            min=-999999,
            max=9999999,
            help="The numbers between which scaled intensities lie.",
        )
        composition = Str(ASSUMED, help="Formula of what is in the asymmetric unit, such as C6H12O6.")
        wavelength_tolerance = Float(
            1e-4,
            min=0,
            units="angstrom",
            help="Wavelengths closer than this are one file; others get files of their own.",
        )
        best_unit_cell = UnitCell(
            None, none=True, help="Cell for the file; else the median of the cells, recalculated where they are."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """Two files for each wavelength; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        group = the_space_group(experiments, "shelx")
        low, high = p.scale_range
        if not low < 0 < high:
            raise ParameterError(f"shelx.scale_range={low:g},{high:g}: a range about zero is expected")
        elements = read_composition(p.composition)
        observed = observations(reflections, intensity)
        hklout = path or str(p.hklout)
        ins = str(Path(path).with_suffix(".ins")) if path else str(p.ins)
        if hklout == ins:
            raise ParameterError(
                f"shelx.ins={ins}: the instructions would overwrite the reflections; give another name"
            )
        groups = _wavelengths(experiments, p.wavelength_tolerance)
        result = Export(summary={"observations": len(observed)})
        for number, members in enumerate(groups):
            name, order = (experiment_name(n, number, len(groups)) for n in (hklout, ins))
            here = Experiments([experiments[i] for i in members])
            part = observed if len(groups) == 1 else observed.select(np.isin(observed.table["id"], members))
            cell, sd = cell_for_export(here, p.best_unit_cell)
            factor = _factor(part.value, low, high) if p.scale else 1.0
            value, sigma = part.value * factor, part.sigma * factor
            decimals = decimals_that_fit(np.concatenate([value, sigma]), WIDTH, DECIMALS)
            if decimals is None:
                raise UserError(
                    f"export format=shelx: an intensity of {np.abs(value).max():.6g} does not fit into {WIDTH} columns; "
                    "use shelx.scale=True with a smaller shelx.scale_range"
                )
            large = int(np.abs(part.hkl).max()) if len(part) else 0
            if large > 999:
                raise UserError(f"export format=shelx: index {large} does not fit into four columns; use format=mtz")
            result.files[name] = _hkl(part.hkl, value, sigma, decimals)
            text = instructions(group, cell, sd, here[0].beam.wavelength, elements, Path(name).name)
            result.files[order] = _text(text)
            said = part.messages(name)
            said[0] += f", multiplied by {factor:.6g}" if p.scale else ""
            result.messages += said if number == 0 else said[:1]
            assumed = " (assumed: give composition=)" if p.composition == ASSUMED else ""
            deviations = (
                "" if sd is not None else "; no standard deviations of the cell (spindle two_theta_refine finds them)"
            )
            result.messages.append(
                f"{order}: cell, symmetry {group.hm}, composition {p.composition}{assumed}{deviations}"
            )
        if any(e.beam.probe == "electron" for e in experiments):
            result.messages.append("electrons: give SFAC lines with electron scattering factors for refinement")
        stem = Path(hklout).with_suffix("")
        if len(groups) == 1 and stem == Path(ins).with_suffix(""):
            result.next_step = f"shelxt {stem}"
        return result


def _wavelengths(experiments: Experiments, tolerance: float) -> list[list[int]]:
    """Numbers of the experiments of each wavelength."""
    found: list[tuple[float, list[int]]] = []
    for i, experiment in enumerate(experiments):
        near = [members for w, members in found if abs(w - experiment.beam.wavelength) <= tolerance]
        if near:
            near[0].append(i)
        else:
            found.append((experiment.beam.wavelength, [i]))
    return [members for _, members in found]


def _factor(value: np.ndarray, low: float, high: float) -> float:
    """What makes the intensities fill the range, if only on one side."""
    limits = [high / value.max()] if value.max() > 0 else []
    limits += [low / value.min()] if value.min() < 0 else []
    return float(min(limits, default=1.0))


def _hkl(hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray, decimals: int) -> Callable[[Path], None]:
    number = f"%{WIDTH}.{decimals}f"
    smallest = 10.0**-decimals  # a sigma of zero would be an infinite weight

    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_rows(file, f"%4d%4d%4d{number}{number}", [*hkl.T, value, np.maximum(sigma, smallest)])
            file.write(f"{0:4d}{0:4d}{0:4d}{0.0:8.2f}{0.0:8.2f}\n")

    return write


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        Path(path).write_text(text, encoding="ascii")

    return write
