"""From experiments to a volume, pictures and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.images import ImageSequence
from spindle.models import Experiment, Experiments
from spindle.params import Auto
from spindle.report import Table
from spindle_lib_importing.experiments import experiments_of
from spindle_lib_pages.page import text_writer

from .drawing import filled, grey_levels, page_of, png_of, png_writer, section_figure
from .mapping import Gather, Sweep, Wanted, blocks_of
from .planes import Plane, planes_of
from .volume import Volume, map_writer

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["make_volume"]

MOST_MARKS = 4000
#: Bytes of a voxel while images are added: sum, count, and the mean of it at the end.
BYTES = 16


def make_volume(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Map all images; see the program."""
    if inputs.reflections:
        raise UserError("rs_mapper: the volume is made of images; leave the reflection file out")
    experiments = experiments_of(context, inputs)
    sweeps = _sweeps(experiments, params.slices.lattice)
    wanted = _wanted(sweeps, params)
    executor = context.executor
    if params.rs_mapper.nproc not in (Auto, None):
        executor = executor.limited(int(params.rs_mapper.nproc))
    blocks = blocks_of(sweeps)
    n_images = sum(len(b.frames) for b in blocks)
    context.log.info(
        "%d images of %d sets; %d x %d x %d voxels of %.5f 1/A to %.2f A (%.1f GB of memory)",
        n_images, len(sweeps), *(wanted.n,) * 3, 1 / wanted.scale, wanted.d_min, BYTES * wanted.n**3 / 1e9,
    )  # fmt: skip
    try:
        volume = Volume(wanted.n)
    except MemoryError as error:
        raise ParameterError(
            f"rs_mapper.grid_size={wanted.n}: there is not enough memory for {wanted.n}^3 voxels; give a smaller number"
        ) from error
    shape = (wanted.size, wanted.size)
    pictures = [(np.zeros(shape), np.zeros(shape, np.int64)) for _ in wanted.planes]
    with context.progress("mapping images", n_images) as progress:
        for block, gathered in zip(blocks, executor.map(Gather(tuple(sweeps), wanted), blocks), strict=True):
            volume.add(gathered)
            for (sums, counts), (more_sums, more_counts) in zip(pictures, gathered.pictures, strict=True):
                sums += more_sums
                counts += more_counts
            progress.advance(len(block.frames))
    seen = volume.counts > 0
    n_seen = int(np.count_nonzero(seen))
    if not n_seen:
        raise UserError(
            f"rs_mapper: no good pixel lies within {wanted.d_min:g} A; give a smaller rs_mapper.max_resolution, or look at the mask"
        )
    means = volume.means()
    mapped = np.where(seen, means, np.float32(np.nan)) if params.rs_mapper.unmeasured == "nan" else means
    write = map_writer(mapped, wanted.d_min, _from_indices(sweeps, wanted.in_crystal_frame))
    files: dict[str, Callable[[Path], None]] = {str(params.output.map_file): write}
    lattice = next((s.crystal_of for s in sweeps if s.crystal_of is not None), None)
    layers = _draw_layers(wanted, pictures, lattice, params.output.slices, files)
    if params.output.html is not None:
        sections = _sections(means, seen, 1 / wanted.d_min)
        about = f"{n_images} images, to {wanted.d_min:.2f} Å; layers {2 * wanted.half:g} of an index thick, to {wanted.plane_d_min:.2f} Å"
        files[str(params.output.html)] = text_writer(page_of(_title(experiments), about, layers, sections))
    _report(wanted, means, seen, pictures, context)
    summary = {
        "n_images": n_images, "voxel": 1 / wanted.scale, "share_seen": n_seen / seen.size, "largest": float(means.max()),
        "layers": [p.name for p in wanted.planes],
    }  # fmt: skip
    next_step = f"spindle view {params.output.map_file}"
    if lattice is None:
        next_step += "; spindle index gives a crystal, with which layers of its lattice are drawn"
    return ProgramResult(files=files, summary=summary, next_step=next_step)


def _from_indices(sweeps: list[Sweep], in_crystal_frame: bool) -> np.ndarray | None:
    """(3, 3) float64, 1/angstrom: from Miller indices to places in the volume; None where lattices stand in several ways, or there is none."""
    crystals = [s.crystal_of.crystal for s in sweeps if s.crystal_of is not None and s.crystal_of.crystal is not None]
    if not crystals or not (in_crystal_frame or len({id(c) for c in crystals}) == 1):
        return None
    return np.asarray(crystals[0].B if in_crystal_frame else crystals[0].A)


def _sweeps(experiments: Experiments, lattice: int) -> list[Sweep]:
    """The image sets, each with the experiment of the lattice that is wanted."""
    sweeps = []
    for i, experiment in enumerate(experiments):
        if experiment.imageset is None:
            raise UserError(f"rs_mapper: experiment {i} has no images; run spindle import")
    for images in experiments.unique("imageset"):
        members = [experiments[i] for i in experiments.indices_with("imageset", images)]
        with_crystal = [e for e in members if e.crystal is not None]
        of = with_crystal[lattice] if lattice < len(with_crystal) else None
        sweeps.append(Sweep(ImageSequence(members[0]), of))
    most = max(sum(e.crystal is not None and e.imageset is s.sequence.imageset for e in experiments) for s in sweeps)
    if lattice and lattice >= most:
        raise ParameterError(f"slices.lattice={lattice}: images have {most} lattices at most, counted from 0")
    return sweeps


def _wanted(sweeps: list[Sweep], params: Any) -> Wanted:
    """What is made, with all defaults settled."""
    p, q = params.rs_mapper, params.slices
    planes = planes_of(q.planes)
    have = [s.crystal_of is not None for s in sweeps]
    if p.crystal_frame and not all(have):
        raise ParameterError(
            f"rs_mapper.crystal_frame=True: image set {have.index(False)} has no crystal; run spindle index first"
        )
    if planes and not any(have):
        planes = []
    edges = []
    for sweep in sweeps[:100]:
        experiment: Experiment = sweep.sequence.experiment
        edges.append(experiment.detector.max_resolution(experiment.beam.s0))
    return Wanted(
        d_min=p.max_resolution or 6.0, n=p.grid_size or 192, is_reversed=bool(p.reverse_phi), ignores_mask=bool(p.ignore_mask),
        in_crystal_frame=p.crystal_frame, by_polarization=p.polarization, by_solid_angle=p.solid_angle, planes=tuple(planes),
        plane_d_min=q.d_min or min(edges), size=q.size if planes else 0, half=0.5 * q.thickness,
    )  # fmt: skip


def _draw_layers(
    wanted: Wanted, pictures: list[tuple[np.ndarray, np.ndarray]], lattice: Experiment | None, prefix: Path | None,
    files: dict[str, Callable[[Path], None]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Figures of the layers for the page; their files are added."""
    figures = []
    for plane, (sums, counts) in zip(wanted.planes, pictures, strict=True):
        assert lattice is not None and lattice.crystal is not None
        png = png_of(grey_levels(*filled(sums / np.maximum(counts, 1), counts > 0)))
        if prefix is not None:
            files[f"{prefix}_{plane.name}.png"] = png_writer(png)
        reach = 1 / wanted.plane_d_min
        marks = lattice_points(plane, lattice.crystal.A, reach)
        figures.append(section_figure(plane.name, png, reach, plane.axes, marks))
    return figures


def lattice_points(plane: Plane, A: np.ndarray, reach: float) -> np.ndarray:
    """(m, 2) float64, 1/angstrom: where the points of a layer lie in its picture, those nearest to the middle where there are many.

    Parameters
    ----------
    plane : Plane
    A : (3, 3) float64, 1/angstrom
    reach : float, 1/angstrom
    """
    cell = np.linalg.norm(np.linalg.inv(A), axis=1)
    most = [min(int(reach * cell[i]) + 1, 200) for i in plane.free]
    first, second = np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij")
    hkl = np.zeros((first.size, 3))
    hkl[:, plane.axis] = plane.level
    hkl[:, plane.free[0]], hkl[:, plane.free[1]] = first.ravel(), second.ravel()
    length = np.linalg.norm(hkl @ A.T, axis=1)
    inside = length <= reach
    order = np.argsort(length[inside], kind="stable")[:MOST_MARKS]
    return np.asarray(hkl[inside][order] @ plane.directions(A).T)


def _sections(means: np.ndarray, seen: np.ndarray, reach: float) -> list[dict[str, Any]]:
    """Three sections of the volume through its middle."""
    m = means.shape[0] // 2
    cuts = (
        ("z = 0", (slice(None), slice(None), m), ("x", "y")),
        ("x = 0", (m, slice(None), slice(None)), ("y", "z")),
        ("y = 0", (slice(None), m, slice(None)), ("x", "z")),
    )
    return [
        section_figure(title, png_of(grey_levels(means[cut].T, seen[cut].T)), reach, axes) for title, cut, axes in cuts
    ]


def _report(
    wanted: Wanted, means: np.ndarray, seen: np.ndarray, pictures: list[tuple[np.ndarray, np.ndarray]], context: RunContext
) -> None:  # fmt: skip
    """Print what was seen."""
    values = means[seen]
    rows: list[list[Any]] = [
        [
            "volume",
            f"{100 * seen.mean():.1f}",
            float(np.median(values)),
            float(np.quantile(values, 0.999)),
            float(values.max()),
        ]
    ]
    for plane, (sums, counts) in zip(wanted.planes, pictures, strict=True):
        inside = sums[counts > 0] / counts[counts > 0]
        told = (np.median(inside), np.quantile(inside, 0.999), inside.max()) if inside.size else (None, None, None)
        rows.append([plane.name, f"{100 * (counts > 0).mean():.1f}", *(None if v is None else float(v) for v in told)])
    headers = ["", "seen (%)", "median", "99.9 %", "largest"]
    context.table(Table("Mean counts of a pixel", headers, rows, "volume"))


def _title(experiments: Experiments) -> str:
    """What the page is called: the first images."""
    imageset = experiments[0].imageset
    assert imageset is not None
    name = imageset.template or (imageset.paths[0] if imageset.paths else "images")
    return f"Reciprocal space of {Path(name).name}"
