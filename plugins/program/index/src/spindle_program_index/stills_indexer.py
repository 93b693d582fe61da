"""Indexing of a still with a model of its mosaicity: what its spots tell of the third dimension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.contracts.refiner import RefinementError
from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Crystal, Experiments
from spindle.table import Flag

from .indexed import Indexed
from .indexer import Indexer
from .isoforms import choose_isoform
from .mosaicity import FEWEST_SPOTS, MosaicModel, fit_mosaicity

#: Times that spots beyond the mosaicity are left out and the rest is refined.
N_ROUNDS = 1
#: What of the scope ``refinement`` keeps cells as they are.
CELL_STAYS: dict[str, Any] = {
    "parameterisation__crystal__fix": "cell", "parameterisation__crystal__unit_cell__restraints__tie_to_target": [],
}  # fmt: skip


def has_still_model(sweeps: Experiments, params: Any) -> bool:
    """Whether these are stills that get a model of mosaicity."""
    return sweeps[0].is_still and params.indexing.stills.indexer != "sequences"


def make_indexer(sweeps: Experiments, *others: Any) -> Indexer:
    """The indexer of rotation images, or that of stills; arguments are those of `Indexer`."""
    kind = StillsIndexer if has_still_model(sweeps, others[1]) else Indexer
    return kind(sweeps, *others)


class StillsIndexer(Indexer):
    """Indexes a still, or stills of one crystal; crystals get a mosaic model. Parameters are those of `Indexer`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.beyond = np.zeros(0, np.bool_)

    def run(self) -> Indexed:
        """Do it.

        Raises
        ------
        IndexingError
            If no lattice is found, or the best misses its spots or has too many points near the Ewald sphere.
        """
        super().run()
        refines = self.params.indexing.refinement_protocol.mode == "refine_shells"
        if self.params.indexing.stills.isoforms:
            for number in range(len(self.crystals)):
                choose_isoform(self, number)
            self.refinement.settings = self.refinement.settings.changed(**CELL_STAYS)
        for _ in range(N_ROUNDS if refines else 0):
            beyond = self._beyond()
            if np.array_equal(beyond, self.beyond):
                break
            self.beyond = beyond
            try:
                self._refine()
            except RefinementError as error:
                self.context.log.debug("The spots within the mosaicity cannot be refined alone: %s", error)
                self.beyond = np.zeros(0, np.bool_)
                break
        self._keep_good()
        return self._finish()

    def _left_out(self, number: np.ndarray) -> np.ndarray:
        """Spots with an index that are not refined with; those beyond the mosaicity are among them."""
        left_out = super()._left_out(number)
        return left_out | self.beyond if len(self.beyond) == len(left_out) else left_out

    def _used(self, number: int) -> np.ndarray:
        """Rows of a lattice that it was refined with."""
        table, n = self.table, len(self.sweeps)
        own = (table["id"] >= 0) & (table["id"] // n == number) & table.has_flags(Flag.PREDICTED)
        return np.flatnonzero(own & ~table.has_flags(Flag.CENTROID_OUTLIER))

    def _mosaic_model(self, number: int) -> MosaicModel | None:
        """That of a lattice; None for too few spots."""
        rows = self._used(number)
        if len(rows) < FEWEST_SPOTS:
            return None
        crystal = self.crystals[number]
        return fit_mosaicity(self._spacings(number, rows), self.table["delpsical.rad"][rows], crystal.volume)

    def _spacings(self, number: int, rows: np.ndarray) -> np.ndarray:
        return np.asarray(1 / np.linalg.norm(self.table["miller_index"][rows] @ self.crystals[number].A.T, axis=1))

    def _beyond(self) -> np.ndarray:
        """(n,) bool: spots whose points are farther from the sphere than the mosaicity of their crystal."""
        found = np.zeros(len(self.table), np.bool_)
        number = self.table["id"] // len(self.sweeps)
        for i in range(len(self.crystals)):
            model, rows = self._mosaic_model(i), np.flatnonzero((self.table["id"] >= 0) & (number == i))
            if model is not None:
                turn = np.abs(self.table["delpsical.rad"][rows])
                found[rows] = turn > model.half_width(self._spacings(i, rows))
        return found

    def refine_orientation(self, number: int) -> float:
        """Index with the crystals as they are and refine without their cells; returns the rmsd of one, mm."""
        settings = self.refinement.settings
        self.refinement.settings = settings.changed(**CELL_STAYS)
        try:
            self._index_all(0.0)
            self._refine()
        finally:
            self.refinement.settings = settings
        rows = self._used(number)
        if not len(rows):
            return float("inf")
        difference = (self.table["xyzcal.mm"] - self.table["xyzobs.mm.value"])[rows, :2]
        return float(np.sqrt(np.mean(np.sum(difference**2, axis=1))))

    def _keep_good(self) -> None:
        """Give crystals their mosaic model; forget those that are refuted by it.

        Raises
        ------
        IndexingError
            If none is left.
        """
        faults = []
        for number in reversed(range(len(self.crystals))):
            model = self._mosaic_model(number)
            fault = self._fault(number, model)
            if fault:
                faults.append(fault)
                self.context.log.info("Lattice %d is given up: %s", number + 1, fault)
                self._forget(number)
            else:
                self.crystals[number] = self._with_model(self.crystals[number], model)
        if not self.crystals:
            raise IndexingError(f"index: {faults[-1]}")

    def _fault(self, number: int, model: MosaicModel | None) -> str:
        """What refutes a lattice; "" when nothing does."""
        stills, rows = self.params.indexing.stills, self._used(number)
        difference = (self.table["xyzcal.px"] - self.table["xyzobs.px.value"])[rows, :2]
        rmsd = float(np.sqrt(np.mean(np.sum(difference**2, axis=1)))) if len(rows) else np.inf
        if rmsd > stills.rmsd_min_px:
            return (
                f"its predictions miss the spots by {rmsd:.2f} px, more than indexing.stills.rmsd_min_px={stills.rmsd_min_px:g}: "
                "give more where the geometry is not known better, or index without a model of mosaicity, indexing.stills.indexer=sequences"
            )
        if model is None or self.sweeps[0].beam.wavelength < ELECTRONS_BELOW_A:
            return ""  # of crystals that are small enough for electrons, points are large
        resolution = stills.ewald_proximity_resolution_cutoff
        volume = model.ewald_proximal_volume(self.sweeps[0].beam.wavelength, resolution)
        if volume > stills.ewald_proximal_volume_max:
            return (
                f"with its mosaicity of {np.degrees(model.mosaicity):.3f} degrees and blocks of {model.domain_size:.0f} A it would have points "
                f"near the Ewald sphere in {volume:.4f} 1/A^3 of reciprocal space to {resolution:g} A, more than "
                f"indexing.stills.ewald_proximal_volume_max={stills.ewald_proximal_volume_max:g}: any spot fits it"
            )
        return ""

    def _forget(self, number: int) -> None:
        """Drop a lattice; its spots have no index any more."""
        table, n = self.table.view(), len(self.sweeps)
        own, later = table["id"] // n == number, table["id"] // n > number
        own &= table["id"] >= 0
        table["id"] = np.where(own, -1, np.where(later, table["id"] - n, table["id"])).astype(np.int32)
        hkl, flags = np.array(table["miller_index"]), np.array(table["flags"])
        hkl[own] = 0
        flags[own] &= ~np.uint64(int(Flag.INDEXED | Flag.PREDICTED | Flag.USED_IN_REFINEMENT))
        table["miller_index"], table["flags"] = hkl, flags
        self.table = table
        self._drop(number)

    def _with_model(self, crystal: Crystal, model: MosaicModel | None) -> Crystal:
        stills = self.params.indexing.stills
        values = {} if model is None else model.written
        given = {
            "ML_half_mosaicity_deg": stills.set_mosaic_half_deg_value, "ML_domain_size_ang": stills.set_domain_size_ang_value,
        }  # fmt: skip
        values |= {name: float(value) for name, value in given.items() if value is not None}
        return replace(crystal, extra=crystal.extra | values)


def model_texts(crystals: list[Crystal]) -> Iterator[str]:
    """A line for each crystal with a mosaic model."""
    for number, crystal in enumerate(crystals):
        half, size = (crystal.extra.get(name) for name in ("ML_half_mosaicity_deg", "ML_domain_size_ang"))
        isoform = crystal.extra.get("identified_isoform")
        if half is not None and size is not None:
            yield (
                f"Crystal {number + 1}: half mosaicity {half:.4f} degrees, domain size {size:.0f} A"
                + (f", isoform {isoform}" if isoform else "")
            )
