"""The PETS2 exporter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Bool, Float, Int, Str
from spindle.params import Params as ParamsBase
from spindle.table import Flag, ReflectionTable
from spindle_lib_exchange import Observations, experiment_name, observations, per_experiment, the_space_group

from .frames import VirtualFrames, virtual_frames
from .writing import write_cif


class PetsExporter(Algorithm):
    """Virtual frames with the reflections that are excited in each, as PETS2 writes them for dynamical refinement in JANA."""

    class Params(ParamsBase):
        filename_prefix = Str("spindle_dyn", help="Name of the file without its ending .cif_pets.")
        id = Int(None, min=0, none=True, help="Which experiment; None writes a file for each.")
        partiality_cutoff = Float(
            0.99, min=0, max=1, none=True, help="Leave out reflections of which a smaller fraction was recorded."
        )
        flag_filtering = Bool(
            True, help="Leave out reflections that are not flagged as integrated; else all with a variance."
        )

        class virtual_frame(ParamsBase):
            """Images that are taken together."""

            excitation_error_cutoff = Float(
                0.04, min=0, units="1/angstrom", help="Reflections nearer to the Ewald sphere belong to a frame."
            )
            n_merged = Int(1, min=1, max=1_000_000, help="Images of a virtual frame.")
            step = Int(1, min=1, max=1_000_000, help="Images from one virtual frame to the next.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file per experiment; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        the_space_group(experiments, "pets")
        if p.id is not None and p.id >= len(experiments):
            raise ParameterError(f"pets.id={p.id}: the experiments are 0 to {len(experiments) - 1}")
        numbers = range(len(experiments)) if p.id is None else [p.id]
        observed = self._observations(reflections, intensity)
        parts = per_experiment(observed, experiments)
        target = path or f"{p.filename_prefix}.cif_pets"
        result = Export(messages=observed.messages(target))
        for i in numbers:
            experiment = experiments[i]
            if experiment.is_still:
                raise UserError(f"export format=pets: experiment {i} is a still; the format is for rotation data")
            if not len(parts[i]):
                result.messages.append(f"experiment {i} has no reflections: no file is written for it")
                continue
            if experiment.known_scan.n_images < p.virtual_frame.n_merged:
                raise ParameterError(
                    f"pets.virtual_frame.n_merged={p.virtual_frame.n_merged}: experiment {i} has "
                    f"{experiment.known_scan.n_images} images"
                )
            name = experiment_name(target, i, len(experiments)) if len(numbers) > 1 else target
            frames = virtual_frames(
                experiment, parts[i].hkl, p.virtual_frame.n_merged, p.virtual_frame.step,
                p.virtual_frame.excitation_error_cutoff,
            )  # fmt: skip
            result.files[name] = _writer(frames, parts[i])
            result.messages.append(
                f"{name}: {len(frames.angle)} virtual frames of {p.virtual_frame.n_merged} images, {len(frames.row)} "
                "entries; intensities are those of whole reflections, without Lorentz factor unless scaled"
            )
            if experiment.beam.probe != "electron":
                result.messages.append(
                    f"{name}: the probe of experiment {i} is {experiment.beam.probe}; PETS2 is for electrons"
                )
        if not result.files:
            raise UserError("export format=pets: no experiment has a reflection that could be written")
        return result

    def _observations(self, reflections: ReflectionTable, intensity: str) -> Observations:
        """One intensity per reflection; measured ones without the Lorentz factor, for a model that integrates over frames."""
        table = reflections.view()
        if "lp" in table:
            table["lp"] = np.ones(len(table))
        if not self.params.flag_filtering:
            for kind, flag in (("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)):
                if f"intensity.{kind}.value" in table:
                    table.set_flags(np.arange(len(table)), flag)
        return observations(table, intensity, partiality_threshold=self.params.partiality_cutoff, min_isigi=None)


def _writer(frames: VirtualFrames, part: Observations) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_cif(file, frames, part)

    return write
