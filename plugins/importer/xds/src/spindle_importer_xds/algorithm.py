"""The importer of files of XDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import Experiment, Experiments
from spindle.params import Auto, Bool, Float
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable

from .blocks import with_blocks
from .frames import experiment_of
from .inputs import XdsInp, read_inp
from .reading import kind_of, read_hkl, read_spots, read_xparm
from .segments import Segment
from .tables import ascii_table, integrate_table, on_panels, pixel_shift, spot_table


class XdsImporter(Algorithm):
    """XPARM.XDS, GXPARM.XDS, INTEGRATE.HKL, XDS_ASCII.HKL and SPOT.XDS, with XDS.INP and what else is beside them."""

    class Params(ParamsBase):
        pixel_shift = Float(
            Auto,
            auto=True,
            units="pixel",
            help="Added to the positions of reflections; Auto takes what makes them agree best with the models.",
        )
        remove_invalid = Bool(False, help="Leave out spots of SPOT.XDS that are not indexed.")
        read_varying_crystal = Bool(
            False, help="Take the crystal of each block of images from INTEGRATE.LP beside the file."
        )

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it is a file of XDS; see `spindle.contracts.importer.ImporterSpec.understand`."""
        return bool(kind_of(path, head))

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no XPARM.XDS, INTEGRATE.HKL, XDS_ASCII.HKL or SPOT.XDS"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """Models, and reflections where the file has them; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        kind = kind_of(path, path.read_bytes()[:65536])
        notes: list[str] = []
        beside = path.parent / "XDS.INP"
        inp = read_inp(beside) if beside.is_file() else XdsInp()
        if not beside.is_file():
            notes.append(
                "there is no XDS.INP beside the file: names of images, sensor and untrusted areas are not known"
            )
        table: ReflectionTable | None = None
        numbers = None
        if kind == "xparm":
            experiment = experiment_of(read_xparm(path), inp, path)
        elif kind == "spots":
            experiment = self._beside(path, inp, notes)
            table = spot_table(experiment, *read_spots(path))
            if self.params.remove_invalid:
                table = table.select(table["id"] >= 0)
        else:
            file = read_hkl(path)
            column = file.items["ZCAL" if kind == "integrate" else "ZD"]
            last = file.geometry.frame + int(np.ceil(column.max())) - 1 if len(column) else None
            if not file.geometry.segments:
                file.geometry.segments = self._segments(path, inp, notes)
            experiment = experiment_of(file.geometry, inp, path, last)
            numbers = file.items.get("ISEG")
            table = (integrate_table if kind == "integrate" else ascii_table)(experiment, file, notes)
        if self.params.read_varying_crystal:
            experiment = with_blocks(experiment, path.parent / "INTEGRATE.LP")
        if table is not None:
            on_panels(experiment.detector, table, numbers)
            self._shift(experiment, table, notes, kind)
            table.identifiers = {0: experiment.identifier}
        return Imported(Experiments([experiment]), table, tuple(notes))

    def _segments(self, path: Path, inp: XdsInp, notes: list[str]) -> tuple[Segment, ...]:
        """Segments of the detector of a file of reflections: of XPARM.XDS beside it, which knows them where XDS.INP does not."""
        if inp.segments:
            return ()
        for name in ("GXPARM.XDS", "XPARM.XDS"):
            if (path.parent / name).is_file():
                found = read_xparm(path.parent / name).segments
                if found:
                    notes.append(f"{len(found)} segments of the detector from {name}")
                return found
        return ()

    def _beside(self, path: Path, inp: XdsInp, notes: list[str]) -> Experiment:
        """The models for SPOT.XDS, from the file beside it that knows most."""
        for name in ("GXPARM.XDS", "XPARM.XDS"):
            if (path.parent / name).is_file():
                notes.append(f"models from {name}")
                return experiment_of(read_xparm(path.parent / name), inp, path.parent / name)
        raise FileFormatError(f"{path}: spots without models; put the XPARM.XDS that belongs to them beside the file")

    def _shift(self, experiment: Experiment, table: ReflectionTable, notes: list[str], kind: str) -> None:
        """Move the positions of a table to pixels whose first edge is 0."""
        given = self.params.pixel_shift
        shift, said = pixel_shift(experiment, table, kind) if given is Auto else (float(given), "as asked for")
        notes.append(f"{shift:+g} px is added to x and y: {said}")
        for name in ("xyzcal.px", "xyzobs.px.value"):
            if name in table:
                table[name] = table[name] + np.array([shift, shift, 0.0])
        for name, mm in (("xyzcal.px", "xyzcal.mm"), ("xyzobs.px.value", "xyzobs.mm.value")):
            if name in table:
                xy = experiment.detector.pixel_to_mm(table["panel"].astype(np.int64), table[name][:, :2])
                phi = experiment.known_scan.angle_from_array_index(table[name][:, 2])
                table[mm] = np.column_stack([xy, phi])
