"""The importer of mmCIF files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Goniometer,
    Panel,
    Scan,
    space_group_from_symbol,
)
from spindle.params import Auto, Choice, Float, SpaceGroup
from spindle.params import Params as ParamsBase
from spindle.table import Flag, ReflectionTable
from spindle_lib_exchange import (
    MERGED_NOTES,
    add_predicted,
    diffracted_beams,
    experiment_without_images,
    fit_panel,
    merged_rows,
    orientation_from_angles,
)
from spindle_lib_merging import whole_indices

from .blocks import cell_in, numbers, read_document, space_group_in, wavelengths_of_sweeps
from .unmerged import ARCHIVE, NEXT, Observed, Sweep, read_unmerged

MERGED = "_refln."
BLOCK = re.compile(rb"^data_", re.IGNORECASE | re.MULTILINE)
LOOP = re.compile(rb"\s_(?:refln|diffrn_refln|pdbx_diffrn_unmerged_refln)\.")
ITEMS = {
    "I": "intensity_meas", "SIGI": "intensity_sigma", "I(+)": "pdbx_I_plus", "SIGI(+)": "pdbx_I_plus_sigma",
    "I(-)": "pdbx_I_minus", "SIGI(-)": "pdbx_I_minus_sigma", "F": "F_meas_au", "SIGF": "F_meas_sigma_au",
    "F(+)": "pdbx_F_plus", "SIGF(+)": "pdbx_F_plus_sigma", "F(-)": "pdbx_F_minus", "SIGF(-)": "pdbx_F_minus_sigma",
}  # fmt: skip
SAID = {"scale": "scaled", "prf": "profile-fitted", "sum": "summed"}
ASSUMED_DISTANCE = 100.0  # mm
FARTHEST = 5.0  # times the distance from the centre of a detector that is made up
PIXEL = 0.1  # mm, of such a detector
GOOD_ANGLES = 0.2  # degrees
POOR_FIT = 2.0  # pixels


class MmcifImporter(Algorithm):
    """Reflections of mmCIF files of the Protein Data Bank: unmerged, with orientations found from their angles, or merged."""

    class Params(ParamsBase):
        space_group = SpaceGroup(Auto, auto=True, help="Space group; Auto takes that of the file.")
        distance = Float(
            Auto, auto=True, min=1e-3, units="mm",
            help="From sample to detector, which such files do not say; Auto takes 100, with which angles are right and millimetres are not.",
        )  # fmt: skip
        wavelength = Float(Auto, auto=True, min=1e-4, max=100.0, units="A", help="Wavelength; Auto takes that of the file.")  # fmt: skip
        holds = Choice(
            ["scaled", "profile", "sum"],
            default=Auto,
            auto=True,
            help="What unnamed intensities are; Auto goes by scale factors and by what the program that wrote the file says.",
        )

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it is mmCIF with a loop of reflections; see `spindle.contracts.importer.ImporterSpec.understand`."""
        return bool(BLOCK.search(head) and LOOP.search(head))

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no mmCIF with reflections (_refln., _diffrn_refln. or _pdbx_diffrn_unmerged_refln.)"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """Every block that has reflections; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        experiments: list[Experiment] = []
        tables: list[ReflectionTable] = []
        notes: list[str] = []
        earlier: gemmi.cif.Block | None = None
        for block in read_document(path):
            category = next((c for c in (NEXT, ARCHIVE, MERGED) if block.find_mmcif_category(c).width()), None)
            if category is None:
                continue
            try:
                if category == MERGED:
                    experiment, table = self._merged(block, earlier, path, len(experiments), notes)
                    found = [experiment]
                else:
                    found, table = self._unmerged(block, earlier, read_unmerged(block, category, path), path, len(experiments), notes)  # fmt: skip
            except FileFormatError as error:
                text = str(error)
                raise FileFormatError(text if str(path) in text else f"{path}: {text}") from error
            experiments += found
            tables.append(table)
            earlier = earlier or block
        if not tables:
            raise FileFormatError(
                f"{path}: no block has reflections; give a file with structure factors or intensities"
            )
        joined = ReflectionTable.concatenate(tables)
        joined.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
        return Imported(Experiments(experiments), joined, tuple(dict.fromkeys(notes)))

    def _group(self, block: gemmi.cif.Block, earlier: gemmi.cif.Block | None, notes: list[str]) -> gemmi.SpaceGroup:
        """The space group: asked for, of the block, of the first block."""
        if self.params.space_group is not Auto:
            return space_group_from_symbol(self.params.space_group)
        group = space_group_in(block) or (space_group_in(earlier) if earlier is not None else None)
        if group is None:
            notes.append(
                f"{block.name}: the file does not tell the space group; P 1 is taken, importer.mmcif.space_group= gives another"
            )
            return gemmi.SpaceGroup("P 1")
        return group

    def _wavelength(self, told: float, name: str, notes: list[str]) -> float:
        if self.params.wavelength is not Auto:
            return float(self.params.wavelength)
        if told > 0:
            return told
        notes.append(
            f"{name}: the file does not tell the wavelength; 1 A is taken, importer.mmcif.wavelength= gives another"
        )
        return 1.0

    def _merged(
        self, block: gemmi.cif.Block, earlier: gemmi.cif.Block | None, path: Path, number: int, notes: list[str]
    ) -> tuple[Experiment, ReflectionTable]:
        columns = {
            name: column for name, item in ITEMS.items() if (column := numbers(block, MERGED + item)) is not None
        }
        index = [numbers(block, f"{MERGED}index_{x}") for x in "hkl"]
        cell = cell_in(block)
        if cell is None and earlier is not None:
            cell = cell_in(earlier)
        if cell is None or any(c is None or not np.isfinite(c).all() for c in index):
            raise FileFormatError(f"{path}: block {block.name} has no complete cell or indices")
        group = self._group(block, earlier, notes)
        hkl = whole_indices(
            np.stack([c for c in index if c is not None], axis=1), f"{path}, {MERGED}index_h, index_k, index_l"
        )
        found = merged_rows(hkl, columns, cell, group, number)
        if found is None:
            raise FileFormatError(
                f"{path}: block {block.name} has neither intensities nor amplitudes with sigmas; calculated ones are not read"
            )
        crystal, table, said = found
        waves = wavelengths_of_sweeps(block)
        wavelength = self._wavelength(next(iter(waves.values()), 0.0), f"block {block.name}", notes)
        notes += [MERGED_NOTES, f"block {block.name}: {len(table)} values of {said}"]
        return experiment_without_images(crystal, wavelength), table

    def _unmerged(
        self, block: gemmi.cif.Block, earlier: gemmi.cif.Block | None, observed: Observed, path: Path, first: int, notes: list[str]
    ) -> tuple[list[Experiment], ReflectionTable]:  # fmt: skip
        group = self._group(block, earlier, notes)
        table = self._table(block, observed, notes)
        experiments = []
        place = np.zeros((len(table), 3))
        seen = np.zeros(len(table), bool)
        for i, sweep in enumerate(observed.sweeps):
            rows = np.flatnonzero(observed.sweep == i)
            if sweep.cell is None:
                raise FileFormatError(f"{path}: sweep {sweep.name} has no cell")
            experiment, place[rows], seen[rows] = self._experiment(sweep, observed, rows, group, notes)
            experiments.append(experiment)
        table["xyzcal.px"] = place
        add_predicted(Experiments(experiments), table)
        for i, rows in table.rows_by_experiment().items():
            if not seen[rows].all():  # nothing is known but the index
                table["d"][rows] = 1.0 / np.linalg.norm(
                    table["miller_index"][rows] @ experiments[i].known_crystal.A.T, axis=1
                )
        table["id"] = table["id"] + first
        return experiments, table

    def _experiment(
        self, sweep: Sweep, observed: Observed, rows: np.ndarray, group: gemmi.SpaceGroup, notes: list[str]
    ) -> tuple[Experiment, np.ndarray, np.ndarray]:
        """Models of a sweep, places (n, 3) of its rows, and for which rows they are known."""
        name = f"sweep {sweep.name}"
        wavelength = self._wavelength(sweep.wavelength, name, notes)
        assert sweep.cell is not None
        hkl = observed.hkl[rows]
        crystal = Crystal.from_cell(sweep.cell, space_group=group)
        dummy = experiment_without_images(crystal, wavelength)
        nowhere = np.zeros((len(rows), 3)), np.zeros(len(rows), bool)
        if observed.angle is None:
            notes.append(f"{name}: the file has no rotation angles; orientation, scan and detector are dummies")
            return dummy, *nowhere
        degrees = -observed.angle[rows] if sweep.backwards else observed.angle[rows]
        scan = sweep.scan
        if scan is None:
            begin = float(np.floor(degrees.min()))
            scan = Scan((1, max(int(np.ceil(degrees.max() - begin)), 1)), (begin, 1.0))
            notes.append(f"{name}: the file does not tell its images; they are counted as if each turned by one degree")
        z = scan.array_range[0] + (degrees - scan.oscillation_deg[0]) / scan.oscillation_deg[1]
        phi = np.deg2rad(degrees)
        found = orientation_from_angles(hkl, phi, sweep.cell, wavelength)
        if found is None or found.rms_deg > GOOD_ANGLES:
            how = (
                "too few for an orientation"
                if found is None
                else f"those of no one crystal ({found.rms_deg:.2f} deg off)"
            )
            notes.append(f"{name}: its indices and angles are {how}; orientation and detector are dummies")
            return replace(dummy, scan=scan), np.column_stack([nowhere[0][:, :2], z]), nowhere[1]
        notes.append(
            f"{name}: orientation found from {len(rows)} angles, which it meets within {found.rms_deg:.4f} deg (rms)"
        )
        experiment = Experiment(
            Beam(found.direction, wavelength), dummy.detector, Goniometer(np.array([1.0, 0.0, 0.0])), scan, crystal.with_A(found.A)
        )  # fmt: skip
        s1 = diffracted_beams(experiment, hkl, phi, z)
        distance = ASSUMED_DISTANCE if self.params.distance is Auto else float(self.params.distance)
        taken = " (taken for granted)" if self.params.distance is Auto else ""
        if observed.xy is not None and np.isfinite(observed.xy[rows]).all():
            xy = observed.xy[rows]
            size = np.ceil(xy.max(axis=0)).astype(int) + 1
            fitted = fit_panel(s1, xy, distance, (int(size[0]), int(size[1])))
            if fitted is not None:
                notes.append(
                    f"{name}: detector found from {len(rows)} positions, rms {fitted.rms:.2f} px, at {distance:g} mm{taken}"
                    + ("; one flat detector explains them poorly" if fitted.rms > POOR_FIT else "")
                )
                experiment = replace(experiment, detector=Detector([fitted.panel]))
                return experiment, np.column_stack([xy, z]), np.ones(len(rows), bool)
        panel = _made_up(s1, distance)
        notes.append(f"{name}: the file has no positions; they are calculated on a detector that is made up at {distance:g} mm{taken}")  # fmt: skip
        experiment = replace(experiment, detector=Detector([panel]))
        xy = experiment.detector.mm_to_pixel(np.zeros(len(rows), np.int64), _on_plane(panel, s1))
        return experiment, np.column_stack([xy, z]), np.ones(len(rows), bool)

    def _table(self, block: gemmi.cif.Block, observed: Observed, notes: list[str]) -> ReflectionTable:
        """Indices, intensities, flags."""
        n = len(observed.hkl)
        table = ReflectionTable.with_rows(n, ["id", "flags", "miller_index"])
        table["id"], table["panel"] = observed.sweep.copy(), np.zeros(n, np.uint64)
        table["miller_index"] = observed.hkl
        table["partiality"], table["partial_id"] = observed.partiality, np.arange(n, dtype=np.uint64)
        table["lp"], table["qe"] = np.ones(n), np.ones(n)
        flags = np.full(n, int(Flag.PREDICTED), np.uint64)
        values = {kind if kind else self._kind(block, observed): v for kind, v in observed.values.items()}
        if "scale" in values:
            g = np.ones(n) if observed.scale is None else 1.0 / np.where(observed.scale > 0, observed.scale, np.nan)
            value, sigma = values["scale"]
            table["inverse_scale_factor"], table["inverse_scale_factor_variance"] = (
                np.nan_to_num(g, nan=1.0),
                np.zeros(n),
            )
            values = {"scale": (value * g, sigma * g), **{k: v for k, v in values.items() if k != "scale"}}
            for other in ("prf", "sum"):
                values.setdefault(other, values["scale"])
            flags |= np.uint64(int(Flag.SCALED))
        known = np.ones(n, bool)
        for kind, (value, sigma) in values.items():
            known &= np.isfinite(value) & np.isfinite(sigma) & (sigma > 0)
            # a sum is written as that of the whole reflection
            part = observed.partiality if kind == "sum" and "scale" not in values else 1.0
            table[f"intensity.{kind}.value"] = np.nan_to_num(value * part)
            table[f"intensity.{kind}.variance"] = np.where(known, np.nan_to_num(sigma * part) ** 2, -1.0)
        for kind, flag in (("prf", Flag.INTEGRATED_PRF), ("sum", Flag.INTEGRATED_SUM)):
            if kind in values:
                flags[known] |= np.uint64(int(flag))
        table["flags"] = flags
        named = " and ".join(
            SAID[k] for k in ("scale", "prf", "sum") if k in values and not (k != "scale" and "scale" in values)
        )
        notes.append(f"intensities are {named}; Lorentz-polarisation factors are in them and are not known")
        if not known.all():
            notes.append(
                f"{int(np.count_nonzero(~known))} reflections have no intensity or sigma and are only predicted"
            )
        return table

    def _kind(self, block: gemmi.cif.Block, observed: Observed) -> str:
        """What intensities are that the file does not name."""
        chosen = {"scaled": "scale", "profile": "prf", "sum": "sum"}.get(str(self.params.holds))
        if chosen:
            return chosen
        if observed.scale is not None:
            return "scale"
        details = " ".join(gemmi.cif.as_string(v) for v in block.find_values("_diffrn.details"))
        return "prf" if "profile-fitted" in details else "sum" if "summed" in details else "scale"


def _made_up(s1: np.ndarray, distance: float) -> Panel:
    """A square detector across the beam on which all forward beams are, as far as it is not beyond measure."""
    forward = s1[s1[:, 2] < 0]
    spread = np.abs(forward[:, :2] / forward[:, 2:]).max() if len(forward) else 1.0
    half = distance * min(1.02 * float(spread) + 0.01, FARTHEST)
    n = int(np.ceil(2 * half / PIXEL))
    return Panel(
        np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-half, half, -distance]), np.array([PIXEL, PIXEL]), (n, n), name="Panel"
    )  # fmt: skip


def _on_plane(panel: Panel, s1: np.ndarray) -> np.ndarray:
    """(n, 2) float64, mm: where beams meet the plane of a panel; 0 for those that go elsewhere."""
    v = s1 @ np.linalg.inv(np.column_stack([panel.fast_axis, panel.slow_axis, panel.origin])).T
    ahead = v[:, 2] > 0
    return np.where(ahead[:, None], v[:, :2] / np.where(ahead, v[:, 2], 1.0)[:, None], 0.0)
