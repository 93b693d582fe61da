"""The task: blocks of images into voxels and layers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spindle.geometry import polarisation_factor
from spindle.images import ImageSequence, trusted_mask
from spindle.models import Experiment, Panel

from .kernels import BRICK, add_to_bricks, add_to_plane, pixels_within
from .planes import Plane

__all__ = ["Block", "Frame", "Gather", "Gathered", "Sweep", "Wanted", "blocks_of"]

IMAGES_PER_BLOCK = 20
MOST_BLOCKS = 48
#: Bricks that a block of images begins with; they are doubled when they do not suffice.
FIRST_BRICKS = 256
#: Parallax moves pixels by less than this part of the scattering vector.
MARGIN = 1.02
#: Pixels whose places are worked out at a time.
CHUNK = 500_000


@dataclass(frozen=True)
class Sweep:
    """Images that belong together, and what turns them.

    Attributes
    ----------
    sequence : ImageSequence
    crystal_of : Experiment or None
        The experiment whose crystal layers are drawn of.
    """

    sequence: ImageSequence
    crystal_of: Experiment | None


@dataclass(frozen=True)
class Frame:
    """One image: of which sweep, and which of its images."""

    sweep: int
    index: int


@dataclass(frozen=True)
class Block:
    """Images that share detector and beam."""

    frames: tuple[Frame, ...]

    def __repr__(self) -> str:
        first = self.frames[0]
        return f"{len(self.frames)} images from image {first.index + 1} of set {first.sweep} on"


@dataclass(frozen=True)
class Wanted:
    """What is made of images.

    Attributes
    ----------
    d_min : float, angstrom
        Where the volume ends.
    n : int
        Voxels along an edge.
    is_reversed, ignores_mask, in_crystal_frame, by_polarization, by_solid_angle : bool
    planes : tuple of Plane
    plane_d_min : float, angstrom
        Where their pictures end.
    size : int
        Points along an edge of a picture.
    half : float
        Half the thickness of a layer.
    """

    d_min: float
    n: int
    is_reversed: bool = False
    ignores_mask: bool = False
    in_crystal_frame: bool = False
    by_polarization: bool = False
    by_solid_angle: bool = False
    planes: tuple[Plane, ...] = ()
    plane_d_min: float = 0.0
    size: int = 0
    half: float = 0.05

    @property
    def scale(self) -> float:
        """Voxels for each 1/angstrom."""
        return 0.5 * self.d_min * self.n

    @property
    def plane_scale(self) -> float:
        """Points of a picture for each 1/angstrom."""
        return 0.5 * self.plane_d_min * self.size

    @property
    def largest(self) -> float:
        """Length of the longest scattering vector that matters, 1/angstrom."""
        return max(1.0 / self.d_min, 1.0 / self.plane_d_min if self.planes else 0.0)


@dataclass
class Gathered:
    """Sums of a block of images.

    Attributes
    ----------
    places : (k, 3) int32
        Of the bricks.
    sums, counts : (k, BRICK**3) float64 and int32
    pictures : list of ((size, size) float64, (size, size) int32)
        Sums and counts of each layer.
    """

    places: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    pictures: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def blocks_of(sweeps: list[Sweep]) -> list[Block]:
    """Cut the images of all sweeps into tasks, however many workers there are."""
    runs: list[list[Frame]] = []
    before: tuple[int, int] | None = None
    for number, sweep in enumerate(sweeps):
        models = id(sweep.sequence.experiment.detector), id(sweep.sequence.experiment.beam)
        if models != before:
            runs.append([])
            before = models
        runs[-1] += [Frame(number, i) for i in range(sweep.sequence.n_images)]
    per_block = max(IMAGES_PER_BLOCK, -(-sum(map(len, runs)) // MOST_BLOCKS))
    return [Block(tuple(run[i : i + per_block])) for run in runs for i in range(0, len(run), per_block)]


@dataclass(frozen=True)
class _Pixels:
    """The pixels of a panel that matter: flat numbers, scattering vectors, what values are divided by, how many are of the volume."""

    number: np.ndarray
    q: np.ndarray
    factor: np.ndarray
    n_volume: int


@dataclass(frozen=True)
class Gather:
    """Adds the images of a block up."""

    sweeps: tuple[Sweep, ...]
    wanted: Wanted

    def __call__(self, block: Block) -> Gathered:
        wanted = self.wanted
        edge = -(-wanted.n // BRICK)
        table = np.full((edge, edge, edge), -1, np.int32)
        sums = np.empty((FIRST_BRICKS, BRICK**3), np.float64)
        counts = np.empty((FIRST_BRICKS, BRICK**3), np.int32)
        used = np.zeros(1, np.int64)
        shape = (wanted.size, wanted.size)
        pictures = [(np.zeros(shape), np.zeros(shape, np.int32)) for _ in wanted.planes]
        detector = self.sweeps[block.frames[0].sweep].sequence.experiment.detector
        pixels = self._pixels(self.sweeps[block.frames[0].sweep].sequence.experiment)
        counts_of = [np.empty(p.image_size[::-1], np.float32) for p in detector]
        goods = [np.ones(p.image_size[::-1], np.bool_) for p in detector]
        panels: list[np.ndarray] | None = None
        for frame in block.frames:
            sweep = self.sweeps[frame.sweep]
            sequence = sweep.sequence
            panels = sequence.read(frame.index, panels)
            to_volume, to_hkl = self._turns(sweep, frame.index)
            for k, panel in enumerate(detector):
                one = pixels[k]
                if not len(one.number):
                    continue
                if not wanted.ignores_mask:
                    trusted_mask(panels[k], sequence.masks[k], *panel.trusted_range, out=goods[k])
                sequence.corrections[k].apply(panels[k], counts_of[k])
                values, good = counts_of[k].ravel(), goods[k].ravel().view(np.uint8)
                number, q = one.number[: one.n_volume], one.q[: one.n_volume]
                done = 0
                while True:
                    done = add_to_bricks(
                        values, good, number, q, one.factor, to_volume, wanted.scale, wanted.n, table, sums, counts, used, done
                    )  # fmt: skip
                    if done == len(number):
                        break
                    sums = np.concatenate([sums, np.empty_like(sums)])
                    counts = np.concatenate([counts, np.empty_like(counts)])
                if to_hkl is None:
                    continue
                A = self._mean_lattice(sweep)
                for plane, (plane_sums, plane_counts) in zip(wanted.planes, pictures, strict=True):
                    add_to_plane(
                        values, good, one.number, one.q, one.factor, to_hkl, plane.axis, float(plane.level), wanted.half,
                        plane.directions(A), wanted.plane_scale, plane_sums, plane_counts,
                    )  # fmt: skip
        n = int(used[0])
        places = np.argwhere(table >= 0).astype(np.int32)
        order = table[tuple(places.T)]
        return Gathered(places, sums[:n][order], counts[:n][order], pictures)

    def _turns(self, sweep: Sweep, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """From the laboratory to the volume, and to indices, of the middle of an image."""
        experiment = sweep.sequence.experiment
        goniometer, scan = experiment.goniometer, experiment.scan
        turn = np.eye(3)
        z = 0.0
        if goniometer is not None:
            phi = 0.0
            if scan is not None and not scan.is_still:
                z = scan.array_range[0] + index + 0.5
                phi = float(scan.angle_from_array_index(z))
            turn = goniometer.rotation(-phi if self.wanted.is_reversed else phi).T
        crystal = None if sweep.crystal_of is None else sweep.crystal_of.crystal
        to_hkl = None
        if crystal is not None:
            A = crystal.A
            points = crystal.A_at_scan_points
            if points is not None and scan is not None and len(points) == scan.n_images + 1:
                A = 0.5 * (points[index] + points[index + 1])
            to_hkl = np.linalg.inv(A) @ turn
            if self.wanted.in_crystal_frame:
                turn = crystal.U.T @ turn
        return np.ascontiguousarray(turn), None if to_hkl is None else np.ascontiguousarray(to_hkl)

    @staticmethod
    def _mean_lattice(sweep: Sweep) -> np.ndarray:
        assert sweep.crystal_of is not None and sweep.crystal_of.crystal is not None
        return sweep.crystal_of.crystal.A

    def _pixels(self, experiment: Experiment) -> list[_Pixels]:
        """The pixels within the resolution, panel by panel; those of the volume first."""
        wanted, detector, s0 = self.wanted, experiment.detector, np.array(experiment.beam.s0)
        wave = float(np.linalg.norm(s0))
        found = []
        for k, panel in enumerate(detector):
            fast, slow = panel.image_size
            numbers = np.empty(fast * slow, np.int32)
            shape = np.array([slow, fast])
            n = pixels_within(panel.d, panel.pixel_size, shape, s0, MARGIN * wanted.largest, numbers)
            parts = []
            for begin in range(0, n, CHUNK):
                number = numbers[begin : min(begin + CHUNK, n)]
                lab = detector.lab_coordinate_of_pixel(k, np.column_stack([number % fast + 0.5, number // fast + 0.5]))
                length = np.linalg.norm(lab, axis=1)
                s1 = lab * (wave / length)[:, None]
                q = s1 - s0
                square = np.einsum("ij,ij->i", q, q)
                keep = square <= wanted.largest**2
                factor = self._factor(experiment, panel, s1[keep], length[keep])
                parts.append((number[keep], q[keep].astype(np.float32), factor, square[keep] <= wanted.d_min**-2))
            if not parts:
                parts = [(numbers[:0], np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(0, np.bool_))]
            number, q, factor, inner = (np.concatenate(part) for part in zip(*parts, strict=True))
            order = np.argsort(~inner, kind="stable")
            has_factor = len(factor) > 0
            found.append(
                _Pixels(number[order], q[order], factor[order] if has_factor else factor, int(np.count_nonzero(inner)))
            )
        return found

    def _factor(self, experiment: Experiment, panel: Panel, s1: np.ndarray, length: np.ndarray) -> np.ndarray:
        """(m,) float32: what values are divided by; (0,) for nothing."""
        if not (self.wanted.by_polarization or self.wanted.by_solid_angle):
            return np.zeros(0, np.float32)
        beam = experiment.beam
        factor = np.ones(len(s1))
        if self.wanted.by_polarization:
            factor *= polarisation_factor(beam.s0, s1, beam.polarization_normal, beam.polarization_fraction)
        if self.wanted.by_solid_angle:
            # Of a pixel hit at a right angle at the distance of the panel: cos^3 of the angle to the normal.
            cosine = np.abs(s1 @ panel.normal) * beam.wavelength
            factor *= cosine * (abs(panel.directed_distance) / length) ** 2
        return factor.astype(np.float32)
