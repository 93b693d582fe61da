"""The exporter of plain lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export, MergedData
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Bool, Choice, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import Observations, cell_for_export, observations, the_space_group, write_rows
from spindle_lib_merging import merge_equivalents

ELECTRON = "electron"


class HklExporter(Algorithm):
    """Plain lists of h, k, l, intensity and sigma, for SIR, JANA and whatever reads columns."""

    several_panels = True

    class Params(ParamsBase):
        hklout = PathParam("spindle.hkl", output=True, help="Reflections.")
        merge = Bool(False, help="Write the mean of equivalents, Friedel mates apart, instead of observations.")
        commands = Choice(
            ["sir"], default=None, none=True, help="Write a file of commands for SIR beside the list, too."
        )
        content = Str("C 1 H 1", help="Atoms in the cell, for SIR: symbols and numbers.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One list; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        group = the_space_group(experiments, "hkl")
        wavelengths = sorted({round(e.beam.wavelength, 4) for e in experiments})
        if len(wavelengths) > 1:
            raise UserError(
                f"export format=hkl: the experiments have {len(wavelengths)} wavelengths ({', '.join(map(str, wavelengths))} A), "
                "which a list cannot tell apart; give the experiments of one wavelength"
            )
        observed = observations(reflections, intensity)
        target = path or str(p.hklout)
        result = Export(summary={"observations": len(observed)})
        hkl, value, sigma = observed.hkl, observed.value, observed.sigma
        result.messages = observed.messages(target)
        if p.merge:
            if observed.kind != "scale":
                raise UserError(
                    f"export format=hkl: hkl.merge=True needs scaled intensities, these are {observed.holds}; run spindle scale first"
                )
            merged = merge_equivalents(hkl, value, sigma**2, group, anomalous=True)
            hkl, value, sigma = merged.hkl, merged.intensity, merged.sigma
            result.messages.append(f"{target}: merged to {len(hkl)} reflections, Friedel mates apart")
        result.files[target] = _writer(hkl, value, sigma)
        if p.commands == "sir":
            commands = str(Path(target).with_suffix(".sir"))
            if commands == target:
                raise ParameterError(
                    f"hkl.hklout={target}: the commands for SIR would overwrite the list; give another name"
                )
            result.files[commands] = self._commands(experiments, target, observed)
            result.messages.append(f"{commands}: commands for SIR")
        return result

    def _commands(self, experiments: Experiments, target: str, observed: Observations) -> Callable[[Path], None]:
        """What writes the input of SIR: cell, space group, content and the list as squared amplitudes."""
        cell, _ = cell_for_export(experiments)
        group = the_space_group(experiments, "hkl")
        experiment = experiments[0]
        lines = [
            f"%Structure {Path(target).stem}",
            f"%Job {observed.holds} intensities",
            "%Data",
            "Cell " + " ".join(f"{v:.4f}" for v in cell),
            f"SpaceGroup {group.hm}",
            f"Content {self.params.content}",
            f"Wavelength {experiment.beam.wavelength:.5f}",
            f"Reflections {Path(target).name}",
            "Format (3i5,2f15.4)",
            "FoSquare",
            *(["Electrons"] if experiment.beam.probe == ELECTRON else []),
            "%Continue",
        ]
        text = "\n".join(lines) + "\n"

        def write(path: Path) -> None:
            Path(path).write_text(text, encoding="ascii")

        return write

    @hookimpl
    def export_merged(self, merged: MergedData, path: str) -> Export:
        """The mean intensities; see `spindle.contracts.exporter.ExporterSpec.export_merged`."""
        columns = {c.label: np.asarray(c.values) for c in merged.columns if c.dataset == 0}
        if len(merged.datasets) > 1 or "IMEAN" not in columns:
            raise UserError(
                "export format=hkl: a list holds the mean intensities of one wavelength; use format=mtz or mmcif"
            )
        value, sigma = columns["IMEAN"], columns["SIGIMEAN"]
        good = np.isfinite(value) & np.isfinite(sigma)
        said = f"{path}: {int(good.sum())} unique reflections, mean of the scaled intensities"
        return Export({path: _writer(merged.miller_index[good], value[good], sigma[good])}, [said])


def _writer(hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_rows(file, "%5d%5d%5d%15.4f%15.4f", [*hkl.T, value, sigma])

    return write
