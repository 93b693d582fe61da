"""From groups of images to experiments."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import ModelError, ParameterError, fault
from spindle.images import format_parameters
from spindle.models import Experiment, Experiments, ImageSet, Scan
from spindle.params import Auto

from .content import content_of, named_by_content
from .grouping import Frame, Run, Series, hidden_rotation, sweep_angles
from .headers import Header
from .lookups import lookup_files


@dataclass(slots=True)
class Builder:
    """Makes experiments from runs of images.

    Parameters
    ----------
    params : Params
        Of the program.
    notes : list of str
        What the user should know; filled.
    """

    params: Any
    notes: list[str] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)
    _still_sets: dict[int, ImageSet] = field(default_factory=dict)

    def experiments(self, runs: list[Run]) -> Experiments:
        """Experiments of all runs, in order."""
        items: list[Experiment] = []
        for run in runs:
            if self.params.geometry.convert_sequences_to_stills or run.kind == "image":
                items += [self._image(run.series, frame) for frame in run.frames]
            elif self.params.input.as_grid_scan:
                items += [
                    replace(self._image(run.series, f), goniometer=f.goniometer, scan=_own_scan(f)) for f in run.frames
                ]
            else:
                items.append(self._sequence(run))
        if self.params.input.as_grid_scan:
            items = self._grid(items)
        self._hidden_rotations(runs)
        if self.params.identifier_type == "uuid":
            return named_by_content(items)
        return Experiments(items)

    # -- images without a scan -----------------------------------------------------------------------------------------

    def _image(self, series: Series, frame: Frame) -> Experiment:
        header = frame.header
        imageset = ImageSet(
            kind="ImageSet",
            paths=(header.path,),
            single_file_indices=(header.index,) if series.is_container else None,
            **self._imageset_fields(header),
        )
        return Experiment(frame.beam, frame.detector, imageset=imageset, identifier=self._identifier(frame, frame))

    def _grid(self, items: list[Experiment]) -> list[Experiment]:
        size = self.params.input.grid_size
        if size is None:
            raise ParameterError("input.as_grid_scan=True needs input.grid_size=<fast>,<slow>")
        if size[0] * size[1] != len(items):
            raise ParameterError(
                f"input.grid_size={size[0]},{size[1]} makes {size[0] * size[1]} positions, but there are {len(items)} "
                "images"
            )
        placed = []
        for i, item in enumerate(items):
            extra = {"grid_size": list(size), "grid_position": [i % size[0], i // size[0]]}
            assert item.imageset is not None
            placed.append(replace(item, imageset=replace(item.imageset, extra=extra)))
        return placed

    # -- images with a scan --------------------------------------------------------------------------------------------

    def _sequence(self, run: Run) -> Experiment:
        frames, series = run.frames, run.series
        first, last = frames[0].number, frames[-1].number
        angles = sweep_angles(frames)
        self.notes += [f"{series.template}: {note}" for note in angles.notes]
        wanted = self.params.geometry.scan
        scan = Scan(
            image_range=(first, last),
            oscillation_deg=(angles.start, angles.width),
            exposure_times=np.array([0.0 if f.scan is None else f.header.models.exposure_time for f in frames]),
            epochs=np.array([0.0 if f.scan is None else f.header.models.epoch for f in frames]),
            batch_offset=wanted.batch_offset or 0,
        )
        if wanted.image_range is not None and wanted.extrapolate_scan:
            scan = extrapolated(scan, wanted.image_range)
        imageset = (
            self._shared_still_set(run) if run.kind == "still" else self._template_set(series, scan, frames[0].header)
        )
        return Experiment(
            frames[0].beam,
            frames[0].detector,
            frames[0].goniometer,
            scan,
            imageset=imageset,
            identifier=self._identifier(frames[0], frames[-1]),
        )

    def _template_set(self, series: Series, scan: Scan, header: Header) -> ImageSet:
        indices = None
        if series.is_literal:
            indices = tuple(range(*scan.array_range))
        return ImageSet(
            kind="ImageSequence",
            template=series.template,
            image_range=scan.image_range,
            single_file_indices=indices,
            number_field=series.number_field,
            **self._imageset_fields(header),
        )

    def _shared_still_set(self, run: Run) -> ImageSet:
        """One image set for all stills of a template, each of which has its own scan of one image."""
        key = id(run.series)
        if key not in self._still_sets:
            numbers = [f.number for f in run.series.frames]
            self._still_sets[key] = ImageSet(
                kind="ImageSequence",
                template=run.series.template,
                image_range=(min(numbers), max(numbers)),
                single_file_indices=tuple(n - 1 for n in numbers) if run.series.is_literal else None,
                number_field=run.series.number_field,
                **self._imageset_fields(run.series.frames[0].header),
            )
        return self._still_sets[key]

    def _imageset_fields(self, header: Header) -> dict[str, Any]:
        params = self.params
        shadowing = params.format.dynamic_shadowing
        options: dict[str, Any] = {
            "dynamic_shadowing": "Auto" if shadowing is Auto else bool(shadowing),
            "multi_panel": params.format.multi_panel,
        }
        if params.format.shadow is not None:
            options["shadow"] = str(Path(params.format.shadow).resolve())
        if params.format.verify_checksum is False:
            options["verify_checksum"] = False
        # what the user chose holds whenever the images are read again
        if params.format.name:
            options["format"] = params.format.name
        else:
            options["read_as"] = header.format
        own = format_parameters(params.format.name)
        if own:
            options["format_parameters"] = own
        return {
            **lookup_files(params),
            "params": options,
            "format": params.format.name,
        }

    def _identifier(self, frame: Frame, last: Frame) -> str:
        kind = self.params.identifier_type
        if kind == "None":
            return ""
        if kind == "uuid":
            return f"{content_of(frame)} {frame.number} {last.number}"
        epoch = frame.header.models.epoch
        if not epoch:
            raise ModelError(
                f"identifier_type=timestamp: the header of {frame.header.path} gives no time; choose "
                "identifier_type=uuid"
            )
        stamp = datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%d%H%M%S%f")[:-3]
        name, n = stamp, 1
        while name in self._used:
            n += 1
            name = f"{stamp}-{n}"
        self._used.add(name)
        return name

    def _hidden_rotations(self, runs: list[Run]) -> None:
        """Say when headers give a width of zero although the start angles advance."""
        for series in {id(r.series): r.series for r in runs if r.kind == "still"}.values():
            step = hidden_rotation(series.frames)
            if step is not None:
                start = series.frames[0].start * (-1.0 if step < 0 else 1.0)
                turned = " geometry.goniometer.invert_rotation_axis=True" if step < 0 else ""
                text = fault(
                    "headers, angles",
                    f"a width of {abs(step):g} deg, by which the start angles advance",
                    "a width of 0 deg",
                    "taken as stills; if the crystal was turned import again with "
                    f"geometry.scan.oscillation={start:g},{abs(step):g}{turned}",
                )
                self.notes.append(f"{series.template}: {text}")


def _own_scan(frame: Frame) -> Scan | None:
    """The scan of one image, with its number."""
    if frame.scan is None:
        return None
    return replace(frame.scan, image_range=(frame.number, frame.number))


def extrapolated(scan: Scan, image_range: tuple[int, int]) -> Scan:
    """The scan carried on, in both directions, to other image numbers."""
    first, last = image_range
    start, width = scan.oscillation_deg
    numbers = np.arange(first, last + 1)
    here = np.arange(scan.image_range[0], scan.image_range[1] + 1)
    assert scan.exposure_times is not None and scan.epochs is not None  # a scan fills them with zeros
    return replace(
        scan,
        image_range=(first, last),
        oscillation_deg=(start + (first - scan.image_range[0]) * width, width),
        exposure_times=np.interp(numbers, here, scan.exposure_times),
        epochs=np.interp(numbers, here, scan.epochs),
    )
