"""The course of the search of one detector."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from spindle.contracts.beam_position import BeamPositionError, DetectorShift, ScoreMap
from spindle.contracts.indexing import IndexingError
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_spots.max_cell import estimate_max_cell
from spindle_lib_spots.params import MaxCellParams

from .criteria import (
    ABOVE_CHANCE,
    CONVINCING,
    HIGHEST_ASKED,
    LEAST_QUALITY,
    LEAST_SPREAD,
    LONGER,
    MAX_RIVALS,
    MAX_STILLS,
    MAYBE,
    MIN_SPOTS,
    N_WEDGES,
    ON_LATTICE,
    RIVAL,
    RIVAL_MISFIT,
    SCREEN_SPOTS,
    VECTOR_SPOTS,
    WEAKEST_FIT,
    WEDGE_DEG,
    WEDGE_SPOTS,
)
from .crystals import LatticeSpots, independent
from .search import Place, fit, polish, search_axes, uncertainty, wide_search

logger = logging.getLogger(__name__)


class ShiftFinder:
    """Finds the shift of one detector.

    Parameters
    ----------
    sweeps, spots, executor, rng
        See `spindle.contracts.beam_position.BeamPositionSpec.find_detector_shift`.
    params : Params
        Those of the plugin.
    vectors_of : callable (points, max_cell) -> (m, 3) float64
        Finds vectors of the lattice of some reciprocal lattice points.
    """

    def __init__(
        self,
        sweeps: Experiments,
        spots: ReflectionTable,
        params: Any,
        vectors_of: Callable[[np.ndarray, float], np.ndarray],
        executor: Any,
        rng: np.random.Generator,
    ) -> None:
        self.sweeps, self.params, self.executor = sweeps, params, executor
        self.find_vectors = vectors_of
        self.notes: list[str] = []
        self.max_cell = self._max_cell(spots)
        self.spots = self._chosen(spots, rng)
        self.axes = search_axes(sweeps[0].beam.s0)
        self.bases, self.phi = self._bases()
        self.step = float(sweeps[0].detector[0].pixel_size[0]) * params.wide_search_binning
        self.score_map: ScoreMap | None = None
        self.beyond: Place | None = None

    def run(self) -> DetectorShift:
        """Search, and judge what is found; once more with longer cell edges if nothing is found with those estimated."""
        try:
            return self._attempt()
        except BeamPositionError:
            if self.params.max_cell is not None:
                raise
            estimate = self.max_cell
            self.max_cell *= LONGER
            logger.info("Nothing is found with the estimated longest cell edge: trying %.1f Angstrom", self.max_cell)
            try:
                return self._attempt()
            except BeamPositionError:
                self.max_cell = estimate
            raise

    def _attempt(self) -> DetectorShift:
        n = sum(len(b) for b in self.bases)
        zero = np.zeros(2)
        here = self._lattices(self.bases, zero)
        before = fit(here, self.axes, zero, rounds=0) if here else None
        places = self._within(self._search(here)) if here else []
        if not places or places[0].quality < CONVINCING:
            places = self._within(self._far(places))
        places.sort(key=self._worth, reverse=True)
        covered = sum(len(lattice) for lattice in places[0].lattices) if places else n
        least = max(LEAST_QUALITY, min(ABOVE_CHANCE / np.sqrt(covered), HIGHEST_ASKED))
        if not places or places[0].quality < least:
            raise BeamPositionError(self._failure(n, places[0].quality if places else None, least))
        close = [p for p in places if self._worth(p) >= (1 - MAYBE) * self._worth(places[0])][:MAX_RIVALS]
        close = sorted(self._within([self._again(p) for p in close]), key=self._worth, reverse=True)
        if not close:
            raise BeamPositionError(self._failure(n, None, least))
        best = self._worth(close[0])
        worst = 1 - (1 - best) * (RIVAL_MISFIT + 8 / np.sqrt(n))
        rivals = [p for p in close if self._worth(p) >= max(worst, (1 - RIVAL) * best)]
        place = min(rivals, key=lambda p: float(np.linalg.norm(p.xy)))
        rivals = [p for p in rivals if np.linalg.norm(p.xy - place.xy) > self.step]
        n_vectors = sum(len(lattice.vectors) for lattice in place.lattices)
        self.notes.append(f"{n_vectors} lattice vectors of {len(place.lattices)} sweeps or stills, {n} spots")
        if before is not None and self._worth(before) > self._worth(place):
            raise BeamPositionError(
                f"default: the best place found fits the spots worse ({place.quality:.3f}) than where the beam is now "
                f"({before.quality:.3f}); nothing is changed. The beam position is not what is wrong"
            )
        return DetectorShift(
            shift=place.xy @ self.axes,
            uncertainty=uncertainty(place, self.axes),
            quality=place.quality,
            quality_before=0.0 if before is None else max(before.quality, 0.0),
            on_lattice=self._on_lattice(place),
            on_lattice_before=0.0 if before is None else self._on_lattice(before),
            n_spots=n,
            rivals=np.array([p.xy @ self.axes for p in rivals]).reshape(-1, 3),
            score_map=self.score_map,
            notes=tuple(self.notes),
        )

    # -- spots

    def _max_cell(self, spots: ReflectionTable) -> float:
        if self.params.max_cell is not None:
            return float(self.params.max_cell)
        found = []
        for number in range(len(self.sweeps)):
            own = spots.select(spots["imageset_id"] == number)
            try:
                found.append(estimate_max_cell(own, MaxCellParams()))
            except IndexingError:
                continue
        if not found:
            raise BeamPositionError(
                f"default: {len(spots)} spots on {len(self.sweeps)} sweeps or stills are too few to estimate the longest "
                "cell edge; give max_cell=, or find more spots"
            )
        value = float(np.median(found))
        self.notes.append(f"Longest cell edge from distances between spots, with a margin: {value:.1f} Angstrom")
        return value

    def _chosen(self, spots: ReflectionTable, rng: np.random.Generator) -> ReflectionTable:
        limit, d_min = self.params.max_reflections, self.params.d_min
        if d_min:
            spots = spots.select(np.linalg.norm(spots["rlp"], axis=1) <= 1 / d_min)
        n = len(spots)
        if limit is not None and n > limit:
            spots = spots.select(np.sort(rng.permutation(n)[:limit]))
            self.notes.append(f"{limit} of {n} spots are used, chosen at random (max_reflections={limit})")
        return spots

    def _bases(self) -> tuple[list[LatticeSpots], list[np.ndarray]]:
        """Spots of each sweep, without vectors, in the order of their angles, and these angles (radians)."""
        count = np.bincount(self.spots["imageset_id"], minlength=len(self.sweeps))
        numbers = [int(i) for i in np.argsort(-count, kind="stable") if count[i] >= MIN_SPOTS]
        stills = [i for i in numbers if self.sweeps[i].is_still]
        left_out = len(self.sweeps) - len(numbers)
        if not numbers:
            raise BeamPositionError(
                f"default: no sweep or still has {MIN_SPOTS} spots or more (the best has {count.max(initial=0)}); the beam "
                "position cannot be told from so few. Find more spots, or use an image-based method: method=midpoint"
            )
        if left_out:
            self.notes.append(f"{left_out} sweeps or stills with fewer than {MIN_SPOTS} spots are left out")
        if len(stills) > MAX_STILLS:
            self.notes.append(f"The {MAX_STILLS} stills with most spots are used, of {len(stills)}")
            numbers = [i for i in numbers if i not in set(stills[MAX_STILLS:])]
        bases, angles = [], []
        for i in sorted(numbers):
            own = self.spots.select(self.spots["imageset_id"] == i)
            phi = own["xyzobs.mm.value"][:, 2]
            own = own.select(np.argsort(phi, kind="stable"))
            bases.append(LatticeSpots.of(self.sweeps[i], own, np.empty((0, 3))))
            angles.append(np.zeros(len(own)) if self.sweeps[i].is_still else np.sort(phi))
        return bases, angles

    def _lattices(self, bases: list[LatticeSpots], xy: np.ndarray) -> list[LatticeSpots]:
        """The spots with vectors found at a place; those without three vectors are left out."""
        shift = xy @ self.axes
        found = []
        for base in bases:
            points = _some(base.points(shift))
            vectors = self.find_vectors(points, self.max_cell)
            # The outline of the cloud of points has Fourier coefficients too, where it is few periods wide.
            vectors = vectors[np.std(points @ vectors.T, axis=0) >= LEAST_SPREAD]
            if len(vectors) >= 3:
                found.append(base.with_vectors(vectors))
        return found

    # -- places

    def _search(self, lattices: list[LatticeSpots], adapt: bool = False) -> list[Place]:
        """Places in the scope of the search, best first; `adapt` for parts of a rotation."""
        step = self.step
        thin = _thinned(lattices, SCREEN_SPOTS)
        self.score_map, starts = wide_search(thin, self.axes, self.params.mm_search_scope, step, self.executor, adapt)

        def at(some: list[LatticeSpots], xy: np.ndarray) -> list[LatticeSpots]:
            return [lattice.adapted(xy @ self.axes) for lattice in some] if adapt else some

        rough = sorted((polish(at(thin, xy), self.axes, xy) for xy in starts), key=lambda p: -p.quality)
        scope = 1.05 * self.params.mm_search_scope + step
        kept: list[Place] = []
        for place in rough:
            near = any(np.linalg.norm(place.xy - k.xy) < 0.5 * step for k in kept)
            if not near and np.abs(place.xy).max() <= scope and place.quality >= (1 - 2 * RIVAL) * rough[0].quality:
                kept.append(place)
        return sorted((fit(at(lattices, p.xy), self.axes, p.xy) for p in kept), key=lambda p: -p.quality)

    def _within(self, places: list[Place]) -> list[Place]:
        """The places in the scope of the search; the best of the others is kept for what is said if nothing is found."""
        inside = []
        for place in places:
            if np.abs(place.xy).max() <= self.params.mm_search_scope:
                inside.append(place)
            elif self.beyond is None or place.quality > self.beyond.quality:
                self.beyond = place
        return inside

    def _far(self, places: list[Place]) -> list[Place]:
        """Search with narrow parts of the rotation, in which a far shift does not blur the lattice.

        A shift of the detector moves all spots of one orientation alike, so that vectors can be found; the orientations
        together say which of the equivalent places is right.
        """
        parts = []
        for base, phi in zip(self.bases, self.phi, strict=True):
            width, span = np.radians(WEDGE_DEG), float(np.ptp(phi))
            if span <= 1.5 * width:
                parts.append(base)
                continue
            for start in np.linspace(phi[0], phi[-1] - width, min(N_WEDGES, int(span / width) + 1)):
                inside = (phi >= start) & (phi < start + width)
                if np.count_nonzero(inside) >= WEDGE_SPOTS:
                    parts.append(base.rows(inside))
        lattices = self._lattices(parts, np.zeros(2))
        if not lattices:
            return places
        logger.info(
            "The lattice is not clear: searching with %d narrow parts of the rotation, or stills", len(lattices)
        )
        found = list(places)
        for place in self._search(lattices, adapt=True)[:4]:
            whole = self._lattices(self.bases, place.xy)
            if whole:
                found.append(fit(whole, self.axes, place.xy))
        return sorted(found, key=lambda p: -p.quality)

    def _again(self, place: Place) -> Place:
        """Find the vectors anew at a place, and the place with those of them that the spots bear out."""
        for _ in range(self.params.n_macro_cycles):
            lattices = self._lattices(self.bases, place.xy)
            if not lattices:
                break
            found = fit(lattices, self.axes, place.xy)
            found = fit([_pruned(lattice, found.xy @ self.axes) for lattice in found.lattices], self.axes, found.xy)
            place = max(found, place, key=self._worth)
        return place

    def _worth(self, place: Place) -> float:
        """The fit of a place, spots of sweeps and stills without vectors counting as if by chance."""
        return place.quality * sum(len(lattice) for lattice in place.lattices) / sum(len(b) for b in self.bases)

    def _on_lattice(self, place: Place) -> float:
        shift = place.xy @ self.axes
        parts = [lattice.on_lattice(shift, ON_LATTICE) * len(lattice) for lattice in place.lattices]
        return float(sum(parts) / sum(len(b) for b in self.bases))

    def _failure(self, n: int, quality: float | None, least: float) -> str:
        scope = self.params.mm_search_scope
        if self.beyond is not None and self.beyond.quality >= max(least, quality or 0.0):
            far = float(np.abs(self.beyond.xy).max())
            return (
                f"default: the place that fits the {n} spots best is {far:.3f} mm away (fit {self.beyond.quality:.2f} of 1), "
                f"beyond mm_search_scope={scope:g}. Give mm_search_scope={1.1 * far:.3f} if the beam position may be that wrong"
            )
        head = (
            f"default: no three lattice vectors of the {n} spots fit at any place within {scope:g} mm"
            if quality is None
            else f"default: at no place within {scope:g} mm do the {n} spots make a lattice (best fit {quality:.2f}, at "
            f"least {least:.2f} of 1 is asked for)"
        )
        return (
            f"{head}. Give more spots (image_range= covers all images by default), mm_search_scope= "
            f"beyond {scope:g}, or max_cell= if {self.max_cell:.0f} Angstrom is absurd. If that does not help, the rotation "
            "axis or its direction may be wrong, there may be several crystals; method=midpoint looks at the images instead"
        )


def _pruned(lattice: LatticeSpots, shift: np.ndarray) -> LatticeSpots:
    """The spots without vectors that fit them far worse than others do, as long as vectors in all directions are left."""
    fits = lattice.sums(shift[None])[:, 0].real
    good = lattice.vectors[fits >= WEAKEST_FIT * fits.max()]
    return lattice.with_vectors(good) if len(good) >= 3 and len(independent(good)) == 3 else lattice


def _some(points: np.ndarray) -> np.ndarray:
    """Every so many points, about `VECTOR_SPOTS` of them."""
    return points[:: max(1, len(points) // VECTOR_SPOTS)]


def _thinned(lattices: list[LatticeSpots], limit: int) -> list[LatticeSpots]:
    """Every so many spots, so that together there are about `limit`."""
    step = max(1, sum(len(lattice) for lattice in lattices) // limit)
    return [lattice.rows(np.arange(0, len(lattice), step)) for lattice in lattices]


__all__ = ["ShiftFinder"]
