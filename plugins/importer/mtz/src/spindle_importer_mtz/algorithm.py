"""The importer of MTZ files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import Detector, Experiment, Experiments, Goniometer
from spindle.params import Float
from spindle.params import Params as ParamsBase
from spindle.table import Flag, ReflectionTable
from spindle_lib_exchange import (
    MERGED_NOTES,
    add_predicted,
    diffracted_beams,
    experiment_without_images,
    fit_panel,
    merged_rows,
)
from spindle_lib_merging import mtz_indices, read_mtz, to_measured_indices

from .sweeps import Sweep, sweeps_of

if TYPE_CHECKING:
    import gemmi

LABORATORY = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # axis from +z to +x, beam from +x to -z
POOR_FIT = 2.0  # pixels
KINDS = {"J": "I", "K": "I", "F": "F", "G": "F"}  # types of columns


class MtzImporter(Algorithm):
    """MTZ files. Unmerged: a sweep for each run of batches, models from the headers, the detector from the positions. Merged: one row a value."""

    class Params(ParamsBase):
        distance = Float(
            None, min=0, none=True, units="mm", help="From sample to detector, where the file does not say it."
        )

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it is an MTZ file; see `spindle.contracts.importer.ImporterSpec.understand`."""
        return head.startswith(b"MTZ ") and len(head) >= 80

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no MTZ file"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """Models and reflections; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        mtz = _read(path)
        if mtz.column_with_label("M/ISYM") is None and not len(mtz.batches):
            return _merged(mtz, path)
        sweeps = sweeps_of(mtz, path)
        labels = set(mtz.column_labels())
        missing = {"M/ISYM", "BATCH"} - labels
        if missing or not {"I", "IPR"} & labels:
            raise FileFormatError(
                f"{path}: no column {', '.join(sorted(missing) or ['I'])}; columns of unmerged intensities are expected"
            )
        notes: list[str] = []
        table = _table(mtz, path, sweeps, notes)
        experiments = []
        for i, sweep in enumerate(sweeps):
            experiments.append(self._experiment(i, sweep, table, notes))
        add_predicted(Experiments(experiments), table)
        table.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
        return Imported(Experiments(experiments), table, tuple(notes))

    def _experiment(self, number: int, sweep: Sweep, table: ReflectionTable, notes: list[str]) -> Experiment:
        """The models of a sweep in the laboratory frame of images."""
        rows = np.flatnonzero(table["id"] == number)
        phi = np.asarray(sweep.scan.angle_from_array_index(table["xyzcal.px"][rows, 2]))
        crystal = replace(
            sweep.crystal, A=LABORATORY @ sweep.crystal.A,
            A_at_scan_points=None if sweep.crystal.A_at_scan_points is None else LABORATORY @ sweep.crystal.A_at_scan_points,
        )  # fmt: skip
        beam = replace(sweep.beam, direction=LABORATORY @ sweep.beam.direction)
        goniometer = Goniometer(np.array([1.0, 0.0, 0.0]))
        experiment = Experiment(
            beam, experiment_without_images(crystal, beam.wavelength).detector, goniometer, sweep.scan, crystal
        )
        s1 = diffracted_beams(experiment, table["miller_index"][rows], phi, table["xyzcal.px"][rows, 2])
        distance = self.params.distance or sweep.distance
        fitted = fit_panel(s1, table["xyzcal.px"][rows, :2], distance, sweep.size)
        if fitted is None:
            notes.append(
                f"sweep {number}: too few positions or no distance: its detector is a dummy; geometry cannot be refined"
            )
            return experiment
        notes.append(
            f"sweep {number}: batches {sweep.first} to {sweep.last}; detector found from {len(rows)} positions, rms {fitted.rms:.2f} px, "
            f"pixels of {fitted.panel.pixel_size[0]:.4f} x {fitted.panel.pixel_size[1]:.4f} mm"
        )
        if fitted.rms > POOR_FIT:
            notes.append(
                f"sweep {number}: one flat detector explains the positions poorly; use them for scaling and merging only"
            )
        return replace(experiment, detector=Detector([fitted.panel]))


def _read(path: Path) -> gemmi.Mtz:
    try:
        mtz = read_mtz(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise FileFormatError(f"{path}: {error}; the file is damaged or not complete") from error
    if mtz.spacegroup is None:
        raise FileFormatError(f"{path}: its space group {mtz.spacegroup_name!r} is not known")
    return mtz


def _column(mtz: gemmi.Mtz, label: str) -> np.ndarray:
    return np.array(mtz.column_with_label(label), dtype=np.float64)


def _merged(mtz: gemmi.Mtz, path: Path) -> Imported:
    """An experiment for each data set that has intensities or amplitudes of its own."""
    hkl = mtz_indices(mtz, str(path))
    experiments: list[Experiment] = []
    tables: list[ReflectionTable] = []
    notes = [MERGED_NOTES]
    for dataset in mtz.datasets:
        columns: dict[str, np.ndarray] = {}
        mine = [c for c in mtz.columns if c.dataset_id == dataset.id]
        for column, following in pairwise(mine):
            name = KINDS.get(column.type)
            if name is None or following.type not in "QLM":
                continue
            if column.type in "KG":
                name += "(-)" if f"{name}(+)" in columns else "(+)"
            if name not in columns:
                columns[name] = np.array(column, dtype=np.float64)
                columns[f"SIG{name}"] = np.array(following, dtype=np.float64)
        cell = np.array(dataset.cell.parameters if dataset.cell.a > 1.0 else mtz.cell.parameters)
        found = merged_rows(hkl, columns, cell, mtz.spacegroup, len(experiments))
        if found is None:
            continue
        crystal, table, said = found
        wavelength = dataset.wavelength
        if not wavelength > 0:
            wavelength = 1.0
            notes.append(f"data set {dataset.dataset_name}: the file does not tell the wavelength; 1 A is taken")
        notes.append(f"data set {dataset.dataset_name}: {len(table)} values of {said}")
        experiments.append(experiment_without_images(crystal, wavelength))
        tables.append(table)
    if not tables:
        raise FileFormatError(
            f"{path}: a merged file without intensities (type J or K) or amplitudes (F, G) and their sigmas"
        )
    joined = ReflectionTable.concatenate(tables)
    joined.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
    return Imported(Experiments(experiments), joined, tuple(notes))


def _table(mtz: gemmi.Mtz, path: Path, sweeps: list[Sweep], notes: list[str]) -> ReflectionTable:
    """Indices as measured, intensities without their corrections, positions."""
    labels = set(mtz.column_labels())
    batch = np.rint(np.nan_to_num(_column(mtz, "BATCH"), nan=-1.0).clip(-1, 2**31)).astype(np.int64)
    n = len(batch)
    ends = np.array([s.last for s in sweeps])
    owner = np.searchsorted(ends, batch)
    good = (owner < len(sweeps)) & (batch >= np.array([s.first for s in sweeps])[np.minimum(owner, len(sweeps) - 1)])
    if not good.all():
        notes.append(f"{int(np.count_nonzero(~good))} reflections of batches without a header are left out")
    to_measured_indices(mtz, str(path))

    def given(label: str, default: float) -> np.ndarray:
        return _column(mtz, label) if label in labels else np.full(n, default)

    table = ReflectionTable.with_rows(n, ["id", "flags", "miller_index"])
    table["id"], table["panel"] = owner.astype(np.int64), np.zeros(n, np.uint64)
    table["miller_index"] = mtz_indices(mtz, str(path))
    scans = [s.scan for s in sweeps]
    start = np.array([s.oscillation_deg[0] for s in scans])[np.minimum(owner, len(scans) - 1)]
    width = np.array([s.oscillation_deg[1] or 1.0 for s in scans])[np.minimum(owner, len(scans) - 1)]
    first = np.array([s.array_range[0] for s in scans])[np.minimum(owner, len(scans) - 1)]
    offset = np.array([s.batch_offset for s in scans])[np.minimum(owner, len(scans) - 1)]
    rot = given("ROT", np.nan)
    z = np.where(np.isfinite(rot), first + (rot - start) / width, batch - offset - 0.5)
    table["xyzcal.px"] = np.stack([given("XDET", 0.0), given("YDET", 0.0), z], axis=1)
    table["partiality"] = given("FRACTIONCALC", 1.0)
    table["partial_id"] = np.arange(n, dtype=np.uint64)
    table["lp"], table["qe"] = given("LP", 1.0), given("QE", 1.0)
    if "BG" in labels:
        table["background.sum.value"], table["background.sum.variance"] = _column(mtz, "BG"), given("SIGBG", 0.0) ** 2
    flags = np.full(n, int(Flag.PREDICTED), np.uint64)
    factor = table["lp"] / table["qe"]
    if "SCALEUSED" in labels:
        g = _column(mtz, "SCALEUSED")
        table["inverse_scale_factor"], table["inverse_scale_factor_variance"] = g, given("SIGSCALEUSED", 0.0) ** 2
        table["intensity.scale.value"] = _column(mtz, "I") * g
        table["intensity.scale.variance"] = (_column(mtz, "SIGI") * g) ** 2
        flags |= np.uint64(int(Flag.SCALED | Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF))
        for kind in ("prf", "sum"):
            table[f"intensity.{kind}.value"] = table["intensity.scale.value"] / factor
            table[f"intensity.{kind}.variance"] = table["intensity.scale.variance"] / factor**2
        notes.append("intensities are scaled; SCALEUSED has their scale factors")
    else:
        kinds = {"prf": "IPR", "sum": "I"} if "IPR" in labels else {"sum": "I"}
        for kind, label in kinds.items():
            parts = factor / table["partiality"] if kind == "sum" else factor
            table[f"intensity.{kind}.value"] = _column(mtz, label) / parts
            table[f"intensity.{kind}.variance"] = (_column(mtz, f"SIG{label}") / parts) ** 2
            flags |= np.uint64(int(Flag.INTEGRATED_PRF if kind == "prf" else Flag.INTEGRATED_SUM))
        notes.append("intensities are not scaled; they are without Lorentz-polarisation factor again" if "LP" in labels else
                     "intensities are not scaled; the file does not tell their Lorentz-polarisation factors, which are in them")  # fmt: skip
    table["flags"] = flags
    return table.select(good)
