"""Unmerged observations as mmCIF."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import numpy as np

from spindle.models import Experiment, Experiments
from spindle.prediction import flat_detector
from spindle_lib_exchange import Observations, bravais_lattice, cell_of, write_rows
from spindle_lib_merging import ShellStatistics, merging_statistics

from .items import head, loop, software

if TYPE_CHECKING:
    import gemmi

NAMES = {"sum": "sum", "prf": "profile"}
PROBES = {"x-ray": "x-ray", "electron": "electron", "neutron": "neutron"}
OVERALL = {
    "d_resolution_high": "d_min", "d_resolution_low": "d_max", "number_obs": "n_unique",
    "pdbx_number_measured_all": "n_observations", "pdbx_redundancy": "multiplicity", "pdbx_Rmerge_I_obs": "r_merge",
    "pdbx_Rrim_I_all": "r_meas", "pdbx_Rpim_I_all": "r_pim", "pdbx_CC_half": "cc_half",
    "pdbx_netI_over_sigmaI": "i_over_sigma",
}  # fmt: skip
SHELL = {
    "d_res_high": "d_min", "d_res_low": "d_max", "number_unique_obs": "n_unique",
    "number_measured_obs": "n_observations", "pdbx_redundancy": "multiplicity", "Rmerge_I_obs": "r_merge",
    "pdbx_Rrim_I_all": "r_meas", "pdbx_Rpim_I_all": "r_pim", "pdbx_CC_half": "cc_half",
    "meanI_over_sigI_obs": "i_over_sigma",
}  # fmt: skip


class Writer:
    """Writes one file; the diffraction experiment of PDBx is a sweep here."""

    def __init__(
        self, experiments: Experiments, observed: Observations, group: gemmi.SpaceGroup, cell: np.ndarray,
        next_version: bool,
    ) -> None:  # fmt: skip
        self.experiments, self.observed, self.group, self.cell = experiments, observed, group, cell
        self.next_version = next_version
        self.scaled = observed.kind == "scale"
        crystals = experiments.unique("crystal")
        self.crystal_of = [next(i for i, c in enumerate(crystals) if c is e.crystal) for e in experiments]
        self.crystals = crystals

    def write(self, file: IO[str]) -> None:
        """Write the whole file."""
        file.write("data_spindle\n#\n_entry.id SPINDLE\n#\n")
        loop(file, "_audit", ["revision_id", "creation_method"], [[1, "Spindle"]])
        software(file, self.scaled)
        self._models(file)
        if self.scaled:
            self._statistics(file)
        if self.next_version:
            self._unmerged(file)
        else:
            self._diffrn_refln(file)

    def _models(self, file: IO[str]) -> None:
        experiments = self.experiments
        names = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
        loop(file, "_cell", ["entry_id", *names], [["SPINDLE", *map(float, np.round(self.cell, 5))]])
        items = ["entry_id", "space_group_name_H-M", "Int_Tables_number"]
        loop(file, "_symmetry", items, [["SPINDLE", self.group.hm, self.group.number]])
        loop(file, "_exptl_crystal", ["id"], [[i + 1] for i in range(len(self.crystals))])
        rows = [[i + 1, c + 1, self._said(i)] for i, c in enumerate(self.crystal_of)]
        loop(file, "_diffrn", ["id", "crystal_id", "details"], rows)
        rows = [[i + 1, f"{e.beam.wavelength:.6g}"] for i, e in enumerate(experiments)]
        loop(file, "_diffrn_source", ["diffrn_id", "pdbx_wavelength_list"], rows)
        rows = [[i + 1, PROBES.get(e.beam.probe, "x-ray"), "M"] for i, e in enumerate(experiments)]
        loop(file, "_diffrn_radiation", ["diffrn_id", "pdbx_scattering_type", "pdbx_monochromatic_or_laue_m_l"], rows)
        rows = [[i + 1, "PIXEL"] for i in range(len(experiments))]
        loop(file, "_diffrn_detector", ["diffrn_id", "detector"], rows)

    def _said(self, number: int) -> str:
        """What the observations of an experiment are."""
        if self.next_version and self.observed.data.kind == "profile+sum":
            return "profile-fitted and summed intensities, not scaled"
        return f"{self.observed.holds} intensities"

    def _statistics(self, file: IO[str]) -> None:
        statistics = merging_statistics(
            self.observed.hkl, self.observed.value, self.observed.sigma**2, self.cell, self.group, 10
        )
        items = ["entry_id", "pdbx_ordinal", "pdbx_diffrn_id", *OVERALL, "percent_possible_obs"]
        every = ",".join(str(i + 1) for i in range(len(self.experiments)))
        loop(file, "_reflns", items, [["SPINDLE", 1, every, *_values(statistics.overall, OVERALL)]])
        rows = [[i + 1, *_values(shell, SHELL)] for i, shell in enumerate(statistics.shells)]
        loop(file, "_reflns_shell", ["pdbx_ordinal", *SHELL, "percent_possible_obs"], rows)

    def _images(self) -> np.ndarray:
        """(n,) int: number of the image, from 1, on which each calculated position is."""
        z = self.observed.table["xyzcal.px"][:, 2]
        which = self.observed.table["id"]
        ranges = [e.scan.array_range if e.scan is not None else (0, 1) for e in self.experiments]
        first, last = np.array(ranges)[which].T
        return np.asarray(np.clip(np.floor(z), first, last - 1) + 1, dtype=np.int64)

    def _angles(self) -> np.ndarray:
        """(n,) float64, degrees: calculated rotation angle."""
        return np.asarray(np.rad2deg(self.observed.table["xyzcal.mm"][:, 2]))

    def _positions(self) -> np.ndarray:
        """(n, 2) float64: calculated positions in pixels, of several panels on one flat detector."""
        table = self.observed.table
        place = np.array(table["xyzcal.px"][:, :2])
        panel = table.get("panel", np.zeros(len(table), np.int64))
        for i, rows in table.rows_by_experiment().items():
            experiment = self.experiments[i]
            if len(experiment.detector) > 1:
                flat = flat_detector(experiment.detector, experiment.beam.s0)
                place[rows] = flat.positions(panel[rows], place[rows])
        return place

    def _diffrn_refln(self, file: IO[str]) -> None:
        observed = self.observed
        n = len(observed)
        items = [
            "diffrn_id", "id", "index_h", "index_k", "index_l", "intensity_net", "intensity_sigma", "pdbx_image_id",
            "pdbx_detector_x", "pdbx_detector_y", "pdbx_scan_angle", "scale_group_code", "standard_code",
        ]  # fmt: skip
        columns = [
            observed.table["id"] + 1, np.arange(1, n + 1), *observed.hkl.T, observed.value, observed.sigma,
            self._images(), *self._positions().T, self._angles(), np.ones(n, np.int64),
        ]  # fmt: skip
        # the dictionary wants both codes: one scale, and no reflection is a standard that is measured again
        form = "%d %d %d %d %d %.6g %.5g %d %.2f %.2f %.4f %d ."
        if self.scaled:
            items.append("pdbx_scale_value")
            columns.append(1.0 / observed.table["inverse_scale_factor"])
            form += " %.5g"
        head(file, "_diffrn_refln", items)
        write_rows(file, form, columns)
        file.write("#\n")

    def _unmerged(self, file: IO[str]) -> None:
        probe = PROBES.get(self.experiments[0].beam.probe, "x-ray")
        items = ["id", "type_scattering", "type_merged", "type_scaled"]
        loop(file, "_pdbx_diffrn_data_section", items, [["spindle", probe, "false", str(self.scaled).lower()]])
        names = [f"cell_length_{a}" for a in "abc"] + [f"cell_angle_{a}" for a in ("alpha", "beta", "gamma")]
        rows: list[list[object]] = []
        for number in sorted(set(self.crystal_of)):
            experiment = self.experiments[self.crystal_of.index(number)]
            cell, _ = cell_of(experiment.known_crystal)
            lattice = bravais_lattice(self.group)
            rows.append(
                [len(rows) + 1, number + 1, experiment.beam.wavelength, *map(float, np.round(cell, 5)), lattice]
            )
        items = ["ordinal", "crystal_id", "wavelength", *names, "Bravais_lattice"]
        loop(file, "_pdbx_diffrn_unmerged_cell", items, rows)
        items = ["scan_id", "crystal_id", "image_id_begin", "image_id_end", "scan_angle_begin", "scan_angle_end"]
        rows = [[i + 1, self.crystal_of[i] + 1, *_scan(e)] for i, e in enumerate(self.experiments)]
        loop(file, "_pdbx_diffrn_scan", items, rows)
        observed, table, n = self.observed, self.observed.table, len(self.observed)
        first, last = self._spans()
        items = ["reflection_id", "scan_id", "image_id_begin", "image_id_end", "index_h", "index_k", "index_l"]
        columns = [np.arange(1, n + 1), table["id"] + 1, first, last, *observed.hkl.T]
        form = "%d %d %d %d %d %d %d"
        if self.scaled:
            items += ["scale_value", "intensity_meas", "intensity_sigma"]
            columns += [1.0 / table["inverse_scale_factor"], observed.value, observed.sigma]
            form += " %.5g %.6g %.5g"
        else:
            for kind in ("sum", "prf"):
                if kind in observed.data.values:
                    items += [f"intensity_{NAMES[kind]}", f"intensity_{NAMES[kind]}_sigma"]
                    columns += [observed.data.values[kind], np.sqrt(observed.data.variances[kind])]
                    form += " %.6g %.5g"
        items += ["scan_angle_reflection", "partiality"]
        columns += [self._angles(), observed.column("partiality", 1.0)]
        head(file, "_pdbx_diffrn_unmerged_refln", items)
        write_rows(file, form + " %.4f %.4f", columns)
        file.write("#\n")

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last image of each observation's box, or the one of its calculated position."""
        if "bbox" in self.observed.table:
            box = self.observed.table["bbox"]
            return box[:, 4] + 1, box[:, 5]
        image = self._images()
        return image, image


def _scan(experiment: Experiment) -> list[object]:
    """First and last image and angle."""
    scan = experiment.scan
    if scan is None:
        return [1, 1, 0.0, 0.0]
    start, width = scan.oscillation_deg
    return [*scan.image_range, float(start), float(start + width * scan.n_images)]


def _values(shell: ShellStatistics, names: dict[str, str]) -> list[object]:
    found = [getattr(shell, name) for name in names.values()]
    return [*found, 100.0 * shell.completeness]
