"""The program `spindle simulate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.report import Table

from .cbf import MiniCbfWriter
from .full_cbf import FullCbfWriter
from .names import SweepFiles, plan_files
from .nexus import NexusWriter
from .panels import of_custom_only
from .params import SimulateParams
from .render import PhotonStatistics, render
from .scene import Sweep, build_sweeps
from .settings import usual_probe
from .smv import SmvWriter
from .truth import effective_sigmas, write_truth
from .writing import ImageWriter

__all__ = ["Simulate"]

WRITERS: dict[str, type[ImageWriter]] = {
    "cbf": MiniCbfWriter,
    "full_cbf": FullCbfWriter,
    "nexus": NexusWriter,
    "smv": SmvWriter,
}


class Simulate(Program):
    """Render rotation images, or stills, of a crystal whose intensities are known.

    Photons are traced one by one: mosaic block, direction and wavelength of the incident beam, the rotation angle at
    which they diffract, the place in the crystal, and the depth at which the sensor stops them. Lorentz and
    polarisation factors, absorption in the crystal, decay, changes of the beam, drift of the crystal, air and solvent
    scatter, module gaps, dead and hot pixels and the beamstop are included. The headers hold a slightly wrong distance
    and beam centre, as at a beamline.

    Next to the images, truth.json and truth.npz say what was simulated; `spindle check_truth` compares processed data
    with them.

        spindle simulate
        spindle simulate n_images=30 mosaic_spread=0.3 output.directory=mosaic
    """

    Params = SimulateParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: SimulateParams, context: Any) -> ProgramResult:
        """Write images and truth."""
        if inputs.files or inputs.reflections or inputs.experiments:
            raise UserError("simulate: takes no input files, only parameters; `spindle simulate -h` lists them")
        if unused := of_custom_only(params.detector):
            context.log.warning(
                "detector.%s: of model=custom only; model=%s has modules of its own",
                ", ".join(unused),
                params.detector.model,
            )
        sweeps = build_sweeps(params, context.seed)
        for sweep in sweeps:
            WRITERS[params.output.format].check(sweep)
        files = plan_files(params, [sweep.settings for sweep in sweeps])
        for sweep in sweeps:
            context.log.info("%s", _describe(sweep, len(sweeps)))
        rows, summary = [], {}
        for sweep, place in zip(sweeps, files, strict=True):
            writer = WRITERS[params.output.format](sweep, place, params)
            statistics, zingers, sizes = self._render(sweep, writer, params, context)
            write_truth(place, sweep, statistics, zingers, params)
            images = dict.fromkeys(path for path in place.images if path is not None)
            context.written += [*images, place.truth / "truth.json", place.truth / "truth.npz"]
            rows.append(_count(place.folder, sweep, statistics, sizes))
            where = "" if place.truth == place.folder else f", the last two to {place.truth.name} in it"
            n_written = sum(size > 0 for size in sizes)
            context.log.info("Wrote %d images, truth.json and truth.npz to %s%s", n_written, place.folder, where)
        headers = [
            "Folder",
            "Images",
            "Reflections",
            "Photons",
            "Mean counts",
            "Background",
            "sigma_b (deg)",
            "sigma_m (deg)",
            "MB",
        ]
        table = Table("Simulated sweeps", headers, [[row[h] for h in headers] for row in rows], "simulated")
        context.table(table)
        summary = {
            "folders": [str(place.folder) for place in files],
            "truth": [str(place.truth) for place in files],
            "images": [str(path) for place in files for path in place.images if path is not None],
            "sweeps": rows,
            "space_group": sweeps[0].structure.group.xhm(),
        }
        return ProgramResult(tables=[table], summary=summary, next_step=_next_step(sweeps, files, params))

    def _render(
        self, sweep: Sweep, writer: ImageWriter, params: SimulateParams, context: Any
    ) -> tuple[list[PhotonStatistics], np.ndarray, list[int]]:
        """Draw and write the images of one sweep; returns statistics by lattice, zingers and the sizes of the files in bytes."""
        sigmas = (sweep.sigma_divergence, params.beam.bandpass, params.beam.size)
        with context.progress(f"Drawing {writer.files.folder}", total=len(sweep.frames)) as progress:

            def finish(number: int, image: np.ndarray) -> int:
                size = writer.write(number, image)
                progress.advance(1)
                return size

            try:
                done = render(sweep, sigmas, context.n_workers, context.executor.here.map, finish)
            except BaseException:
                writer.abort()
                raise
            writer.close()
            return done


def _next_step(sweeps: list[Sweep], files: list[SweepFiles], params: SimulateParams) -> str:
    """The command that processes the images, with what their headers cannot say."""
    patterns = list(dict.fromkeys(str(place.pattern) for place in files))
    # the shell must still expand the stars
    words = ["*".join(shlex.quote(part) if part else "" for part in pattern.split("*")) for pattern in patterns]
    response, p, panels = sweeps[0].instrument.response, params.output, sweeps[0].instrument.header_panels
    # readers put what lies on one grid into one panel, unless they are told; full CBF has its panels as arrays
    if len(panels) > 1 and p.format != "full_cbf" and panels.are_one_grid():
        words.append("format.multi_panel=True")
    first = sweeps[0].settings
    if p.format != "nexus" and first.probe != usual_probe(first.wavelength):  # other headers do not say it
        words.append(f"geometry.beam.probe={first.probe}")
    if not response.is_counting:
        if p.format != "full_cbf":
            words.append(f"gain={response.gain:g}")
        if p.format == "cbf":
            words.append(f"trusted_range={response.lowest},{response.cutoff}")
    return ("spindle stills_process " if params.scan.stills else "spindle process ") + " ".join(words)


def _describe(sweep: Sweep, n_sweeps: int) -> str:
    """What is simulated, in a few lines; the crystal and the detector at the first sweep only."""
    s, i, settings = sweep.structure, sweep.instrument, sweep.settings
    nx, ny = i.image_size
    cell = " ".join(f"{v:g}" for v in s.cell)
    n = sum(len(lattice.reflections) for lattice in sweep.lattices)
    turning = settings.rotation
    others = [
        f"{name} {angle:g}"
        for k, (name, angle) in enumerate(zip(turning.names, turning.angles, strict=True))
        if k != turning.scan_axis
    ]
    if i.two_theta:
        others.append(f"two_theta {i.two_theta:g}")
    if n_sweeps > 1:
        others.append(f"wavelength {i.wavelength:g} A")
    if settings.probe != "x-ray":
        others.append(f"{settings.probe}s")
    if sweep.lattices[0].stills is not None:
        return _describe_stills(sweep)
    name = "Sweep" if n_sweeps == 1 else f"Sweep {settings.number}"
    line = (
        f"{name}: {len(sweep.frames)} images of {settings.oscillation:g} deg from {turning.names[turning.scan_axis]} "
        f"{settings.start:g}{''.join(', ' + text for text in others)}, {n} reflections reach it"
    )
    if settings.number > 1:
        return line
    wilson_b = s.wilson_b()
    panels = "" if len(i.panels) == 1 else f" in {len(i.panels)} panels"
    return (
        f"Crystal: {s.group.xhm()}, cell {cell}, {len(sweep.lattices)} lattice(s), intensities: {s.source}"
        f"{'' if wilson_b is None else f'; Wilson B {wilson_b:.1f} A^2'}\n"
        f"Detector: {i.canvas.name}, {nx} x {ny} pixels of {i.panels.pixel_size:g} mm{panels}, {i.distance:.2f} mm away "
        f"(the headers say {i.header_distance:.2f}); resolution {i.edge_resolution():.2f} A at the nearest edge, "
        f"{i.corner_resolution():.2f} A in the corner\n{line}"
    )


def _describe_stills(sweep: Sweep) -> str:
    """What is simulated where each image is a still."""
    s, i, stills = sweep.structure, sweep.instrument, sweep.lattices[0].stills
    assert stills is not None
    nx, ny = i.image_size
    return (
        f"{len(stills.volume)} stills, {int(np.count_nonzero(stills.volume))} of them of {len(sweep.lattices)} crystal(s) each in random "
        f"orientations: {s.group.xhm()}, cell {' '.join(f'{v:g}' for v in s.cell)}, intensities: {s.source}\n"
        f"Detector: {i.canvas.name}, {nx} x {ny} pixels of {i.panels.pixel_size:g} mm, {i.distance:.2f} mm away (the headers say "
        f"{i.header_distance:.2f}); resolution {i.edge_resolution():.2f} A at the nearest edge, {i.corner_resolution():.2f} A in the corner"
    )


def _count(folder: Path, sweep: Sweep, statistics: list[PhotonStatistics], sizes: list[int]) -> dict[str, Any]:
    """One row of the table of sweeps."""
    sigmas = effective_sigmas(statistics[0], sweep.lattices[0].reflections.zeta)
    live = np.concatenate([s.n_live for s in statistics])
    return {
        "Folder": str(folder),
        "Images": sum(size > 0 for size in sizes),
        "Reflections": int((live > 0).sum()),
        "Photons": int(live.sum()),
        "Mean counts": round(float(live[live > 0].mean()), 1) if (live > 0).any() else 0.0,
        "Background": round(float(sweep.background[~sweep.instrument.dead].mean()), 3),
        "sigma_b (deg)": round(float(np.sqrt(0.5 * (sigmas["e1"] ** 2 + sigmas["e2"] ** 2))), 4),
        "sigma_m (deg)": round(sigmas["e3"], 4),
        "MB": round(sum(sizes) / 1e6, 1),
    }
