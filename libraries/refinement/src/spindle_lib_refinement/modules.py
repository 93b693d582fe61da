"""How far the modules of a detector are displaced from the places that its model gives them, learned from residuals.

Each module is moved along fast and slow and turned about its middle, in its own plane. Displacements are fitted robustly, module by
module, and pulled towards zero as far as their errors could have made them (empirical Bayes): a module with few spots stays where it
is. Whether anything is learned is decided by spots that were left out.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spindle.models import Detector, Distortion

if TYPE_CHECKING:
    from spindle.models import Panel

__all__ = [
    "Displacements",
    "Gain",
    "ModuleGrid",
    "as_panels",
    "fit_displacements",
    "gain_of",
    "module_grid",
    "pulled",
    "with_displacements",
    "without_common_motion",
]

#: Module and gap in pixels, fast and slow, of detectors whose models have no gaps (Dectris user manuals: Pilatus; Eiger 2; Eiger).
KNOWN = (((487, 195), (7, 17)), ((1028, 512), (12, 38)), ((1030, 514), (10, 37)))
#: A position beyond a module by as much as a gap belongs to the map of its nearest module; gaps are narrower than twice this, px.
MARGIN = 20
#: Residuals beyond this many standard deviations have no weight (Tukey's biweight, 95 % efficient: 4.685).
TUKEY = 4.685
#: Maps are kept to this many decimals, px, which makes their files small.
DECIMALS = 3
ITERATIONS = 8


@dataclass(frozen=True, slots=True)
class ModuleGrid:
    """The modules of a detector.

    Attributes
    ----------
    panel : (m,) int64
    box : (m, 4) int64, px
        First fast, first slow, last fast, last slow, half open.
    """

    panel: np.ndarray
    box: np.ndarray

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def centre(self) -> np.ndarray:
        """(m, 2) float64, px: the middles."""
        return np.asarray(0.5 * (self.box[:, :2] + self.box[:, 2:]))

    def find(self, panel: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Module (n,) in which positions (n, 2) on panels (n,) lie; -1 for none."""
        found = np.full(len(panel), -1, np.int64)
        for k in range(len(self)):
            inside = (panel == self.panel[k]) & (xy >= self.box[k, :2]).all(axis=1) & (xy < self.box[k, 2:]).all(axis=1)
            found[inside] = k
        return found


@dataclass(frozen=True, slots=True)
class Displacements:
    """Where the modules really are.

    Attributes
    ----------
    grid : ModuleGrid
    moves : (m, 3) float64
        Along fast and slow in pixels, and the turn about the middle in radians, from fast to slow.
    variances : (m, 3) float64
        Of what was fitted, before the pull towards zero.
    """

    grid: ModuleGrid
    moves: np.ndarray
    variances: np.ndarray

    def at(self, module: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Displacements (n, 2) in px of positions (n, 2) on modules (n,)."""
        out: np.ndarray = _displaced(self.moves[module], xy - self.grid.centre[module])
        return out

    def plus(self, more: Displacements) -> Displacements:
        """Both together, which are small."""
        return replace(self, moves=self.moves + more.moves, variances=more.variances)

    @property
    def rms(self) -> float:
        """Root mean square of the displacements of corners, px."""
        half = 0.5 * (self.grid.box[:, 2:] - self.grid.box[:, :2])
        corners = [_displaced(self.moves, half * signs) for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1])]
        return float(np.sqrt(np.mean([(c * c).sum(axis=1).mean() / 2 for c in corners])))


def _displaced(moves: np.ndarray, from_centre: np.ndarray) -> np.ndarray:
    turn = moves[..., 2]
    return moves[..., :2] + np.stack([-turn * from_centre[..., 1], turn * from_centre[..., 0]], axis=-1)


@dataclass(frozen=True, slots=True)
class Gain:
    """What spots that were left out say of displacements.

    Attributes
    ----------
    before, after : float, px
        Root mean square of their residuals in one direction, without and with the displacements.
    significance : float
        Mean decrease of the squared residual over its standard error.
    n : int
        Spots.
    """

    before: float
    after: float
    significance: float
    n: int


def module_grid(detector: Detector, n_modules: tuple[int, int] | None = None) -> ModuleGrid:
    """Return the modules of a detector: parts of its panels between strips without pixels.

    The strips are those that a panel's model masks from edge to edge. Panels that mask none are divided as the Pilatus or Eiger of
    their size is; others are one module.

    Parameters
    ----------
    detector : Detector
    n_modules : (int, int), optional
        Equal modules along fast and slow of panels that mask no strips, whatever their size.
    """
    panels, boxes = [], []
    for number, panel in enumerate(detector):
        fast, slow = _intervals(panel, 0), _intervals(panel, 1)
        if len(fast) * len(slow) == 1:
            fast, slow = _divided(panel, n_modules) if n_modules else _known(panel) or (fast, slow)
        boxes += [(f0, s0, f1, s1) for s0, s1 in slow for f0, f1 in fast]
        panels += [number] * (len(fast) * len(slow))
    return ModuleGrid(np.array(panels, np.int64), np.array(boxes, np.int64).reshape(-1, 4))


def _intervals(panel: Panel, axis: int) -> list[tuple[int, int]]:
    """What strips from edge to edge leave of a panel along fast (0) or slow (1)."""
    n, other = panel.image_size[axis], panel.image_size[1 - axis]
    live = np.ones(n + 2, bool)
    live[[0, -1]] = False
    for box in panel.mask:
        if box[1 - axis] <= 0 and box[3 - axis] >= other:
            live[max(box[axis], 0) + 1 : max(box[axis + 2], 0) + 1] = False
    edges = np.flatnonzero(np.diff(live.astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _divided(panel: Panel, n_modules: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Equal intervals along fast and slow, in whole pixels."""
    edges = [np.rint(np.linspace(0, panel.image_size[i], n_modules[i] + 1)).astype(int).tolist() for i in (0, 1)]
    return list(pairwise(edges[0])), list(pairwise(edges[1]))


def _known(panel: Panel) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
    for module, gap in KNOWN:
        counts = [divmod(panel.image_size[i] + gap[i], module[i] + gap[i]) for i in (0, 1)]
        if all(n > 0 and rest == 0 for n, rest in counts):
            starts = [[k * (module[i] + gap[i]) for k in range(counts[i][0])] for i in (0, 1)]
            return [(s, s + module[0]) for s in starts[0]], [(s, s + module[1]) for s in starts[1]]
    return None


def fit_displacements(grid: ModuleGrid, module: np.ndarray, xy: np.ndarray, residuals: np.ndarray) -> Displacements:
    """Fit the displacement of each module.

    Parameters
    ----------
    grid : ModuleGrid
    module : (n,) int64
        Of each spot.
    xy : (n, 2) float64, px
        Where the spots are predicted.
    residuals : (n, 2) float64, px
        Observed minus predicted.

    Returns
    -------
    Displacements
        Zero for modules without enough spots.
    """
    m = len(grid)
    place = xy - grid.centre[module]
    weights = np.ones(len(module))
    moves, inverse = np.zeros((m, 3)), np.zeros((m, 3, 3))
    variance = 0.0
    for _ in range(ITERATIONS):
        moves, inverse = _least_squares(m, module, place, residuals, weights)
        left = residuals - _displaced(moves[module], place)
        scale = 1.4826 * np.median(np.abs(left))
        if scale == 0:
            break
        u = np.hypot(left[:, 0], left[:, 1]) / (TUKEY * scale)
        weights = np.where(u < 1, (1 - u * u) ** 2, 0.0)
        n_effective = max(2 * np.count_nonzero(weights > 0) - 3 * m, 1)
        variance = float((weights * (left * left).sum(axis=1)).sum() / n_effective)
    variances = variance * np.diagonal(inverse, axis1=1, axis2=2)
    return pulled(Displacements(grid, moves, variances))


def pulled(displacements: Displacements) -> Displacements:
    """Displacements pulled towards zero as far as their errors could have made them; zero where nothing is known."""
    moves, variances = displacements.moves.copy(), displacements.variances
    known = variances[:, 0] > 0
    for columns in ([0, 1], [2]):
        true = (
            max(float((moves[known][:, columns] ** 2 - variances[known][:, columns]).mean()), 0.0)
            if known.any()
            else 0.0
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            pull = np.where(known[:, None], true / (true + variances[:, columns]), 0.0)
        moves[:, columns] *= np.nan_to_num(pull)
    return replace(displacements, moves=moves)


def without_common_motion(displacements: Displacements, weights: np.ndarray) -> Displacements:
    """The same less what all modules of a flat detector have in common, which is its place: a shift and a turn.

    Parameters
    ----------
    displacements : Displacements
    weights : (m,) float64
        Spots of each module; what is taken away makes their mean squared displacement least.
    """
    grid, moves = displacements.grid, displacements.moves.copy()
    x, y = grid.centre.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    columns = np.concatenate([np.stack([one, zero, -y], axis=1), np.stack([zero, one, x], axis=1)])
    root = np.sqrt(np.tile(weights, 2))
    common = np.linalg.lstsq(columns * root[:, None], moves[:, :2].T.reshape(-1) * root, rcond=None)[0]
    moves[:, :2] -= (columns @ common).reshape(2, -1).T
    moves[:, 2] -= common[2]
    return replace(displacements, moves=moves)


def as_panels(detector: Detector, displacements: Displacements) -> Detector:
    """A detector with a panel for each module, where it really is; distortions that the panels have stay theirs."""
    grid = displacements.grid
    panels = []
    for k, (number, (f0, s0, f1, s1)) in enumerate(zip(grid.panel.tolist(), grid.box.tolist(), strict=True)):
        panel = detector[number]
        (dx, dy, turn), size = displacements.moves[k], panel.pixel_size
        # What is seen at a larger position lies on a module that was moved and turned the other way.
        fast = np.cos(turn) * panel.fast_axis - np.sin(turn) * panel.slow_axis
        slow = np.cos(turn) * panel.slow_axis + np.sin(turn) * panel.fast_axis
        middle = (grid.centre[k] - (dx, dy)) * size
        half = 0.5 * np.array([f1 - f0, s1 - s0]) * size
        origin = (
            panel.origin + middle[0] * panel.fast_axis + middle[1] * panel.slow_axis - half[0] * fast - half[1] * slow
        )
        lens = panel.distortion
        cut = None if lens is None else Distortion(_Cut(lens, (s0, s1, f0, f1)), f"{lens.name} {k}")
        panels.append(
            replace(
                panel,
                name=f"module {k}",
                fast_axis=fast,
                slow_axis=slow,
                origin=origin,
                image_size=(f1 - f0, s1 - s0),
                mask=(),
                distortion=cut,
            )
        )
    return Detector(panels)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Makes the part of maps that belongs to a module."""

    of: Distortion
    part: tuple[int, int, int, int]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        s0, s1, f0, f1 = self.part
        dx, dy = self.of.maps
        return dx[s0:s1, f0:f1], dy[s0:s1, f0:f1]


def _least_squares(
    m: int, module: np.ndarray, place: np.ndarray, residuals: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moves (m, 3) and inverse normal matrices (m, 3, 3); zero where a module has too few spots."""

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(module, weights * values, minlength=m)

    x, y = place.T
    n, sx, sy, square = summed(np.ones(len(x))), summed(x), summed(y), summed(x * x + y * y)
    normal = np.zeros((m, 3, 3))
    normal[:, 0, 0] = normal[:, 1, 1] = n
    normal[:, 0, 2] = normal[:, 2, 0] = -sy
    normal[:, 1, 2] = normal[:, 2, 1] = sx
    normal[:, 2, 2] = square
    right = np.stack(
        [summed(residuals[:, 0]), summed(residuals[:, 1]), summed(residuals[:, 1] * x - residuals[:, 0] * y)], axis=1
    )
    spread = square - (sx * sx + sy * sy) / np.maximum(n, 1e-12)
    enough = (n >= 3) & (spread > 1.0)
    moves, inverse = np.zeros((m, 3)), np.zeros((m, 3, 3))
    inverse[enough] = np.linalg.inv(normal[enough])
    moves[enough] = np.einsum("mij,mj->mi", inverse[enough], right[enough])
    return moves, inverse


def gain_of(grid: ModuleGrid, module: np.ndarray, xy: np.ndarray, residuals: np.ndarray, seed: int = 0) -> Gain:
    """Fit the displacements to each half of the spots and try them on the other; arguments as of `fit_displacements`."""
    half = np.random.default_rng(seed).permutation(len(module)) % 2 == 0
    gains, before, after = [], [], []
    for fitted, left_out in ((half, ~half), (~half, half)):
        found = fit_displacements(grid, module[fitted], xy[fitted], residuals[fitted])
        old = residuals[left_out]
        new = old - found.at(module[left_out], xy[left_out])
        squares = (old * old).sum(axis=1), (new * new).sum(axis=1)
        limit = (TUKEY * 1.4826 * np.median(np.abs(old))) ** 2
        inner = np.minimum(*squares) <= limit
        gains.append((squares[0] - squares[1])[inner])
        before.append(squares[0][inner])
        after.append(squares[1][inner])
    gain = np.concatenate(gains)
    if len(gain) < 2:
        return Gain(0.0, 0.0, 0.0, len(gain))
    error = float(gain.std()) / np.sqrt(len(gain))
    rms = [float(np.sqrt(np.concatenate(values).mean() / 2)) for values in (before, after)]
    return Gain(rms[0], rms[1], float(gain.mean()) / error if error > 0 else 0.0, len(gain))


@dataclass(frozen=True, slots=True)
class _ModuleMap:
    """Makes the maps dx and dy of one panel: those that it had, and the displacements of its modules."""

    before: Distortion | None
    displacements: Displacements
    panel: int
    size: tuple[int, int]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        nx, ny = self.size
        maps = np.zeros((2, ny, nx))
        grid = self.displacements.grid
        own = np.flatnonzero(grid.panel == self.panel)
        reach = _reach(grid.box[own], self.size)
        for with_margin in (True, False):
            for k, (left, top, right, bottom) in zip(own.tolist(), reach.tolist(), strict=True):
                x0, y0, x1, y1 = (left, top, right, bottom) if with_margin else grid.box[k].tolist()
                x, y = np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5
                (dx, dy, turn), (cx, cy) = self.displacements.moves[k], grid.centre[k]
                maps[0, y0:y1, x0:x1] = np.round(dx - turn * (y - cy), DECIMALS)[:, None]
                maps[1, y0:y1, x0:x1] = np.round(dy + turn * (x - cx), DECIMALS)
        if self.before is not None:
            maps += np.stack(self.before.maps)
        return maps[0], maps[1]


def _reach(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(m, 4) int64: boxes of modules with the pixels beyond their edges to which they are nearest, and as far as `MARGIN`."""
    out = boxes.copy()
    for k, box in enumerate(boxes):
        for axis in (0, 1):
            facing = (boxes[:, 1 - axis] < box[3 - axis]) & (boxes[:, 3 - axis] > box[1 - axis])
            before = (box[axis] - boxes[facing & (boxes[:, axis + 2] <= box[axis]), axis + 2]).min(initial=2 * MARGIN)
            after = (boxes[facing & (boxes[:, axis] >= box[axis + 2]), axis] - box[axis + 2]).min(initial=2 * MARGIN)
            out[k, axis] = max(box[axis] - before // 2, 0)
            out[k, axis + 2] = min(box[axis + 2] + (after + 1) // 2, size[axis])
    return out


def with_displacements(detector: Detector, displacements: Displacements) -> Detector:
    """Return the detector with maps of distortion that hold the displacements, added to the maps that it has."""
    panels = []
    for number, panel in enumerate(detector):
        old = panel.distortion
        made = _ModuleMap(old, displacements, number, panel.image_size)
        name = f"{'' if old is None else old.name} modules {zlib.crc32(displacements.moves.tobytes()):08x}".strip()
        panels.append(replace(panel, distortion=Distortion(made, name)))
    return detector.replace_panels(panels)
