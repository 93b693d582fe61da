"""`spindle merge_cbf`: sums of successive images."""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Bool, Int, Str
from spindle.params import Params as ParamsBase
from spindle_lib_importing.experiments import experiments_of

if TYPE_CHECKING:
    from spindle.execution import RunContext

    from .summing import Group, Series

__all__ = ["MergeCbf"]


class MergeCbf(Program):
    """Sum successive images into new CBF files, whose headers say so: n times the exposure and the width of rotation.

    Images of any format that is read may be given; CBF images keep their header, others get one from their models. Pixels
    that are bad (negative) in one of the images are bad in the sum, overloaded ones overloaded. Images at the end that do
    not make a full sum are left out.

        spindle merge_cbf image_*.cbf
        spindle merge_cbf imported.expt merge_n_images=10 output.image_prefix=tenths_
    """

    class Params(ParamsBase):
        """What is summed."""

        merge_n_images = Int(2, min=1, max=1_000_000, help="Images that make one sum.")
        get_raw_data_from_imageset = Bool(
            True,
            unavailable="pixels are always read through the image format, which does not change them",
            help="Read pixels through the image format.",
        )

        class output(ParamsBase):
            """What is written."""

            image_prefix = Str(
                "sum_",
                help="Beginning of the file names, folder included; numbers and .cbf follow. A folder that ends in / is made "
                "where there is none.",
            )
            log = Str("spindle.merge_cbf.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Sum and write the images; see `spindle.contracts.program.ProgramSpec`."""
        from spindle.report import Table

        from .summing import Summer, make_series

        if inputs.reflections:
            raise ParameterError("merge_cbf: images are summed; leave the reflection file out")
        n, prefix = params.merge_n_images, _prefix(params.output.image_prefix)
        series = make_series(experiments_of(context, inputs))
        short = [s for s in series if len(s) < n]
        if len(short) == len(series):
            longest = max(series, key=len)
            raise ParameterError(
                f"merge_n_images={n}: {longest.name} has {len(longest)} image{'s' if len(longest) > 1 else ''} in one sweep; "
                "give a smaller number or more images"
            )
        groups = _groups(series, n, prefix)
        _check_files(groups, series, prefix)
        groups[0].path.parent.mkdir(parents=True, exist_ok=True)
        over = []
        with context.progress("summing images", len(groups)) as progress:
            for group, count in zip(groups, context.executor.map(Summer(n), groups), strict=True):
                over.append(count)
                context.written.append(group.path)
                progress.advance()
        rows = []
        for one in series:
            mine = [(g, o) for g, o in zip(groups, over, strict=True) if g.series is one]
            left = len(one) - n * len(mine)
            scan = one.items[0][0].experiment.scan
            width = n * scan.oscillation_deg[1] if scan is not None else None
            names = [g.path.name for g, _ in mine]
            files = f"{names[0]} to {names[-1]}" if len(names) > 1 else "".join(names) or "none"
            rows.append([one.name, len(one), len(mine), left, width, sum(o for _, o in mine), files])
            if left:
                context.log.warning(
                    "Warning: the last %d of %d images of %s make no full sum and are left out",
                    left,
                    len(one),
                    one.name,
                )
            _warn(one, n, context)
        headers = ["images", "number", "sums", "left out", "width (deg)", "overloaded\npixels", "files"]
        context.table(Table(f"Sums of {n} images:", headers, rows, "sums"))
        return ProgramResult(
            summary={"n_sums": len(groups), "files": [str(g.path) for g in groups], "n_overloaded": sum(over)},
            next_step=f"spindle import {shlex.quote(prefix)}*.cbf",
        )


def _prefix(text: str) -> str:
    """Beginning of the file names, once it is sure that files can be written there."""
    from spindle.execution import check_folder, check_writable

    prefix = str(Path(os.path.expanduser(text))) + ("/" if text.endswith("/") else "")
    what = f"merge_cbf: output.image_prefix={text}"
    if text.endswith("/"):
        check_folder(Path(prefix), what)
    else:
        check_writable(Path(f"{prefix}0001.cbf"), what)
    return prefix


def _groups(series: list[Series], n: int, prefix: str) -> list[Group]:
    """What is summed into which file."""
    from .summing import Group

    groups = []
    for number, one in enumerate(series, 1):
        sweep = f"{number}_" if len(series) > 1 else ""
        for i in range(len(one) // n):
            groups.append(Group(one, i * n, Path(f"{prefix}{sweep}{i + 1:04d}.cbf")))
    return groups


def _check_files(groups: list[Group], series: list[Series], prefix: str) -> None:
    """Raise when a sum would replace an image that is read, or files of an earlier run would stay among the new ones."""
    targets = {g.path.resolve() for g in groups}
    for one in series:
        for images, index in one.items:
            path = Path(images.file_of(index)[0])
            if path.resolve() in targets:
                raise UserError(
                    f"output.image_prefix={prefix}: {path} would be replaced, but is one of the images to be summed; "
                    "choose another prefix"
                )
    pattern = re.compile(re.escape(prefix) + r"(\d+_)?\d{4,}\.cbf")
    old = [
        p for p in glob.glob(f"{glob.escape(prefix)}*.cbf") if pattern.fullmatch(p) and Path(p).resolve() not in targets
    ]
    if old:
        raise UserError(
            f"output.image_prefix={prefix}: {len(old)} images of that name ({sorted(old)[0]} ...) would stay beside the new "
            "ones and be taken for part of them; remove them or choose another prefix"
        )


def _warn(series: Series, n: int, context: RunContext) -> None:
    """Say what the headers of the sums do not tell."""
    images, index = series.items[0]
    experiment = images.experiment
    pedestal = n * experiment.detector[0].pedestal
    if pedestal:
        context.log.warning(
            "Warning: the sums of %s have a pedestal of %g, which CBF headers do not tell; import them with "
            "geometry.detector.panel.pedestal=%g",
            series.name,
            pedestal,
            pedestal,
        )
    if not series.is_cbf:
        return
    reader, frame = images.reader(index)
    said = reader.models(frame)
    changed = []
    if abs(said.beam.wavelength - experiment.beam.wavelength) > 1e-6:
        changed.append("wavelength")
    if abs(said.detector[0].origin - experiment.detector[0].origin).max() > 1e-3:
        changed.append("detector position")
    if said.scan is not None and experiment.scan is not None:
        angle = experiment.scan.oscillation_deg[0] + index * experiment.scan.oscillation_deg[1]
        step = experiment.scan.oscillation_deg[1] - said.scan.oscillation_deg[1]
        if max(abs(angle - said.scan.oscillation_deg[0]), abs(step)) > 1e-3:
            changed.append("rotation angles")
    if changed:
        context.log.warning(
            "Warning: %s: the experiments have another %s than the headers of the images, which the sums keep; import the "
            "sums with the same options as the images",
            series.name,
            " and ".join(changed),
        )
