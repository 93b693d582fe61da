"""Cells: sets of reflections that see the same state of every model."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from spindle.models import Experiments

from .model_block import ModelBlock


class ModelTables(NamedTuple):
    """Models of the cells and of the panels, derivatives with respect to their local parameters, and changes within the cells; see `kernels`."""

    A: np.ndarray
    s0: np.ndarray
    S: np.ndarray
    F: np.ndarray
    axis: np.ndarray
    D: np.ndarray
    dA: np.ndarray
    ds0: np.ndarray
    dS: np.ndarray
    dD: np.ndarray
    A_slope: np.ndarray
    s0_slope: np.ndarray
    S_slope: np.ndarray
    D_slope: np.ndarray


class LaidOut(Protocol):
    """What a layout needs of a problem; see `spindle_refiner_centroid.problem.Problem`."""

    experiments: Experiments
    settings: Any
    stills: bool
    blocks: list[ModelBlock]
    group_of_panel: dict[int, np.ndarray]
    number: np.ndarray


class Layout:
    """Cells of a problem and the way from their local parameters to the refined ones.

    Parameters
    ----------
    problem : LaidOut
    per_image : bool
        One cell per image for predictions, whatever ``compose_model_per`` says.

    Attributes
    ----------
    first, count : (n_experiments,) int64
        First cell and number of blocks of images of each experiment; each block has one cell per group of panels.
    position : (c,) float64
        Array index at the centre of each cell.
    width : (c,) float64
        Number of images of each cell.
    sloped : (v,) int64
        Local parameters that vary with the scan: their changes over a cell are local parameters, too, the last ones.
    index : (c, k, m) int64, weight : (c, k, m) float64
        Refined parameters that make up each local one, and the derivatives.

    """

    def __init__(self, problem: LaidOut, per_image: bool = False) -> None:
        self.problem = problem
        experiments = problem.experiments
        varying = {i for b in problem.blocks if b.smoother is not None for i in b.experiments}
        self.n_groups = [int(problem.group_of_panel[id(e.detector)].max()) + 1 for e in experiments]
        scope = problem.settings.parameterisation
        count, positions, owner, groups, widths = [], [], [], [], []
        for i, experiment in enumerate(experiments):
            if i in varying:
                scan = experiment.known_scan
                blocks = scan.n_images
                if scope.compose_model_per == "block" and scope.block_width and not per_image:
                    blocks = int(
                        np.clip(np.ceil(scan.n_images * scan.oscillation_deg[1] / scope.block_width - 1e-6), 1, blocks)
                    )
                z0, z1 = scan.array_range
                width = (z1 - z0) / blocks
                z = z0 + (np.arange(blocks) + 0.5) * width
            else:
                z, width = np.zeros(1), 0.0
            count.append(len(z))
            positions.append(np.repeat(z, self.n_groups[i]))
            owner.append(np.full(len(z) * self.n_groups[i], i))
            groups.append(np.tile(np.arange(self.n_groups[i]), len(z)))
            widths.append(np.full(len(z) * self.n_groups[i], width))
        self.count = np.array(count, dtype=np.int64)
        sizes = np.array([len(p) for p in positions], dtype=np.int64)
        self.first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self.position = np.concatenate(positions)
        self.owner = np.concatenate(owner)
        self.group = np.concatenate(groups)
        self.width = np.concatenate(widths)
        self._cells: dict[int, np.ndarray] = {
            i: np.arange(f, f + s) for i, (f, s) in enumerate(zip(self.first, sizes, strict=True))
        }
        self._number_columns()
        self._number_rows()
        self._fixed_tables()
        self._map()

    def _number_columns(self) -> None:
        """Local columns of each kind: parameters that are refined in at least one model of that kind."""
        self.columns: dict[str, list[int]] = {}
        for kind in ("orientation", "cell", "beam", "goniometer", "detector"):
            kept: set[int] = set()
            for block in self.problem.blocks:
                if block.kind == kind:
                    numbers = self.problem.number[block.offset : block.offset + block.size].reshape(-1, block.n_samples)
                    kept |= set(np.flatnonzero((numbers >= 0).any(axis=1)).tolist())
            self.columns[kind] = sorted(kept)
        sizes = [len(self.columns[kind]) for kind in ("orientation", "cell", "beam", "goniometer", "detector")]
        self.starts = dict(zip(self.columns, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist(), strict=True))
        varying = {b.kind for b in self.problem.blocks if b.smoother is not None}
        self.sloped = np.array(
            [self.starts[kind] + i for kind, own in self.columns.items() if kind in varying for i in range(len(own))],
            dtype=np.int64,
        )
        self.n_local = int(sum(sizes)) + len(self.sloped)

    def cells_of(self, block: ModelBlock) -> np.ndarray:
        """(m,) int64: cells that use the model (for detectors: the group of panels) of a block."""
        cells = np.concatenate([self._cells[i] for i in block.experiments])
        return cells[self.group[cells] == block.group] if block.kind == "detector" else cells

    def _number_rows(self) -> None:
        """Rows of the panel table: the panels of every detector, once, or once per block of images when it varies."""
        self.row_first = np.zeros(len(self.problem.experiments), dtype=np.int64)
        self.row_step = np.zeros(len(self.problem.experiments), dtype=np.int64)
        row = 0
        self._rows: dict[int, tuple[int, int]] = {}
        for block in self.problem.blocks:
            if block.kind != "detector" or id(block.model) in self._rows:
                continue
            n = len(block.model)
            states = 1
            varies = any(
                b.smoother is not None for b in self.problem.blocks if b.kind == "detector" and b.model is block.model
            )
            if varies:
                states = int(self.count[block.experiments[0]])
            self._rows[id(block.model)] = (row, states)
            for i in block.experiments:
                self.row_first[i] = row
                self.row_step[i] = n if varies else 0
            row += n * states
        self.n_rows = row

    def assign(
        self, experiment: np.ndarray, panel: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cell, row, and place in the cell from -0.5 to 0.5, of reflections from experiment, panel and array index (n,)."""
        count = self.count[experiment]
        offset = np.zeros(len(experiment))
        if self.width.max() == 0.0:
            block = np.zeros(len(experiment), dtype=np.int64)
        else:
            ranges = np.array(
                [e.scan.array_range if e.scan is not None else (0, 1) for e in self.problem.experiments],
                dtype=np.float64,
            )
            low, high = ranges[experiment].T
            place = (z - low) / (high - low) * count
            block = np.clip(place.astype(np.int64), 0, count - 1)
            varies = self.width[self.first[experiment]] > 0.0
            offset[varies] = np.clip(place - block - 0.5, -0.5, 0.5)[varies]
        if max(self.n_groups) == 1:
            cell = self.first[experiment] + block
        else:
            member = np.zeros(len(experiment), dtype=np.int64)
            for i, e in enumerate(self.problem.experiments):
                own = experiment == i
                member[own] = np.maximum(self.problem.group_of_panel[id(e.detector)][panel[own]], 0)
            cell = self.first[experiment] + block * np.array(self.n_groups)[experiment] + member
        row = self.row_first[experiment] + block * self.row_step[experiment] + panel
        return np.ascontiguousarray(cell, dtype=np.int64), np.ascontiguousarray(row, dtype=np.int64), offset

    def _fixed_tables(self) -> None:
        experiments = self.problem.experiments
        gonios = [e.goniometer if not self.problem.stills else None for e in experiments]
        self._S = np.array([np.eye(3) if g is None else g.setting_rotation for g in gonios])[self.owner]
        self._F = np.ascontiguousarray(
            np.array([np.eye(3) if g is None else g.fixed_rotation for g in gonios])[self.owner]
        )
        self._axis = np.ascontiguousarray(
            np.array([np.eye(3)[0] if g is None else g.rotation_axis for g in gonios])[self.owner]
        )
        # A scan of one image that is taken for a still: its crystal as it stands at the middle of the image.
        self._turned: np.ndarray | None = None
        if self.problem.stills and any(not e.is_still for e in experiments):
            middles = [
                np.eye(3)
                if e.is_still
                else e.known_goniometer.rotation(e.known_scan.angle_from_array_index(e.known_scan.array_range[0] + 0.5))
                for e in experiments
            ]
            self._turned = np.array(middles)[self.owner]
        d = np.zeros((self.n_rows, 3, 3))
        for block in self.problem.blocks:
            if block.kind == "detector":
                row, states = self._rows[id(block.model)]
                d[row : row + states * len(block.model)] = np.tile(block.model.d, (states, 1, 1))
        self._d = d

    def _map(self) -> None:
        """Build `index` and `weight`."""
        m = 3 if any(b.smoother is not None for b in self.problem.blocks) else 1
        self.index = np.full((len(self.position), self.n_local, m), -1, dtype=np.int64)
        self.weight = np.zeros((len(self.position), self.n_local, m))
        for block in self.problem.blocks:
            numbers = self.problem.number[block.offset : block.offset + block.size].reshape(-1, block.n_samples)
            if not (numbers >= 0).any():
                continue
            cells = self.cells_of(block)
            if block.smoother is not None:
                samples, weights = block.smoother.weights(self.position[cells])
                changes = block.smoother.slopes(self.position[cells]) * self.width[cells, None]
            for local, j in enumerate(self.columns[block.kind], self.starts[block.kind]):
                if j >= len(numbers):
                    continue
                if block.smoother is None:
                    self.index[cells, local, 0] = numbers[j, 0]
                    self.weight[cells, local, 0] = 1.0
                else:
                    self.index[cells, local, : samples.shape[1]] = numbers[j][samples]
                    self.weight[cells, local, : samples.shape[1]] = weights
                    last = self.n_local - len(self.sloped) + int(np.searchsorted(self.sloped, local))
                    self.index[cells, last, : samples.shape[1]] = numbers[j][samples]
                    self.weight[cells, last, : samples.shape[1]] = changes

    def compose(self, everything: np.ndarray, gradients: bool = True) -> ModelTables:
        """Models of all cells at a vector of all values."""
        cells_total = len(self.position)
        A = np.zeros((cells_total, 3, 3))
        s0 = np.zeros((cells_total, 3))
        S = self._S.copy()
        d = self._d.copy()
        columns = self.columns
        n_orientation = len(columns["orientation"])
        dA = np.zeros((cells_total, n_orientation + len(columns["cell"]), 3, 3))
        ds0 = np.zeros((cells_total, len(columns["beam"]), 3))
        dS = np.zeros((cells_total, len(columns["goniometer"]), 3, 3))
        dd = np.zeros((self.n_rows, len(columns["detector"]), 3, 3))
        A_slope, s0_slope, S_slope, d_slope = (np.zeros_like(v) for v in (A, s0, S, d))
        orientation: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for block in self.problem.blocks:
            cells = self.cells_of(block)
            state, derivative = block.parameterisation.compose(block.at(everything, self.position[cells]))
            slope = self._slope(block, everything, cells, state, derivative)
            if block.kind == "orientation":
                orientation[id(block.model)] = state, derivative, slope
            elif block.kind == "cell":
                U, dU, U_slope = orientation[id(block.model)]
                A[cells] = U @ state
                A_slope[cells] = U_slope @ state + U @ slope
                if gradients:
                    if n_orientation:
                        dA[cells, :n_orientation] = dU[:, columns["orientation"]] @ state[:, None]
                    present = [j for j in columns["cell"] if j < derivative.shape[1]]
                    if present:
                        dA[cells, n_orientation : n_orientation + len(present)] = U[:, None] @ derivative[:, present]
            elif block.kind == "beam":
                s0[cells], s0_slope[cells] = state, slope
                if gradients and columns["beam"]:
                    ds0[cells] = derivative[:, columns["beam"]]
            elif block.kind == "goniometer":
                S[cells], S_slope[cells] = state, slope
                if gradients and columns["goniometer"]:
                    dS[cells] = derivative[:, columns["goniometer"]]
            else:
                self._set_rows(block, state, derivative, slope, d, dd if gradients else None, d_slope)
        if self._turned is not None:
            A = self._turned @ A
            dA = self._turned[:, None] @ dA
        D = np.zeros_like(d)
        usable = np.abs(np.linalg.det(d)) > 1e-12
        D[usable] = np.linalg.inv(d[usable])
        dD = -(D[:, None] @ dd) if gradients else dd
        D_slope = -(D @ d_slope @ D)
        return ModelTables(A, s0, S, self._F, self._axis, D, dA, ds0, dS, dD, A_slope, s0_slope, S_slope, D_slope)

    def _slope(
        self, block: ModelBlock, everything: np.ndarray, cells: np.ndarray, state: np.ndarray, derivative: np.ndarray
    ) -> np.ndarray:
        """By how much the state of a block of parameters changes over each of its cells."""
        if block.smoother is None:
            return np.zeros_like(state)
        change = block.change(everything, self.position[cells]) * self.width[cells, None]
        parameter = derivative.ndim - state.ndim + (1 if block.kind == "detector" else 0)
        shape = [1] * derivative.ndim
        shape[0], shape[parameter] = change.shape
        return np.asarray((change.reshape(shape) * derivative).sum(axis=parameter))

    def _set_rows(
        self,
        block: ModelBlock,
        state: np.ndarray,
        derivative: np.ndarray,
        slope: np.ndarray,
        d: np.ndarray,
        dd: np.ndarray | None,
        d_slope: np.ndarray,
    ) -> None:
        row, states = self._rows[id(block.model)]
        assert block.panels is not None
        rows = (row + np.arange(states)[:, None] * len(block.model) + block.panels).reshape(-1)
        # A varying detector belongs to one experiment; its state has one row per block of images of this group.
        repeat = states // len(state) if len(state) == 1 else 1
        d[rows] = np.tile(state.reshape(-1, 3, 3), (repeat, 1, 1))
        d_slope[rows] = np.tile(slope.reshape(-1, 3, 3), (repeat, 1, 1))
        if dd is not None and self.columns["detector"]:
            kept: Any = derivative[:, :, self.columns["detector"]]
            dd[rows] = np.tile(kept.reshape(-1, kept.shape[2], 3, 3), (repeat, 1, 1, 1))
