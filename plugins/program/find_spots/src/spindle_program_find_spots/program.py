"""The program `spindle find_spots`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.images import to_come
from spindle.params import Auto
from spindle.report import DETAIL, Table
from spindle.table import ReflectionTable
from spindle_lib_importing.params import tolerances_of
from spindle_lib_spots.blanks_and_ice import blanks_and_ice

from .noise import estimate_gains, has_noise, measure_noise
from .params import FindSpotsParams

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiments

    from .search import Item, Job, StrongPixels
    from .spots import SpotMaker
    from .watching import Watch

__all__ = ["FindSpots"]


class FindSpots(Program):
    """Find the spots of a sequence of images.

    Pixels that stand out from their surroundings are gathered to spots that may extend over neighbouring images; each
    spot gets a centroid, an intensity and the shoebox of its pixels.

        spindle find_spots imported.expt
        spindle find_spots imported.expt spotfinder.filter.d_min=2 threshold.algorithm=dispersion
    """

    class Params(FindSpotsParams):
        """Find the spots of a sequence of images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Search all images; see `spindle.contracts.program.ProgramSpec`."""
        _check_params(params)
        experiments = inputs.experiments
        if inputs.files:
            if experiments:
                raise ParameterError("give either images or an experiment list, not both")
            experiments = context.run_program("import", files=inputs.files, **tolerances_of(params)).experiments
        if not experiments:
            raise ParameterError(
                "no images: give an experiment file (spindle import writes imported.expt) or image files"
            )
        return _Run(experiments, params, context, bool(inputs.files)).result()


def _check_params(params: FindSpots.Params) -> None:
    smallest = params.spotfinder.filter.min_spot_size
    largest = params.spotfinder.filter.max_spot_size
    if smallest is not Auto and smallest > largest:
        raise ParameterError(f"spotfinder.filter.min_spot_size={smallest} is larger than max_spot_size={largest}")
    if params.watch and params.watch_images is None and not params.output.experiments:
        raise ParameterError(
            "watch=True finds out how many images there are: name a file for the experiments that have them, for example "
            "output.experiments=watched.expt"
        )
    if not params.watch and params.watch_images is not None:
        raise ParameterError("watch_images= has no meaning without watch=True")


class _Run:
    """One run of the program."""

    def __init__(
        self, experiments: Experiments, params: FindSpots.Params, context: RunContext, images_given: bool
    ) -> None:
        from .jobs import make_jobs
        from .search import ImageSearch

        self.watch: Watch | None = None
        if params.watch:
            from .watching import Watch

            self.watch = Watch(params.watch_timeout, context)
            experiments = to_come(experiments, params.watch_images)
        self.experiments, self.params, self.context = experiments, params, context
        self.images_given = images_given
        spotfinder = params.spotfinder
        self.jobs: list[Job] = make_jobs(experiments, params, *([self.watch.images] if self.watch else []))
        self.centroid = context.chosen(spotfinder.centroid)
        fraction = spotfinder.filter.max_strong_pixel_fraction
        self.search = ImageSearch(
            context.chosen(spotfinder.threshold),
            spotfinder.region_of_interest,
            1.0 if fraction is None else fraction,
            params.maximum_trusted_value,
            spotfinder.compute_mean_background,
        )
        if self.watch is not None and self._needs_all_images():
            self.watch.wait_for_all(self.jobs)
        if spotfinder.filter.automatic_mask:
            self._mask_automatically()
        measure_noise(self.jobs, context.log)
        if self.search.threshold.wants_estimated_gain():
            estimate_gains(self.jobs, context)
        self.n_strong: dict[tuple[int, int], int] = {}
        self.backgrounds: dict[tuple[int, int], float] = {}
        self.faults: list[str] = []
        self.files: dict[str, Any] = {}
        self.makers: dict[int, list[SpotMaker]] = {}

    def _needs_all_images(self) -> bool:
        """Whether something must be learned from images of the whole series before the search."""
        needed = self.params.spotfinder.filter.automatic_mask or self.search.threshold.wants_estimated_gain()
        return needed or has_noise(self.jobs)

    def items(self) -> Iterator[Item]:
        """All images to search, in order."""
        from .search import Item

        for job in self.jobs:
            for first, last in job.blocks:
                for z in range(first, last):
                    yield Item(job, z)

    def result(self) -> ProgramResult:
        """Search, filter, report."""
        table = self._join(self._tables())
        if self.watch is not None:
            self.experiments = self.watch.seen(self.experiments)
        table.identifiers = dict(self.experiments.identifiers)
        tables = self._report(table)
        searched = sum(job.n_images for job in self.jobs)
        summary: dict[str, Any] = {
            "n_spots": len(table),
            "n_images": searched,
            "n_strong_pixels": sum(self.n_strong.values()),
            "spots_per_image": len(table) / searched if searched else 0.0,
        }
        judged = blanks_and_ice(self.experiments, table)
        summary["ice_fraction"] = judged.ice_fraction
        if judged.n_images == searched:  # else images that were left out would look blank
            summary["n_blank_images"] = judged.n_blank
        name = self.params.output.experiments or ("<experiments>" if not self.images_given else "")
        next_step = f"spindle index {name} {self.params.output.reflections}"
        if not name:
            next_step = (
                "run this again with output.experiments=imported.expt: spindle index needs the experiment list too"
            )
        return ProgramResult(
            experiments=self.experiments, reflections=table, tables=tables, summary=summary, files=self.files,
            next_step=next_step if len(table) else "",
        )  # fmt: skip

    def _mask_automatically(self) -> None:
        """Take pixels out of the masks that the images themselves show to be bad."""
        from spindle_lib_masks.automatic import automatic_mask

        from .jobs import cut

        sums = np.zeros(4, np.int64)
        for job in self.jobs:
            found = automatic_mask(job.images, job.images.masks, self.context.executor)
            if not found.n_images:
                self.context.log.warning(
                    "Warning: spotfinder.filter.automatic_mask=True leaves experiment %d as it is: %d images are too few",
                    job.number,
                    job.images.n_images,
                )
                continue
            region = self.params.spotfinder.region_of_interest
            new = found.masks if region is None else [cut(m, region, p) for p, m in enumerate(found.masks)]
            job.masks = [np.ascontiguousarray(a & b) for a, b in zip(job.masks, new, strict=True)]
            self.context.log.info(
                "Automatic mask of experiment %d, from %d images: %d pixels in shadow, %d dead, %d hot",
                job.number,
                found.n_images,
                found.n_shadowed,
                found.n_dead,
                found.n_hot,
                extra=DETAIL if len(self.jobs) > 1 else None,
            )
            sums += (1, found.n_shadowed, found.n_dead, found.n_hot)
        if len(self.jobs) > 1 and sums[0]:
            self.context.log.info(
                "Automatic masks of %d sets of images, together: %d pixels in shadow, %d dead, %d hot (the log has each)",
                *sums,
            )

    def _min_size(self, job: Job) -> int:
        size = self.params.spotfinder.filter.min_spot_size
        if size is not Auto:
            return int(size)
        return 3 if job.experiment.detector[0].type == "SENSOR_PAD" else 6

    def _new_makers(self, job: Job) -> list[SpotMaker]:
        from .spots import SpotMaker

        f = self.params.spotfinder.filter
        makers = []
        for p, panel in enumerate(job.experiment.detector):
            high = (
                panel.trusted_range[1]
                if self.params.maximum_trusted_value is None
                else self.params.maximum_trusted_value
            )
            makers.append(
                SpotMaker(
                    job.number,
                    p,
                    panel.image_size[0],
                    self.centroid,
                    self._min_size(job),
                    f.max_spot_size,
                    f.max_separation,
                    job.images.corrections[p].of_value(high),
                    self.params.output.shoeboxes,
                )
            )
        return makers

    def _tables(self) -> list[ReflectionTable]:
        """Spots of each job."""
        from spindle_lib_spots.connected_components import ComponentStream

        from .search import REMEDY, search_all
        from .spots import join_spots

        keep = self.params.output.shoeboxes
        tables = []
        results: Iterator[StrongPixels | None]
        if self.watch is not None:
            results = self.watch.results(self.search, self.jobs)
        else:
            results = search_all(self.search, self.jobs, self.items(), self.context.executor)
        is_open = self.watch is not None and self.params.watch_images is None
        total = None if is_open else sum(job.n_images for job in self.jobs)
        with self.context.progress("finding spots", total) as progress:
            for job in self.jobs:
                makers = self.makers[job.number] = self._new_makers(job)
                always: list[np.ndarray] | None = None
                for first, last in job.blocks:
                    streams = [ComponentStream(m.width, job.is_linked) for m in makers]
                    for z in range(first, last):
                        pixels = next(results)
                        if pixels is None:  # the series has ended
                            break
                        if pixels.fault:
                            self._leave_out(job, z, pixels.fault)
                        self.n_strong[job.number, z] = pixels.n_strong
                        if self.params.spotfinder.compute_mean_background:
                            self.backgrounds[job.number, z] = pixels.mean_background
                        self.context.log.debug("Found %d strong pixels on image %d", pixels.n_strong, z + 1)
                        for maker, stream, index, value in zip(
                            makers, streams, pixels.index, pixels.value, strict=True
                        ):
                            maker.take(stream.add(z, index, value))
                        if self.params.spotfinder.write_hot_mask and z not in job.excluded:
                            always = pixels.index if always is None else [
                                np.intersect1d(a, b, assume_unique=True) for a, b in zip(always, pixels.index,
                                strict=True)
                            ]  # fmt: skip
                        progress.advance()
                    for maker, stream in zip(makers, streams, strict=True):
                        maker.take(stream.finish())
                if always is not None:
                    self._keep_hot_mask(job, always)
                tables.append(join_spots(makers, keep))
        for _ in results:  # lets the executor end its work
            pass
        if self.faults and all(z in job.excluded for job, z in self.items()):
            raise UserError(
                f"find_spots: no image is left, {len(self.faults)} are like the first: {self.faults[0]}; {REMEDY}, or "
                "raise the limit"
            )
        return [self._filtered(job, table) for job, table in zip(self.jobs, tables, strict=True)]

    def _leave_out(self, job: Job, z: int, fault: str) -> None:
        """Go on without a still that has too many strong pixels."""
        job.excluded.add(z)
        self.faults.append(fault)
        self.makers[job.number][0].counts.images_left_out += 1
        self.context.log.warning("Warning: left out: %s", fault)

    def _filtered(self, job: Job, table: ReflectionTable) -> ReflectionTable:
        """The spots that pass the filters of their surroundings."""
        from .filters import steep_background, uncrowded
        from .search import Item

        f = self.params.spotfinder.filter
        counts = self.makers[job.number][0].counts
        if f.background_gradient.filter and len(table):
            items = [Item(job, z) for first, last in job.blocks for z in range(first, last) if z not in job.excluded]
            steep = steep_background(
                job, table, f.background_gradient.background_size, f.background_gradient.gradient_cutoff,
                self.context.executor.here.map, items,
            )  # fmt: skip
            counts.on_gradient = int(steep.sum())
            table = table.select(~steep)
        if f.spot_density.filter and len(table):
            kept = uncrowded(table)
            counts.in_crowd = int(len(table) - kept.sum())
            table = table.select(kept)
        return table

    def _join(self, tables: list[ReflectionTable]) -> ReflectionTable:
        return ReflectionTable.concatenate(tables)

    def _keep_hot_mask(self, job: Job, always: list[np.ndarray]) -> None:
        """Remember to write a mask of the pixels that were strong on every image of a job."""
        from spindle.files import write_mask

        masks = []
        for panel, index in zip(job.experiment.detector, always, strict=True):
            good = np.ones((panel.image_size[1], panel.image_size[0]), np.bool_)
            good.reshape(-1)[index] = False
            masks.append(good)
        path = f"{self.params.spotfinder.hot_mask_prefix}_{job.number}.npz"
        n_images = job.n_images - len(job.excluded)
        n_hot = sum(len(i) for i in always)
        self.context.log.info(
            "%d pixels are strong on all %d images of experiment %d: %s", n_hot, n_images, job.number, path
        )

        self.files[path] = partial(write_mask, masks=masks)

    # -- reporting

    def _report(self, table: ReflectionTable) -> list[Table]:
        from .report import advice, counts_table, histogram, image_table, ways_out
        from .search import REMEDY
        from .spots import SpotCounts

        log = self.context.log
        groups: dict[object, list[Job]] = {}
        for job in self.jobs:
            groups.setdefault(job.group, []).append(job)
        rows, warnings, tables = [], [], []
        z = np.floor(table["xyzobs.px.value"][:, 2]).astype(np.int64)
        for k, jobs in enumerate(groups.values()):
            images = [(job.number, i) for job in jobs for first, last in job.blocks for i in range(first, last)]
            if not images:
                continue
            mine = np.isin(table["id"], [job.number for job in jobs])
            # Images are ordered by experiment and array index, so one sorted key finds the image of each spot.
            keys = np.array(images, dtype=np.int64) @ (1 << 32, 1)
            where = np.searchsorted(keys, table["id"][mine].astype(np.int64) * (1 << 32) + z[mine])
            per_image = np.bincount(where, minlength=len(images))
            is_sequence = jobs[0].images.imageset.kind == "ImageSequence"
            numbers = np.array([i + 1 for _, i in images]) if is_sequence else np.arange(1, len(images) + 1)
            counts = SpotCounts()
            for maker in (m for job in jobs for m in self.makers[job.number]):
                for field in counts.__slots__:
                    setattr(counts, field, getattr(counts, field) + getattr(maker.counts, field))
            name = Path(jobs[0].images.imageset.template or jobs[0].images.file_of(0)[0]).name
            name = name if is_sequence or len(jobs) == 1 else f"{name} and others"
            n_strong = sum(self.n_strong[image] for image in images)
            rows.append((name, len(images), n_strong, counts, int(mine.sum())))
            good = sum(int(m.sum()) for m in jobs[0].masks)
            is_sweep = not jobs[0].experiment.is_still
            advised = ways_out(self.search.threshold)
            warnings += advice(name, is_sweep, len(images), int(mine.sum()), n_strong, good, counts, advised)
            if len(images) > 1:
                log.info(
                    "%s\n", histogram(f"\nHistogram of per-image spot count for imageset {k}:", per_image, numbers)
                )
            if self.params.per_image_statistics:
                named = [(a, b, str(n)) for (a, b), n in zip(images, numbers, strict=True)]
                tables.append(
                    image_table(f"Number of centroids per image for imageset {k}:", table, self.experiments, named)
                )
            if self.params.spotfinder.compute_mean_background:
                values = [[int(n), self.backgrounds[image]] for n, image in zip(numbers, images, strict=True)]
                title = f"Mean background per image for imageset {k}:"
                tables.append(Table(title, ["image", "mean background (counts)"], values, key="mean_background"))
        tables.insert(0, counts_table(rows, self.params))
        if self.faults:
            warnings.append(
                f"{len(self.faults)} of {sum(job.n_images for job in self.jobs)} images are left out: too many of their "
                f"pixels are strong; {REMEDY}, or raise spotfinder.filter.max_strong_pixel_fraction="
            )
        for one in tables:
            self.context.table(one)
        for warning in warnings:
            log.warning("Warning: %s", warning)
        return tables
