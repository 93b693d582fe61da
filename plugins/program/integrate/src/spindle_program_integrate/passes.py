"""The passes over the images: learn profiles from strong spots, then measure everything; what overlaps is fitted together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.execution import Common, RunContext
from spindle.models import Experiments
from spindle.report import DETAIL, Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_masks.free_pixels import widened

from .assembly import Assembly
from .background_lessons import TAILS
from .blocks import BYTES_PER_PIXEL
from .expected import ExpectedIntensity, choose_sample, of_heights
from .groups import ImageGroup, prepare_group
from .images import image_groups
from .joint import Equations, solve
from .lessons import Lessons
from .lost_images import Levels, LostImages, lost_table, without_lost
from .measure import FIT_COLUMNS, RESULT_COLUMNS, Measured, may_teach
from .overlaps import Overlaps, find_overlaps
from .shares import ShareOf
from .slabs import GEOMETRY, Wanted
from .stream import MeasureSlab
from .validation import Validation

PIXEL_MEMORY = 700_000_000
PIECES_MEMORY = 64_000_000
TASKS_AT_ONCE = 4  # share of the memory of pixels that one task may take: a quarter, also where there are fewer workers
LEARNING_MEMORY = 150_000_000
MAX_PARTS = 32
ROWS = 2**16
FULLY_RECORDED = 0.99


class Integrator:
    """Measures all predictions.

    Parameters
    ----------
    context : RunContext
    experiments : Experiments
        With profile models.
    table : ReflectionTable
        Predictions with bbox, zeta, d, partiality.
    profile : Handle
        The profile plugin.
    params : IntegrateParams
    excluded : list of set of int
        Array indices that each experiment leaves out.
    """

    def __init__(
        self,
        context: RunContext,
        experiments: Experiments,
        table: ReflectionTable,
        profile: Any,
        params: Any,
        excluded: list[set[int]],
    ) -> None:
        self.context, self.experiments, self.profile, self.params = context, experiments, profile, params
        self.excluded = excluded
        names = [n for n in RESULT_COLUMNS if n not in table]
        blank = ReflectionTable.with_rows(len(table), names)
        # what tasks get of their spots
        self.predicted = table
        table = table.view()
        for name in names:
            table[name] = blank[name]
        table["flags"] = table["flags"].copy()
        self.table = table
        self.rows_of = table.rows_by_experiment()
        self.geometry = ReflectionTable({n: table[n] for n in GEOMETRY})
        self.background = context.chosen(params.integration.background)
        self.centroid = context.chosen(params.integration.centroid)
        self.fitter: Any = None
        self.tables: list[Table] = []
        self.levels: dict[int, Levels] = {}
        self.lost: list[LostImages] = []
        self._shared: list[Common] = []

    def run(self, brightness: np.ndarray) -> tuple[ReflectionTable, ReflectionTable | None]:
        """All passes. Returns the table and, if asked for, a table of kept shoeboxes."""
        wide = Common(widened(self.experiments, TAILS))
        groups = [self._group(members, wide) for members in image_groups(self.experiments)]
        del wide
        self.tables += [table for group in groups for table in group.tables]
        debug = self.params.integration.debug
        kept: list[ReflectionTable] = []
        n = len(self.table)
        expected = np.full(n, -1.0)
        if self.params.integration.profile.fitting:
            self.fitter = self.profile.make_fitter(experiments=self.experiments)
        if self.fitter is not None:
            self.context.log.info("Modelling reflection profiles", extra=DETAIL)
            for name in FIT_COLUMNS:
                self.table[name] = np.zeros(n)
            n_tables, keep = len(self.tables), debug.output and debug.during == "modelling"
            expected = self._learn(groups, brightness, kept if keep else None)
        groups, found = without_lost(groups, self.levels, self.params.integration.filter, self.context)
        self.lost += found
        if self.fitter is not None and any(one.left_out for one in found):
            # learn again from spots of images that are whole
            del self.tables[n_tables:], kept[:]
            self.table["flags"] &= ~np.uint64(int(Flag.USED_IN_MODELLING))
            self.fitter = self.profile.make_fitter(experiments=self.experiments)
            expected = self._learn(groups, brightness, kept if keep else None)
        self.tables += lost_table(found)
        self.context.log.info("Integrating reflections", extra=DETAIL)
        keep = debug.output and debug.during == "integration"
        # one for all groups: each looks at its own rows
        together = self.fitter is not None and self.fitter.deconvolution
        measure, kept_rows = self._of(*(group.rows for group in groups)), np.full(n, keep)
        n_hit = n_together = 0
        for group in groups:
            wanted = Wanted(measure, kept_rows, expected, self._overlaps(group.rows) if together else None)
            equations: list[Equations] = []
            n_parts = self._n_parts(group)
            if n_parts > 1:
                self.context.log.info(
                    " The pixels of a task would take too much memory at once: measuring the reflections in %d parts, "
                    "reading the images for each",
                    n_parts,
                )
            for measured in self._pass(group, wanted, "integrating", n_parts, verify=self.fitter is None):
                self._store(measured)
                n_hit += measured.n_hit
                if measured.equations is not None:
                    equations.append(measured.equations)
                if keep:
                    kept.append(self._kept(measured))
            n_together += solve(equations, self.table, expected, group.measure.gain, self.context.executor.here.map)
        if n_hit:
            self.context.log.info(
                " %d spots have single pixels far above their profile, hits of stray particles: fitted without them, not summed "
                "(integration.filter.zingers)",
                n_hit,
            )
        if n_together:
            self.context.log.info(" %d spots that share pixels with others were fitted together with them", n_together)
        gain = max((group.measure.gain for group in groups), default=1.0)
        if self.fitter is not None and self.fitter.counts_expected and gain == 1.0:
            self.table["expected_counts"] = np.where(expected > 0.0, expected, -1.0)
        self._whole_intensities()
        self._observed_mm()
        return self.table, ReflectionTable.concatenate(kept) if debug.output else None

    def forget(self) -> None:
        """Hold on to no column any more; models, fitter and report tables stay."""
        self.table = self.predicted = self.geometry = ReflectionTable()
        self.rows_of = {}
        self._shared = []

    def _common(self, value: Any) -> Common:
        """What the tasks of all groups hold, which travels once; the last two are kept."""
        found = next((one for one in self._shared if one.value is value), None)
        if found is None:
            found = Common(value)
            self._shared = [*self._shared[-1:], found]
        return found

    def _of(self, *rows: np.ndarray) -> np.ndarray:
        """(n,) bool: some rows of the table."""
        chosen = np.zeros(len(self.table), np.bool_)
        for some in rows:
            chosen[some] = True
        return chosen

    # -- preparation ------------------------------------------------------------------------------------------------------

    def _group(self, members: list[int], wide: Common) -> ImageGroup:
        none = np.zeros(0, np.int64)
        rows = np.sort(np.concatenate([self.rows_of.get(i, none) for i in members]))
        excluded = frozenset().union(*(self.excluded[i] for i in members))
        return prepare_group(
            self.context, self.experiments, wide, members, self.table, rows, self.profile, self.params, excluded,
            self.background, self.centroid,
        )  # fmt: skip

    def _budget(self) -> float:
        """Bytes that the pixels of a task may take at once."""
        share = self.params.integration.block.max_memory_usage
        try:
            available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            available = 4 * PIXEL_MEMORY
        of_worker = (0.9 if share is None else share) * available / max(self.context.n_workers, 1)
        return float(max(min(of_worker, PIXEL_MEMORY / TASKS_AT_ONCE), 1.0))

    def _n_parts(self, group: ImageGroup) -> int:
        """Into how many parts the spots of each slab are cut, so that their pixels fit into memory."""
        peak, budget = group.slabs.peak_bytes(), self._budget()
        n = max(int(np.ceil(peak / budget)), self.params.integration.mp.multiprocessing.n_subset_split or 1)
        if n > MAX_PARTS:
            boxes = self.table["bbox"][group.rows]
            raise UserError(
                f"integrate: pixels of {peak / 1e9:.1f} GB would be needed at once by a task, {budget / 1e9:.2f} GB are allowed; the median "
                f"spot covers {np.median(np.diff(boxes[:, :2])):.0f} x {np.median(np.diff(boxes[:, 2:4])):.0f} pixels on "
                f"{np.median(np.diff(boxes[:, 4:])):.0f} images. Such a model is hardly right: check the indexing, the rotation axis and "
                "sigma_m; or raise integration.block.max_memory_usage, or limit the resolution with prediction.d_min"
            )
        return n

    # -- passes -----------------------------------------------------------------------------------------------------------

    def _overlaps(self, rows: np.ndarray) -> Overlaps:
        """Which of some rows may share pixels."""
        border = self.params.integration.profile.sigma_b_multiplier or 2.0
        return find_overlaps(self.table["bbox"], self.table["panel"].astype(np.int64), rows, border)

    def _pass(
        self,
        group: ImageGroup,
        wanted: Wanted,
        description: str,
        n_parts: int = 1,
        fit: bool = True,
        only_good: bool = False,
        verify: bool = False,
        levels: bool = False,
    ) -> Iterator[Measured]:
        """Read the images once, slab by slab; yield what was measured, always in the same order."""
        fit = fit and self.fitter is not None
        measure = replace(
            group.measure, fitter=self._common(self.fitter) if fit else None, fit=fit, only_good=only_good
        )
        task = MeasureSlab(
            self.profile, self._common(self.experiments), group.unverified, group.first, group.masks, group.excluded, measure,
            self.params.integration.mask_neighbours, group.sequence if verify else None, levels,
            group.shadow,
        )  # fmt: skip
        executor = self.context.executor
        assembly = Assembly(self.predicted, wanted)
        slabs = group.slabs.tasks(self.predicted, self.geometry, wanted, n_parts)
        with self.context.progress(description, group.sequence.n_images) as progress:
            done = group.first
            for found in executor.map(task, slabs):
                self.levels.setdefault(group.members[0], {}).update(found.levels)
                yield from found.measured
                if found.pieces is not None:
                    assembly.add(found.pieces)
                # all parts of earlier slabs have come
                end = found.core[1] if found.is_last_part else found.core[0]
                if assembly.bytes > PIECES_MEMORY:
                    yield from executor.map(measure, assembly.complete(end))
                progress.advance(max(end - done, 0))
                done = max(end, done)
            yield from executor.map(measure, assembly.complete(np.iinfo(np.int32).max))

    def _store(self, measured: Measured) -> None:
        rows = measured.rows
        for name, values in measured.columns.items():
            self.table[name][rows] = values
        self.table["flags"][rows] |= measured.flags

    def _kept(self, measured: Measured) -> ReflectionTable:
        part = ReflectionTable({"partial_id": self.table["partial_id"][measured.rows[measured.kept]]})
        part["shoebox"] = measured.shoeboxes
        return part

    def _learn(
        self, groups: list[ImageGroup], brightness: np.ndarray, debug: list[ReflectionTable] | None
    ) -> np.ndarray:
        """First pass. Returns the expected intensity of every row."""
        table = self.table
        still = np.array([e.is_still for e in self.experiments])[table["id"]]
        # a still shows no part of a spot, but all that there is, however low its rocking curve
        full = (table["partiality"] > FULLY_RECORDED) | still
        strong = (brightness > 0) & full & ~table.has_flags(Flag.DONT_INTEGRATE)
        candidates = np.flatnonzero(strong)
        if len(candidates):
            part = table.select(candidates)
            part["intensity.sum.value"] = brightness[candidates]
            candidates = candidates[self.fitter.choose(part)]
        teach = self._of(self._affordable(candidates, LEARNING_MEMORY))
        used = np.zeros(len(table), np.bool_)
        unknown = np.full(len(table), -1.0)
        ids, x, intensity = [], [], []
        samples = (choose_sample(group.rows[full[group.rows]]) for group in groups)
        sampled = self._of(*(self._affordable(rows, LEARNING_MEMORY) for rows in samples))
        kept = teach if debug is None else np.ones(len(table), np.bool_)
        wanted = Wanted(sampled | teach, kept, unknown)
        asked = self.params.integration.profile.validation
        n_parts = asked.number_of_partitions or 1
        witness = Validation(n_parts, asked.min_partition_size or 1) if n_parts > 1 else None
        for group in groups:
            lessons = Lessons(self.predicted, group.rows)
            for measured in self._pass(
                group, wanted, "modelling", fit=False, only_good=debug is None, verify=True, levels=True
            ):
                good = may_teach(measured.flags)
                of_sample = good & sampled[measured.rows]
                chosen = measured.rows[of_sample]
                ids.append(table["id"][chosen])
                x.append(1.0 / table["d"][chosen] ** 2)
                intensity.append(measured.columns["intensity.sum.value"][of_sample])
                if debug is not None:
                    debug.append(self._kept(measured))
                good &= teach[measured.rows] & (measured.columns["intensity.sum.value"] > 0)
                lessons.add(measured, np.flatnonzero(good[measured.kept]))
            used[lessons.teach(self.fitter, witness)] = True
        self._validate(witness)
        self.fitter.finish(self.context.executor.map)
        self.experiments = Experiments(
            replace(experiment, profile=model)
            for experiment, model in zip(self.experiments, self.fitter.models(), strict=True)
        )
        table["flags"][used] |= np.uint64(int(Flag.USED_IN_MODELLING))
        self.context.log.info(" %d spots used for reference profiles", np.count_nonzero(used))
        self.tables += self.fitter.tables()
        curve = ExpectedIntensity(*(np.concatenate(v) if v else np.zeros(0) for v in (ids, x, intensity)))
        expected = curve(table["id"], 1.0 / table["d"] ** 2)
        return of_heights(expected, table["id"], table["partiality"], still)

    def _validate(self, witness: Validation | None) -> None:
        """Fit each part of the strong spots with what the others teach."""
        if witness is None:
            return
        found = witness.table(self.profile, self.experiments, self.context.executor.map)
        if found is not None:
            self.tables.append(found)
            return
        self.context.log.warning(
            "Profiles are not validated: there are fewer than %d spots for each of %d parts (integration.profile.validation.min_partition_size)",
            witness.smallest, witness.n_parts,
        )  # fmt: skip

    def _affordable(self, rows: np.ndarray, limit: float) -> np.ndarray:
        """As many of the rows, evenly taken, as have pixels for ``limit`` bytes."""
        if not len(rows):
            return rows
        edges = np.diff(self.table["bbox"][rows].astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0]
        total = float(np.prod(edges, axis=1).sum()) * BYTES_PER_PIXEL
        return rows[:: max(1, int(np.ceil(total / limit)))]

    def _whole_intensities(self) -> None:
        """Raise sums and fits by what the detector spreads beyond foregrounds and profiles."""
        if self.fitter is None:
            return
        rows = np.flatnonzero(self.table.has_flags(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF, all=False))
        blocks = np.split(rows, range(ROWS, len(rows), ROWS))
        shares = self.context.executor.here.map(ShareOf(self.fitter, self.predicted), blocks)
        share = np.concatenate(list(shares)) if len(rows) else np.ones(0)
        if not len(rows) or share.min() == 1.0:
            return
        for kind in ("sum", "prf"):
            self.table[f"intensity.{kind}.value"][rows] /= share
            variance = self.table[f"intensity.{kind}.variance"]
            variance[rows] = np.where(variance[rows] > 0, variance[rows] / share**2, variance[rows])
        if "expected_counts" in self.table:
            self.table["expected_counts"][rows] /= share
        self.context.log.info(
            " %.1f %% of the photons of a spot (%.1f to %.1f %%) are beyond its foreground, as strong spots show: summed and "
            "profile-fitted intensities are raised by that (profile.gaussian_rs.fitting.tails=False leaves them)",
            100 * (1 - np.median(share)), 100 * (1 - share.max()), 100 * (1 - share.min()),
        )  # fmt: skip

    def _observed_mm(self) -> None:
        """Observed positions in mm and radians."""
        table = self.table
        n = len(table)
        value, variance = np.zeros((n, 3)), np.zeros((n, 3))
        for i, rows in table.rows_by_experiment().items():
            e = self.experiments[i]
            panel = table["panel"][rows].astype(np.int64)
            px, spread = table["xyzobs.px.value"][rows], table["xyzobs.px.variance"][rows]
            value[rows, :2] = e.detector.pixel_to_mm(panel, px[:, :2])
            if not e.is_still:
                value[rows, 2] = e.known_scan.angle_from_array_index(px[:, 2])
            variance[rows, :2] = spread[:, :2] * e.detector.geometry.pixel_size[panel] ** 2
            variance[rows, 2] = 0.0 if e.is_still else spread[:, 2] * e.known_scan.oscillation[1] ** 2
        table["xyzobs.mm.value"], table["xyzobs.mm.variance"] = value, variance
