"""The flat parts of a detector: where they are in the image and in space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.errors import ParameterError
from spindle.params import Auto

from .instrument_params import DetectorParams
from .settings import BEAM, rotation

__all__ = ["Canvas", "Panels", "build_canvas", "build_panels", "of_custom_only"]

MODULE = (487, 195)  # pixels of a Pilatus module, fast and slow
GAP = (7, 17)  # insensitive pixels between modules
MODULES = {"300K": (1, 3), "1M": (2, 5), "2M": (3, 8), "6M": (5, 12)}
NAMES = {"300K": "PILATUS 300K", "1M": "PILATUS 1M", "2M": "PILATUS 2M", "6M": "PILATUS 6M"}
MOST_PIXELS = 100_000_000  # five times the largest detectors of today
MISPLACED_SEED = 20260101  # places of modules do not change with the seed of a run: the detector is the same


@dataclass(frozen=True, slots=True)
class Canvas:
    """The image with its modules.

    Attributes
    ----------
    name : str
        As image headers name the detector.
    modules : (int, int)
        Columns and rows.
    module_size, gap : (int, int)
        Pixels, fast and slow.
    centre : (2,) float64, px
        Where the beam meets the detector at two_theta 0, true.
    """

    name: str
    modules: tuple[int, int]
    module_size: tuple[int, int]
    gap: tuple[int, int]
    centre: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Pixels of the image, fast and slow."""
        nx, ny = (n * (m + g) - g for n, m, g in zip(self.modules, self.module_size, self.gap, strict=True))
        return nx, ny

    @property
    def pitch(self) -> tuple[int, int]:
        """Pixels from module to module."""
        return self.module_size[0] + self.gap[0], self.module_size[1] + self.gap[1]

    def gaps(self) -> np.ndarray:
        """(ny, nx) bool: pixels between modules."""
        nx, ny = self.size
        return np.asarray(
            (np.arange(ny)[:, None] % self.pitch[1] >= self.module_size[1])
            | (np.arange(nx)[None, :] % self.pitch[0] >= self.module_size[0])
        )


@dataclass(frozen=True, slots=True)
class Panels:
    """p flat panels.

    Attributes
    ----------
    frames : (p, 3, 3) float64, mm
        Rows fast, slow, origin (outer corner of the first pixel) of each in the laboratory.
    offset, size : (p, 2) int64, px
        First pixel in the image, and pixels, fast and slow.
    pixel_size : float, mm
    names : tuple of str
    """

    frames: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    pixel_size: float
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def normal(self, k: int) -> np.ndarray:
        """(3,) fast x slow of one panel."""
        return np.cross(self.frames[k, 0], self.frames[k, 1])

    def laboratory(self, k: int, xy: np.ndarray) -> np.ndarray:
        """Laboratory points (..., 3) in mm of pixel coordinates (..., 2) of panel k."""
        mm = np.asarray(xy) * self.pixel_size
        fast, slow, origin = self.frames[k]
        return np.asarray(origin + mm[..., :1] * fast + mm[..., 1:] * slow)

    def intersect(self, k: int, s1: np.ndarray) -> np.ndarray:
        """Pixel coordinates (n, 2) where rays (n, 3) meet panel k, also beyond its edges; nan where they go away."""
        fast, slow, origin = self.frames[k]
        normal = self.normal(k)
        toward = s1 @ normal
        distance = origin @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            path = np.where(toward * distance > 0, distance / toward, np.nan)
        relative = path[:, None] * s1 - origin
        return np.stack([relative @ fast, relative @ slow], axis=1) / self.pixel_size

    def locate(self, s1: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The panel that each ray meets, or comes nearest to.

        Parameters
        ----------
        s1 : (n, 3) float64

        Returns
        -------
        panel : (n,) int64
        xy : (n, 2) float64, px
            In the pixels of that panel; nan where no panel lies ahead.
        outside : (n,) float64, px
            How far outside the panel, 0 for within; inf where no panel lies ahead.
        """
        n = len(s1)
        panel, xy, outside = np.zeros(n, np.int64), np.full((n, 2), np.nan), np.full(n, np.inf)
        for k in range(len(self)):
            place = self.intersect(k, s1)
            beyond = np.maximum(np.maximum(-place, place - self.size[k]), 0.0).max(axis=1)
            nearer = np.where(np.isfinite(beyond), beyond, np.inf) < outside
            panel[nearer], xy[nearer], outside[nearer] = k, place[nearer], beyond[nearer]
        return panel, xy, outside

    def are_one_grid(self) -> bool:
        """Whether all lie in one plane, across the beam, as parts of one grid of pixels, as the image has them."""
        fast, slow = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
        if not (self.frames[:, :2] == np.stack([fast, slow])).all():
            return False
        corner = self.frames[:, 2] - self.pixel_size * (self.offset[:, :1] * fast + self.offset[:, 1:] * slow)
        return bool(np.ptp(corner, axis=0).max() <= 1e-9)

    def are_pilatus_modules(self) -> bool:
        """Whether the image is filled by modules of a Pilatus, each a panel."""
        pitch = np.array(MODULE) + GAP
        n = (self.offset + self.size).max(axis=0) // pitch + 1
        return bool((self.size == MODULE).all() and (self.offset % pitch == 0).all() and len(self.size) == n.prod())

    def turned(self, matrix: np.ndarray) -> Panels:
        """The same panels after a rotation about the crystal."""
        return replace(self, frames=self.frames @ matrix.T)

    def corners(self, k: int) -> np.ndarray:
        """(4, 2) px of panel k."""
        nx, ny = self.size[k]
        return np.array([[0, 0], [nx, 0], [0, ny], [nx, ny]], float)


def of_custom_only(p: DetectorParams) -> list[str]:
    """Names of what is given for modules of one's own, where a model with modules of its own is chosen."""
    regular = DetectorParams()
    given = ("image_size", "modules", "gap")
    return (
        []
        if p.model == "custom"
        else [name for name in given if tuple(getattr(p, name)) != tuple(getattr(regular, name))]
    )


def build_canvas(p: DetectorParams) -> Canvas:
    """The image that the parameters describe."""
    if p.model == "custom":
        module, modules, gap = tuple(int(v) for v in p.image_size), p.modules, p.gap
        if min(*module, *modules) < 1 or min(gap) < 0:
            raise ParameterError("detector: image_size and modules must be at least 1, gap at least 0")
    else:
        module, modules, gap = MODULE, MODULES[p.model], GAP
    canvas = Canvas("", modules, module, gap, np.zeros(2))  # type: ignore[arg-type]
    nx, ny = canvas.size
    if float(nx) * float(ny) > MOST_PIXELS:
        raise ParameterError(
            f"detector: {nx} x {ny} pixels are more than {MOST_PIXELS:g}; give a smaller image_size or fewer modules"
        )
    centre = np.array([0.505 * nx, 0.515 * ny]) if p.beam_centre is Auto else np.array(p.beam_centre)
    return Canvas(NAMES.get(p.model, f"PILATUS {nx}x{ny}"), modules, module, gap, centre)  # type: ignore[arg-type]


def build_panels(p: DetectorParams, canvas: Canvas) -> tuple[Panels, Panels]:
    """True panels, and panels as the headers have them, both at two_theta 0.

    The headers lack the tilt, have distance and beam centre with their errors, and do not know what `_displaced` does: where it moves
    modules, each of them is a true panel, also when the headers have one panel for all.
    """
    local, offset, size, names = _local_frames(p, canvas, p.panels)
    if p.misplaced > 0:
        local = _misplaced(local, size, p)
    true, true_offset, true_size, true_names = local, offset, size, names
    if p.module_shift > 0 or p.module_turn > 0:
        if p.panels != "modules" and p.shape != "flat":
            raise ParameterError(f"detector.module_shift: modules of shape={p.shape} move with detector.panels=modules")
        if p.panels != "modules":
            true, true_offset, true_size, true_names = _local_frames(p, canvas, "modules")
        true = _displaced(true, true_size, p)
    # fast, slow, normal; the beam meets the detector at the true beam centre and distance, however it is tilted
    regular = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    basis = regular
    for axis, angle in zip(regular, np.radians(p.tilt), strict=True):
        turn = rotation(axis, angle)
        basis = np.stack([turn @ v for v in basis])
    if basis[2] @ BEAM <= 0:
        raise ParameterError(f"detector.tilt={p.tilt}: the detector would look away from the crystal")
    error = np.array([*p.beam_centre_error, 0.0])
    known = _placed(
        local - np.array([np.zeros(3), np.zeros(3), error]), regular, p.distance + p.distance_error, p.pixel_size
    )
    return (
        Panels(_placed(true, basis, p.distance, p.pixel_size), true_offset, true_size, p.pixel_size, true_names),
        Panels(known, offset, size, p.pixel_size, names),
    )


def _placed(local: np.ndarray, basis: np.ndarray, distance: float, pixel: float) -> np.ndarray:
    """Laboratory frames (p, 3, 3) of frames in pixels about the point where the beam meets the detector."""
    out = np.empty_like(local)
    for k, rows in enumerate(local):
        vectors = [row[0] * basis[0] + row[1] * basis[1] + row[2] * basis[2] for row in rows]
        out[k] = vectors[0], vectors[1], distance * BEAM + pixel * vectors[2]
    return out


def _local_frames(
    p: DetectorParams, canvas: Canvas, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Rows fast, slow, origin (px) of each panel along the detector's fast, slow and normal, from the beam centre.

    Returns frames (p, 3, 3), first pixels (p, 2), sizes (p, 2), and names.
    """
    blocks = _blocks(p, canvas, kind)
    frames = []
    for x, y, _, height in blocks:
        left, top = x - canvas.centre[0], y - canvas.centre[1]
        if p.shape == "cylinder":
            radius = p.distance / p.pixel_size
            step = 2 * np.arctan(0.5 * canvas.pitch[1] / radius)
            angle = (top + 0.5 * height) / canvas.pitch[1] * step
            slow = np.array([0.0, np.cos(angle), -np.sin(angle)])
            middle = radius * np.array([0.0, np.sin(angle), np.cos(angle) - 1.0])
            origin = middle + np.array([left, 0.0, 0.0]) - 0.5 * height * slow
        elif p.shape == "arm" and y >= (hinge := _hinge(p, canvas)):
            angle = np.radians(p.arm_angle)
            slow = np.array([0.0, np.cos(angle), -np.sin(angle)])
            origin = np.array([left, hinge - canvas.centre[1], 0.0]) + (y - hinge) * slow
        else:
            slow, origin = np.array([0.0, 1.0, 0.0]), np.array([left, top, 0.0])
        frames.append(np.stack([[1.0, 0.0, 0.0], slow, origin]))
    table = np.array(blocks, np.int64)
    names = tuple(f"panel_{k}" for k in range(len(blocks)))
    return np.stack(frames), table[:, :2], table[:, 2:], names


def _hinge(p: DetectorParams, canvas: Canvas) -> float:
    """Row of pixels, in the gap, at which the arm begins."""
    if p.arm_rows >= canvas.modules[1]:
        raise ParameterError(
            f"detector.arm_rows={p.arm_rows}: the detector has {canvas.modules[1]} row(s) of modules, and one at least "
            "must be left; set detector.modules= or another model"
        )
    return (canvas.modules[1] - p.arm_rows) * canvas.pitch[1] - 0.5 * canvas.gap[1]


def _blocks(p: DetectorParams, canvas: Canvas, kind: str) -> list[tuple[int, int, int, int]]:
    """First pixel and size of each panel in the image: x, y, width, height; ``kind`` as the parameter panels."""
    nx, ny = canvas.size
    columns, rows = canvas.modules
    step_x, step_y = canvas.pitch
    if kind == "modules":
        width, height = canvas.module_size
        return [(x * step_x, y * step_y, width, height) for y in range(rows) for x in range(columns)]
    if p.shape == "cylinder":
        return [(0, y * step_y, nx, canvas.module_size[1]) for y in range(rows)]
    if p.shape == "arm":
        _hinge(p, canvas)
        first = (rows - p.arm_rows) * step_y
        return [(0, 0, nx, first - canvas.gap[1]), (0, first, nx, ny - first)]
    return [(0, 0, nx, ny)]


def _misplaced(local: np.ndarray, size: np.ndarray, p: DetectorParams) -> np.ndarray:
    """Each panel shifted, and turned about its middle by as much as moves its edge by that."""
    rng = np.random.default_rng(MISPLACED_SEED)
    out = local.copy()
    for k, (fast, slow, origin) in enumerate(local):
        middle = origin + 0.5 * size[k, 0] * fast + 0.5 * size[k, 1] * slow
        shift = rng.normal(0.0, p.misplaced / p.pixel_size, 3)
        angles = rng.normal(0.0, 2 * p.misplaced / (p.pixel_size * size[k].max()), 3)
        turn = rotation(np.array([1.0, 0, 0]), angles[0]) @ rotation(np.array([0, 1.0, 0]), angles[1])
        turn = turn @ rotation(np.array([0, 0, 1.0]), angles[2])
        out[k] = turn @ fast, turn @ slow, middle + shift + turn @ (origin - middle)
    return out


def _displaced(local: np.ndarray, size: np.ndarray, p: DetectorParams) -> np.ndarray:
    """Each module shifted and turned in its own plane."""
    rng = np.random.default_rng(MISPLACED_SEED + 1)
    out = local.copy()
    for k, (fast, slow, origin) in enumerate(local):
        shift = rng.normal(0.0, 1.0, 2) * p.module_shift
        middle = origin + 0.5 * size[k, 0] * fast + 0.5 * size[k, 1] * slow
        turn = rotation(np.cross(fast, slow), np.radians(rng.normal(0.0, 1.0) * p.module_turn))
        out[k] = turn @ fast, turn @ slow, middle + shift[0] * fast + shift[1] * slow + turn @ (origin - middle)
    return out
