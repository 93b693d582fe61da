"""The two passes over the images: learn profiles from strong spots, then measure everything."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.files import read_mask
from spindle.images import ImageSequence
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_masks.automatic import automatic_mask

from .expected import ExpectedIntensity, choose_sample
from .images import image_groups
from .measure import Measure, Work
from .noise import lifted
from .packed_masks import PackedMasks
from .stream import BYTES_PER_PIXEL, Plan, PrepareBlock, stream_blocks

PIXEL_MEMORY = 700_000_000
LEARNING_MEMORY = 150_000_000
MAX_SUBSETS = 32
SEPARATION_ROUNDS = 2
FULLY_RECORDED = 0.99
GEOMETRY = ("id", "panel", "s1", "xyzcal.px")

RESULT_COLUMNS = (
    "intensity.sum.value",
    "intensity.sum.variance",
    "background.sum.value",
    "background.sum.variance",
    "background.mean",
    "background.mse",
    "background.dispersion",
    "num_pixels.valid",
    "num_pixels.foreground",
    "num_pixels.background",
    "num_pixels.background_used",
    "xyzobs.px.value",
    "xyzobs.px.variance",
)
FIT_COLUMNS = ("intensity.prf.value", "intensity.prf.variance", "profile.correlation")


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

    def __init__(self, context, experiments: Experiments, table, profile, params, excluded) -> None:
        self.context, self.experiments, self.profile, self.params = context, experiments, profile, params
        self.excluded = excluded
        names = [n for n in RESULT_COLUMNS if n not in table]
        blank = ReflectionTable.with_rows(len(table), names)
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
        self.tables: list[Any] = []

    def run(self, brightness: np.ndarray) -> tuple[ReflectionTable, Any]:
        """Both passes. Returns the table and, if asked for, a table of kept shoeboxes."""
        groups = [self._prepare(group) for group in image_groups(self.experiments)]
        debug = self.params.integration.debug
        kept: list[ReflectionTable] = []
        expected = np.full(len(self.table), -1.0)
        if self.params.integration.profile.fitting:
            self.fitter = self.profile.make_fitter(experiments=self.experiments)
        if self.fitter is not None:
            self.context.log.info("Modelling reflection profiles")
            for name in FIT_COLUMNS:
                self.table[name] = np.zeros(len(self.table))
            expected = self._learn(groups, brightness, kept if debug.output and debug.during == "modelling" else None)
        self.context.log.info("Integrating reflections")
        keep = debug.output and debug.during == "integration"
        for group in groups:
            for subset in self._subsets(group):
                for measured in self._pass(group, subset, "integrating", self.fitter, expected, keep):
                    self._store(measured)
                    if keep:
                        kept.append(self._kept(measured))
            if self.fitter is not None and self.fitter.deconvolution:
                self._separate(group, expected)
        self._observed_mm()
        if not debug.output:
            return self.table, None
        return self.table, (None, ReflectionTable.concatenate(kept))

    # -- preparation ------------------------------------------------------------------------------------------------------

    def _mask_automatically(self, sequence: ImageSequence, masks: list[np.ndarray], number: int) -> list[np.ndarray]:
        """The masks without pixels that the images themselves show to be shadowed, dead or hot."""
        found = automatic_mask(sequence, masks, self.context.executor)
        if not found.n_images:
            return masks
        self.context.log.info(
            "Automatic mask of experiment %d, from %d images: %d pixels in shadow, %d dead, %d hot "
            "(integration.filter.automatic_mask=False leaves them in)",
            number, found.n_images, found.n_shadowed, found.n_dead, found.n_hot,
        )  # fmt: skip
        return [a & b for a, b in zip(masks, found.masks, strict=True)]

    def _prepare(self, members: list[int]) -> dict[str, Any]:
        """What a pass needs to know about one set of images."""
        experiment = self.experiments[members[0]]
        sequence = ImageSequence(experiment)
        masks = [sequence.mask(i) for i in range(len(experiment.detector))]
        lookup = self.params.integration.lookup.mask
        if lookup is not None:
            masks = [a & b for a, b in zip(masks, read_mask(str(lookup), experiment.detector), strict=True)]
        if self.params.integration.filter.automatic_mask:
            masks = self._mask_automatically(sequence, masks, members[0])
        rows = np.sort(np.concatenate([self.rows_of.get(i, np.zeros(0, np.int64)) for i in members]))
        bbox = self.table["bbox"][rows]
        size = np.array([p.image_size for p in experiment.detector])[self.table["panel"][rows].astype(np.int64)]
        inside = (
            (bbox[:, 0] < size[:, 0])
            & (bbox[:, 1] > 0)
            & (bbox[:, 2] < size[:, 1])
            & (bbox[:, 3] > 0)
            & (bbox[:, 1] > bbox[:, 0])
        )
        wanted = inside & ((self.table["flags"][rows] & np.uint64(int(Flag.DONT_INTEGRATE))) == 0)
        rows = rows[wanted]
        self._check_sizes(bbox[wanted], size[wanted], members[0])
        plan = Plan(self.table["bbox"], rows)
        excluded = set.union(*(self.excluded[i] for i in members))
        return {
            "members": members,
            "experiment": experiment,
            "sequence": sequence,
            "masks": PackedMasks(masks),
            "rows": rows,
            "plan": plan,
            "excluded": excluded,
            "first": experiment.scan.array_range[0],
            "measure": Measure(
                experiment.detector,
                sequence.corrections,
                self.background,
                self.centroid,
                float(self.params.integration.summation.detector_gain or 1.0),
                self.params.integration.profile.valid_foreground_threshold or 0.0,
            ),
        }

    def _check_sizes(self, box: np.ndarray, image_size: np.ndarray, index: int) -> None:
        """Refuse models whose spots are as large as the detector."""
        if not len(box):
            return
        width = np.median(np.maximum(box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]))
        limit = 0.5 * float(image_size.min())
        if width > limit and width > 60:
            numbers = self.profile.describe_model(model=self.experiments[index].profile).numbers
            model = ", ".join(f"{name} is {value:.3g}" for name, value in numbers.items())
            raise UserError(
                f"integrate: shoeboxes of experiment {index} are {width:.0f} pixels wide, half of the detector"
                f"{f' ({model})' if model else ''}. The predictions do not follow the spots; check the indexing and the refinement"
            )

    def _budget(self) -> float:
        """Bytes that pixels may take at once."""
        share = self.params.integration.block.max_memory_usage
        try:
            available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            available = 4 * PIXEL_MEMORY
        return min((0.9 if share is None else share) * available, PIXEL_MEMORY)

    def _subsets(self, group) -> list[np.ndarray]:
        """Rows to extract, cut into parts that fit into memory."""
        rows, peak, budget = group["rows"], group["plan"].peak_bytes(self.context.n_workers), max(self._budget(), 1.0)
        n = max(int(np.ceil(peak / budget)), self.params.integration.mp.multiprocessing.n_subset_split or 1)
        if n > MAX_SUBSETS:
            boxes = self.table["bbox"][rows]
            raise UserError(
                f"integrate: pixels of {peak / 1e9:.1f} GB would be needed at once, {budget / 1e9:.2f} GB are allowed; the median "
                f"spot covers {np.median(np.diff(boxes[:, :2])):.0f} x {np.median(np.diff(boxes[:, 2:4])):.0f} pixels on "
                f"{np.median(np.diff(boxes[:, 4:])):.0f} images. Such a model is hardly right: check the indexing, the rotation axis and "
                "sigma_m; or raise integration.block.max_memory_usage, or limit the resolution with prediction.d_min"
            )
        if n > 1:
            self.context.log.info(
                " %.2f GB of pixels would be alive at once: measuring the reflections in %d parts, reading the images for each",
                peak / 1e9,
                n,
            )
        parts = []
        for i in range(n):
            extract = np.zeros(len(self.table), bool)
            extract[rows[i::n]] = True
            parts.append(extract)
        return parts

    # -- passes -----------------------------------------------------------------------------------------------------------

    def _separate(self, group, expected: np.ndarray) -> None:
        """Measure overlapping spots again, each with what the fits of the others put under it as background."""
        rows, wanted = group["rows"], np.uint64(int(Flag.OVERLAPPED_FG | Flag.INTEGRATED_PRF))
        extract = np.zeros(len(self.table), bool)
        extract[rows] = (self.table["flags"][rows] & wanted) == wanted
        if not extract.any():
            return
        if len(self._subsets(group)) > 1:
            self.context.log.info(" Overlapping spots are not separated: their pixels do not fit into memory at once")
            return
        self.context.log.info(" Separating %d overlapping spots", np.count_nonzero(extract))
        for _ in range(SEPARATION_ROUNDS):
            intensity = np.zeros(len(self.table))
            intensity[rows] = np.maximum(self.table["intensity.prf.value"][rows], 0.0)
            for measured in self._pass(group, extract, "separating", self.fitter, expected, False, intensity):
                self._store(measured)

    def _pass(self, group, extract, description, fitter, expected, keep, intensity=None):
        """Stream the images once; yield what was measured, block by block."""
        sequence = group["sequence"]
        executor = self.context.executor

        with self.context.progress(description, sequence.n_images) as progress:
            blocks = stream_blocks(
                group["plan"],
                PrepareBlock(self.profile, self.experiments, self.fitter),
                extract,
                self.geometry,
                sequence,
                group["first"],
                group["masks"].unpacked(),
                group["excluded"],
                executor,
                progress.advance,
                self.params.integration.mask_neighbours,
                intensity,
            )
            yield from executor.map(replace(group["measure"], fitter=fitter, keep=keep), self._work(blocks, expected))

    def _work(self, blocks, expected):
        """Blocks with what is known of their spots."""
        for block in blocks:
            yield Work(block, self.table.select(block.rows), None if expected is None else expected[block.rows])

    def _store(self, measured) -> None:
        rows = measured.rows
        for name, values in measured.columns.items():
            self.table[name][rows] = values
        self.table["flags"][rows] |= measured.flags

    def _kept(self, measured) -> ReflectionTable:
        part = ReflectionTable({"partial_id": self.table["partial_id"][measured.rows]})
        part["shoebox"] = measured.shoeboxes
        return part

    def _learn(self, groups, brightness: np.ndarray, debug: list | None) -> np.ndarray:
        """First pass. Returns the expected intensity of every row."""
        table = self.table
        full = table["partiality"] > FULLY_RECORDED
        strong = (brightness > 0) & full & ~table.has_flags(Flag.DONT_INTEGRATE)
        candidates = np.flatnonzero(strong)
        if len(candidates):
            part = table.select(candidates)
            part["intensity.sum.value"] = brightness[candidates]
            candidates = candidates[self.fitter.choose(part)]
        candidates = self._affordable(candidates, LEARNING_MEMORY)
        teach = np.zeros(len(table), bool)
        teach[candidates] = True
        sampled = np.zeros(len(table), bool)
        used = np.zeros(len(table), bool)
        ids, x, intensity = [], [], []
        for group in groups:
            rows = group["rows"]
            sampled[self._affordable(choose_sample(rows[full[rows]]), LEARNING_MEMORY)] = True
            extract = np.zeros(len(table), bool)
            extract[rows] = teach[rows] | sampled[rows]
            for measured in self._pass(group, extract, "modelling", None, None, True):
                summed = (measured.flags & np.uint64(int(Flag.INTEGRATED_SUM))) != 0
                summed &= (measured.flags & np.uint64(int(Flag.OVERLOADED))) == 0
                of_sample = summed & sampled[measured.rows]
                chosen = measured.rows[of_sample]
                ids.append(table["id"][chosen])
                x.append(1.0 / table["d"][chosen] ** 2)
                intensity.append(measured.columns["intensity.sum.value"][of_sample])
                good = summed & teach[measured.rows] & (measured.columns["intensity.sum.value"] > 0)
                if debug is not None:
                    debug.append(self._kept(measured))
                if good.any():
                    taught = measured.rows[good]
                    boxes = lifted(measured.shoeboxes.select(good), measured.noise[good])
                    used[taught] = self.fitter.learn(table.select(taught), boxes)
        self.fitter.finish(self.context.executor.map)
        self.experiments = Experiments(
            replace(experiment, profile=model)
            for experiment, model in zip(self.experiments, self.fitter.models(), strict=True)
        )
        table["flags"][used] |= np.uint64(int(Flag.USED_IN_MODELLING))
        self.context.log.info(" %d spots used for reference profiles", np.count_nonzero(used))
        self.tables += self.fitter.tables()
        curve = ExpectedIntensity(*(np.concatenate(v) if v else np.zeros(0) for v in (ids, x, intensity)))
        return curve(table["id"], 1.0 / table["d"] ** 2)

    def _affordable(self, rows: np.ndarray, limit: float) -> np.ndarray:
        """As many of the rows, evenly taken, as have pixels for ``limit`` bytes."""
        if not len(rows):
            return rows
        edges = np.diff(self.table["bbox"][rows].astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0]
        total = float(np.prod(edges, axis=1).sum()) * BYTES_PER_PIXEL
        return rows[:: max(1, int(np.ceil(total / limit)))]

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
            value[rows, 2] = e.scan.angle_from_array_index(px[:, 2])
            variance[rows, :2] = spread[:, :2] * e.detector.geometry.pixel_size[panel] ** 2
            variance[rows, 2] = spread[:, 2] * e.scan.oscillation[1] ** 2
        table["xyzobs.mm.value"], table["xyzobs.mm.variance"] = value, variance
