"""Plugins of a stranger around results: absorption by a plate, an importer of a text format, and a symmetry that is none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from spindle.contracts import Algorithm, Program, ProgramResult, hookimpl
from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.params import Float, Params, PathParam, Str
from spindle.table import Flag, ReflectionTable


class Plate(Algorithm):
    """A plate behind the crystal, normal to the beam: what is diffracted further passes through more of it."""

    class Params(Params):
        thickness = Float(0.1, min=0, units="mm", help="Thickness of the plate.")
        mu = Float(1.0, min=0, units="1/mm", help="Absorption coefficient.")
        sigma = Float(0.02, min=0, units="mm", help="Uncertainty of the thickness.")

    @hookimpl
    def absorption_factors(self, experiment, reflections):
        p = self.params
        s1 = reflections["s1"]
        along = np.abs(s1 @ experiment.beam.s0) / np.linalg.norm(s1, axis=1) * experiment.beam.wavelength
        path = 1.0 / np.maximum(along, 0.01)
        factor = np.exp(p.mu * p.thickness * path)
        return AbsorptionFactors(factor, factor * p.mu * p.sigma * path)


class Triclinic(Program):
    """Symmetry of people who want none."""

    class Params(Params):
        label = Str("none wanted", help="Why.")

        class output(Params):
            experiments = PathParam("triclinic.expt", none=True, help="Experiments.")
            log = PathParam("triclinic.log", none=True, help="Log.")

    @hookimpl
    def run(self, inputs, params, context):
        crystals = [replace(e, crystal=e.crystal.with_space_group("P 1")) for e in inputs.experiments]
        return ProgramResult(Experiments(crystals), summary={"why": params.label})


class Lines(Algorithm):
    """A header of one line of JSON, then lines of h k l I sigma."""

    @hookimpl
    def understand(self, head):
        return head.startswith(b"LINES 1\n")

    @hookimpl
    def import_results(self, path):
        _, head, *rows = path.read_text().splitlines() or [""]
        try:
            header = json.loads(head)
            values = np.array([row.split() for row in rows], dtype=np.float64).reshape(header["n"], 5)
        except (ValueError, KeyError) as error:
            raise FileFormatError(
                f"{path}: not the header and rows of a LINES file ({error}); write it again"
            ) from error
        panel = Panel(
            fast_axis=np.array([1.0, 0, 0]), slow_axis=np.array([0, -1.0, 0]), origin=np.array([-50.0, 50.0, -100.0]),
            pixel_size=np.array([0.1, 0.1]), image_size=(1000, 1000),
        )  # fmt: skip
        experiment = Experiment(
            beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=header["wavelength"]), detector=Detector((panel,)),
            goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])), scan=Scan((1, 10), (0.0, 1.0)),
            crystal=Crystal.from_cell(header["cell"], np.eye(3), header["space_group"]),
        )  # fmt: skip
        table = ReflectionTable.with_rows(len(values), ["id", "flags", "miller_index"])
        table["miller_index"] = values[:, :3].astype(np.int32)
        table["intensity.sum.value"], table["intensity.sum.variance"] = values[:, 3], values[:, 4] ** 2
        table.set_flags(slice(None), Flag.INTEGRATED_SUM)
        return Imported(Experiments([experiment]), table, ("sigmas are those of the file",))
