"""The program `spindle simulate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.report import Table

from .cbf import mini_cbf_header, write_mini_cbf
from .parameters import SimulateParams
from .render import PhotonStatistics, render
from .scene import Sweep, build_sweeps
from .truth import effective_sigmas, write_truth

__all__ = ["Simulate"]

CUTOFF = 1048500  # counts; the range of a Pilatus counter


class Simulate(Program):
    """Render rotation images of a crystal whose intensities are known.

    Photons are traced one by one: mosaic block, direction and wavelength of the incident beam, the rotation angle at
    which they diffract, the place in the crystal, and the depth at which the sensor stops them. Lorentz and
    polarisation factors, absorption in the crystal, decay, changes of the beam, drift of the crystal, air and solvent
    scatter, module gaps, dead and hot pixels and the beamstop are included. The headers hold a slightly wrong distance
    and beam centre, as at a beamline.

    Next to the images, truth.json and truth.npz say what was simulated; `spindle check_truth` compares processed data
    with them.
    """

    Params = SimulateParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: SimulateParams, context: Any) -> ProgramResult:
        """Write images and truth."""
        if inputs.files or inputs.reflections or inputs.experiments:
            raise UserError("simulate: takes no input files, only parameters; `spindle simulate -h` lists them")
        sweeps = build_sweeps(params, context.seed)
        folders = _folders(params, len(sweeps))
        context.log.info("%s", _describe(sweeps[0]))
        rows, summary = [], {}
        for sweep, folder in zip(sweeps, folders, strict=True):
            statistics, sizes = self._render(sweep, folder, params, context)
            write_truth(folder, params.output.prefix, sweep, statistics, params)
            rows.append(_count(folder, sweep, statistics, params, sizes))
            context.log.info("Wrote %d images, truth.json and truth.npz to %s", len(sizes), folder)
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
            "folders": [str(folder) for folder in folders],
            "sweeps": rows,
            "space_group": sweeps[0].structure.group.xhm(),
        }
        images = " ".join(str(folder / "*.cbf") for folder in folders)
        return ProgramResult(tables=[table], summary=summary, next_step=f"spindle process {images}")

    def _render(
        self, sweep: Sweep, folder: Path, params: SimulateParams, context: Any
    ) -> tuple[list[PhotonStatistics], list[int]]:
        """Draw and write the images of one sweep; returns statistics by lattice and the sizes of the files in bytes."""
        write = _image_writer(sweep, folder, params)
        sigmas = (sweep.sigma_divergence, params.beam.bandpass, params.beam.size)
        with context.progress(f"Drawing {folder}", total=len(sweep.frames)) as progress:

            def finish(number: int, image: np.ndarray) -> int:
                size = write(number, image)
                progress.advance(1)
                return size

            return render(sweep, sigmas, context.n_workers, context.executor.map, finish)


def _folders(params: SimulateParams, n_sweeps: int) -> list[Path]:
    """The folder of each sweep, made and checked before anything is drawn."""
    root = Path(params.output.directory).expanduser()
    folders = [root] if n_sweeps == 1 else [root / f"sweep_{i + 1}" for i in range(n_sweeps)]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"simulate: cannot make the folder {folder}: {error.strerror}; set output.directory="
            ) from error
        old = sorted(folder.glob(f"{params.output.prefix}_*.cbf"))
        if old and not params.output.overwrite:
            raise UserError(
                f"simulate: {folder} holds {len(old)} images already ({old[0].name} ...); choose another "
                "output.directory=, or set output.overwrite=True to replace them"
            )
        for image in old:  # a longer sweep of an earlier run must not leave images behind
            image.unlink()
    return folders


def _image_writer(sweep: Sweep, folder: Path, params: SimulateParams) -> Callable[[int, np.ndarray], int]:
    """A function that writes image number i (from 0) of a sweep and returns the size of the file."""
    instrument = sweep.instrument
    width = np.degrees(sweep.frames.width)

    def write(i: int, image: np.ndarray) -> int:
        name = f"{params.output.prefix}_{i + 1:04d}"
        header = mini_cbf_header(
            detector=instrument.name,
            pixel_size_mm=instrument.pixel_size,
            thickness_mm=instrument.thickness,
            exposure_time=params.scan.exposure_time,
            n_dead=params.detector.dead_pixels,
            wavelength=instrument.wavelength,
            distance_mm=instrument.header_distance,
            beam_centre_px=(float(instrument.header_beam_centre[0]), float(instrument.header_beam_centre[1])),
            start_deg=float(np.degrees(sweep.frames.start) + i * width),
            width_deg=float(width),
            polarization=params.beam.polarization_fraction,
            cutoff=CUTOFF,
            path=f"/{params.output.prefix}/",
        )
        return write_mini_cbf(folder / f"{name}.cbf", name, header, np.minimum(image, CUTOFF + 1))

    return write


def _describe(sweep: Sweep) -> str:
    """What is simulated, in a few lines."""
    s, i = sweep.structure, sweep.instrument
    nx, ny = i.image_size
    cell = " ".join(f"{v:g}" for v in s.cell)
    n = sum(len(lattice.reflections) for lattice in sweep.lattices)
    return (
        f"Crystal: {s.group.xhm()}, cell {cell}, {len(sweep.lattices)} lattice(s), intensities: {s.source}\n"
        f"Detector: {i.name}, {nx} x {ny} pixels of {i.pixel_size:g} mm, {i.distance:.2f} mm away (the headers say "
        f"{i.header_distance:.2f}); resolution {i.edge_resolution():.2f} A at the nearest edge, "
        f"{i.corner_resolution():.2f} A in the corner\n"
        f"Sweep: {len(sweep.frames)} images of {np.degrees(sweep.frames.width):g} deg, {n} reflections reach it"
    )


def _count(
    folder: Path, sweep: Sweep, statistics: list[PhotonStatistics], params: SimulateParams, sizes: list[int]
) -> dict[str, Any]:
    """One row of the table of sweeps."""
    sigmas = effective_sigmas(statistics[0], sweep.lattices[0].reflections.zeta)
    live = np.concatenate([s.n_live for s in statistics])
    return {
        "Folder": str(folder),
        "Images": len(sweep.frames),
        "Reflections": int((live > 0).sum()),
        "Photons": int(live.sum()),
        "Mean counts": round(float(live[live > 0].mean()), 1) if (live > 0).any() else 0.0,
        "Background": round(float(sweep.background[~sweep.instrument.dead].mean()), 3),
        "sigma_b (deg)": round(float(np.sqrt(0.5 * (sigmas["e1"] ** 2 + sigmas["e2"] ** 2))), 4),
        "sigma_m (deg)": round(sigmas["e3"], 4),
        "MB": round(sum(sizes) / 1e6, 1),
    }
