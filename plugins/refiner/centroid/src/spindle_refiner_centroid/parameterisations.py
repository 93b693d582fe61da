"""Models as functions of a few parameters, with their derivatives.

Every parameterisation takes values (m, k), one row per state (a state is the whole scan, or a block of it when the
model varies), and
returns the states and their derivatives with respect to the k parameters. Angles are in milliradians, elements of the
reciprocal metric in 1e-5 / angstrom^2, lengths in mm, wave numbers in 1/angstrom. Waterman et al. (2016), Acta Cryst.
D72, 558-575.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Beam, Crystal, Goniometer
from spindle_lib_refinement.metric import CELL_NAMES, METRIC_INDICES, metric_constraints

METRIC_SCALE = 1e5
IDENTITY = np.eye(3)
_ROWS = np.array([i for i, _ in METRIC_INDICES])
_COLUMNS = np.array([j for _, j in METRIC_INDICES])


class Turn:
    """Rotations about a fixed unit axis."""

    def __init__(self, axis: np.ndarray) -> None:
        x, y, z = axis
        self.K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        self.K2 = self.K @ self.K

    def __call__(self, angles_mrad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrices (m, 3, 3) for angles (m,) in milliradians and their derivatives (m, 3, 3) per milliradian."""
        angle = angles_mrad.reshape(-1, 1, 1) * 1e-3
        cosine, sine = np.cos(angle), np.sin(angle)
        return IDENTITY + sine * self.K + (1.0 - cosine) * self.K2, (1e-3 * cosine) * self.K + (1e-3 * sine) * self.K2


LABORATORY_TURNS = tuple(Turn(axis) for axis in IDENTITY)


class OrientationParameters:
    """U = R_z(phi3) R_y(phi2) R_x(phi1) U0, rotations about the laboratory axes, starting at 0."""

    names: Sequence[str] = ("Phi1", "Phi2", "Phi3")

    def __init__(self, crystal: Crystal) -> None:
        self.U0 = crystal.U
        self.initial = np.zeros(3)

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """U (m, 3, 3) and dU (m, 3, 3, 3), the parameter second."""
        (R1, d1), (R2, d2), (R3, d3) = (turn(values[:, i]) for i, turn in enumerate(LABORATORY_TURNS))
        R1U, R32 = R1 @ self.U0, R3 @ R2
        return R32 @ R1U, np.stack([R32 @ (d1 @ self.U0), R3 @ d2 @ R1U, d3 @ R2 @ R1U], axis=1)


def B_from_metric(g6: np.ndarray) -> np.ndarray:
    """(m, 3, 3) lower triangular B with B^T B = G*, from elements (m, 6) in 1/angstrom^2.

    Raises
    ------
    RefinementError
        If the metric is not positive definite.

    """
    g11, g22, g33, g12, g13, g23 = np.moveaxis(g6, -1, 0)
    B = np.zeros((len(g6), 3, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        B[:, 2, 2] = np.sqrt(g33)
        B[:, 2, 1] = g23 / B[:, 2, 2]
        B[:, 2, 0] = g13 / B[:, 2, 2]
        B[:, 1, 1] = np.sqrt(g22 - B[:, 2, 1] ** 2)
        B[:, 1, 0] = (g12 - B[:, 2, 0] * B[:, 2, 1]) / B[:, 1, 1]
        B[:, 0, 0] = np.sqrt(g11 - B[:, 1, 0] ** 2 - B[:, 2, 0] ** 2)
    if not np.isfinite(B).all() or np.any(B[:, [0, 1, 2], [0, 1, 2]] <= 0):
        raise RefinementError(
            "the refined reciprocal metric is that of no cell (not positive definite): the starting model is too "
            "far off or there "
            "are too few reflections; check the indexing, or fix the cell with "
            "refinement.parameterisation.crystal.fix=cell"
        )
    return B


class CellParameters:
    """B from the independent elements of the reciprocal metric G* = B^T B."""

    def __init__(self, crystal: Crystal) -> None:
        self.E, self.chosen = metric_constraints(crystal.hall)
        self.names = tuple(CELL_NAMES[i] for i in self.chosen)
        G = crystal.A.T @ crystal.A
        g6 = G[_ROWS, _COLUMNS] * METRIC_SCALE
        # Least squares over the elements tied by symmetry, so that a slightly asymmetric start is averaged.
        self.initial = np.linalg.lstsq(self.E, g6, rcond=None)[0]

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """B (m, 3, 3) and dB (m, k, 3, 3)."""
        B = B_from_metric(values @ self.E.T / METRIC_SCALE)
        dG6 = self.E.T / METRIC_SCALE
        dG = np.zeros((dG6.shape[0], 3, 3))
        dG[:, _ROWS, _COLUMNS] = dG6
        dG[:, _COLUMNS, _ROWS] = dG6
        # dG = dB^T B + B^T dB; X = dB B^-1 is lower triangular and X + X^T = B^-T dG B^-1.
        inverse = np.linalg.inv(B)[:, None]
        M = np.swapaxes(inverse, -1, -2) @ dG[None] @ inverse
        X = np.tril(M)
        X[..., [0, 1, 2], [0, 1, 2]] *= 0.5
        return B, X @ B[:, None]


class BeamParameters:
    """s0 = nu R(mu2, dir2) R(mu1, dir1) s0_initial; dir2 is across the plane of beam and spindle, dir1 within it."""

    names: Sequence[str] = ("Mu1", "Mu2", "nu")

    def __init__(self, beam: Beam, goniometer: Goniometer | None) -> None:
        s0 = beam.s0
        nu = float(np.linalg.norm(s0))
        self.unit = s0 / nu
        axis = goniometer.axis_lab if goniometer is not None else None
        if axis is None or np.linalg.norm(np.cross(self.unit, axis)) < 1e-6:
            axis = np.eye(3)[int(np.argmin(np.abs(self.unit)))]
        across = np.cross(self.unit, axis)
        self.dir2 = across / np.linalg.norm(across)
        within = np.cross(self.dir2, self.unit)
        self.dir1 = within / np.linalg.norm(within)
        self.turn1, self.turn2 = Turn(self.dir1), Turn(self.dir2)
        self.initial = np.array([0.0, 0.0, nu])

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s0 (m, 3) and ds0 (m, 3, 3), the parameter second."""
        R1, d1 = self.turn1(values[:, 0])
        R2, d2 = self.turn2(values[:, 1])
        nu = values[:, 2:3]
        direction = R2 @ R1 @ self.unit
        return nu * direction, np.stack([nu * (R2 @ d1 @ self.unit), nu * (d2 @ R1 @ self.unit), direction], axis=1)

    def rotation(self, values: np.ndarray) -> np.ndarray:
        """(3, 3) rotation of the beam for one set of values (3,): it also turns the polarisation."""
        R1, _ = self.turn1(values[:1])
        R2, _ = self.turn2(values[1:2])
        return np.asarray(R2[0] @ R1[0])


class GoniometerParameters:
    """S = R(gamma2, dir2) R(gamma1, dir1) S0; dir2 = e x s0, dir1 = dir2 x e."""

    names: Sequence[str] = ("Gamma1", "Gamma2")

    def __init__(self, goniometer: Goniometer, beam: Beam) -> None:
        self.S0 = goniometer.setting_rotation
        axis = goniometer.axis_lab
        across = np.cross(axis, beam.s0)
        if np.linalg.norm(across) < 1e-9 * np.linalg.norm(beam.s0):
            raise RefinementError("the goniometer cannot be refined: its axis is parallel to the beam")
        self.dir2 = across / np.linalg.norm(across)
        within = np.cross(self.dir2, axis)
        self.dir1 = within / np.linalg.norm(within)
        self.turn1, self.turn2 = Turn(self.dir1), Turn(self.dir2)
        self.initial = np.zeros(2)

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S (m, 3, 3) and dS (m, 2, 3, 3)."""
        G1, d1 = self.turn1(values[:, 0])
        G2, d2 = self.turn2(values[:, 1])
        return G2 @ G1 @ self.S0, np.stack([G2 @ d1 @ self.S0, d2 @ G1 @ self.S0], axis=1)


class PanelGroupParameters:
    """Rigid motion of a group of panels: distance, two shifts and three tilts.

    Parameters
    ----------
    panels : (p, 3, 3) float64
        Columns fast, slow, origin (mm) of the group's panels.
    frame : (3, 3) float64
        Rows: the group's fast axis, slow axis and normal.
    reference : (3,) float64, mm
        The point whose position the distance and the shifts describe.
    prefix : str
        Put before the names ("Group1").

    Notes
    -----
    With P0 = Dist n and C = P0 + Shift1 f + Shift2 s the reference point moves to T3 T2 T1 C - T3 T2 P0 + P0; T1 turns
    about the normal, T2 about fast and T3 about slow. The tilts are thus about the point where the normal from the
    sample meets the plane.
    """

    def __init__(self, panels: np.ndarray, frame: np.ndarray, reference: np.ndarray, prefix: str = "") -> None:
        self.names = tuple(prefix + name for name in ("Dist", "Shift1", "Shift2", "Tau1", "Tau2", "Tau3"))
        self.frame = frame
        self.turns = Turn(frame[2]), Turn(frame[0]), Turn(frame[1])
        offsets = panels.copy()
        offsets[:, :, 2] -= reference
        self.offsets = offsets
        distance = float(reference @ frame[2])
        across = reference - distance * frame[2]
        self.initial = np.array([distance, across @ frame[0], across @ frame[1], 0.0, 0.0, 0.0])

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d (m, p, 3, 3) and dd (m, p, 6, 3, 3)."""
        fast, slow, normal = self.frame
        (T1, d1), (T2, d2), (T3, d3) = (turn(values[:, 3 + i]) for i, turn in enumerate(self.turns))
        P0 = values[:, 0:1] * normal
        C = P0 + values[:, 1:2] * fast + values[:, 2:3] * slow
        T32, T21 = T3 @ T2, T2 @ T1
        T321 = T3 @ T21

        def times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
            return np.asarray((matrix @ vector[..., None])[..., 0])

        turned = np.stack([T32 @ d1, T3 @ d2 @ T1, d3 @ T21], axis=1)  # (m, 3 tilts, 3, 3)
        d = T321[:, None] @ self.offsets[None]
        d[..., 2] += (times(T321, C) - times(T32, P0) + P0)[:, None]
        dd = np.zeros((len(values), len(self.offsets), 6, 3, 3))
        dd[:, :, 3:] = turned[:, None] @ self.offsets[None, :, None]
        dd[:, :, 0, :, 2] = (T321 @ normal - T32 @ normal + normal)[:, None]
        dd[:, :, 1, :, 2] = (T321 @ fast)[:, None]
        dd[:, :, 2, :, 2] = (T321 @ slow)[:, None]
        dd[:, :, 3, :, 2] += times(turned[:, 0], C)[:, None]
        dd[:, :, 4, :, 2] += (times(turned[:, 1], C) - times(T3 @ d2, P0))[:, None]
        dd[:, :, 5, :, 2] += (times(turned[:, 2], C) - times(d3 @ T2, P0))[:, None]
        return d, dd

    def rigid_motion(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and position (3,) of the reference point for one set of values (6,)."""
        fast, slow, normal = self.frame
        T1, T2, T3 = (turn(values[3 + i : 4 + i])[0] for i, turn in enumerate(self.turns))
        P0 = values[0] * normal
        C = P0 + values[1] * fast + values[2] * slow
        T32 = T3[0] @ T2[0]
        T321 = T32 @ T1[0]
        return T321, T321 @ C - T32 @ P0 + P0


class ModuleParameters:
    """Rigid motion of a whole detector, and shifts and a turn of one of its panels in its own plane.

    Parameters
    ----------
    panel : (3, 3) float64
        Columns fast, slow, origin (mm) of the panel.
    middle : (3,) float64, mm
        The middle of the panel, about which it turns.
    frame, reference : arrays
        Of the whole detector, as of `PanelGroupParameters`.
    prefix : str
        Put before the names of the panel's own parameters ("Panel3").

    Notes
    -----
    The six parameters of the whole come first; panels of one detector share them. MoveFast and MoveSlow are in mm, the
    turn in milliradians from fast to slow.
    """

    n_shared = 6

    def __init__(
        self, panel: np.ndarray, middle: np.ndarray, frame: np.ndarray, reference: np.ndarray, prefix: str
    ) -> None:
        self.whole = PanelGroupParameters(panel[None], frame, reference)
        self.names = (*self.whole.names, *(f"{prefix}{name}" for name in ("MoveFast", "MoveSlow", "Turn")))
        self.initial = np.concatenate([self.whole.initial, np.zeros(3)])
        self.axes = panel[:, :2]
        self.offset = middle - reference
        self.corner = (panel[:, 2] - middle) @ self.axes

    def compose(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d (m, 1, 3, 3) and dd (m, 1, 9, 3, 3)."""
        fast, slow = self.axes.T
        angle = values[:, 8] * 1e-3
        cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
        turned = np.stack([cosine * fast + sine * slow, cosine * slow - sine * fast], axis=-1)  # (m, 3, 2)
        across = 1e-3 * np.stack([cosine * slow - sine * fast, -cosine * fast - sine * slow], axis=-1)
        own = np.empty((len(values), 3, 3))
        own[:, :, :2] = turned
        own[:, :, 2] = self.offset + values[:, 6:8] @ self.axes.T + turned @ self.corner
        d, dd = np.empty((len(values), 1, 3, 3)), np.zeros((len(values), 1, 9, 3, 3))
        for k, state in enumerate(own):
            self.whole.offsets = state[None]
            one, derivative = self.whole.compose(values[k : k + 1, :6])
            rotation = self.whole.rigid_motion(values[k, :6])[0]
            d[k], dd[k, :, :6] = one[0], derivative[0]
            dd[k, 0, 6, :, 2], dd[k, 0, 7, :, 2] = rotation @ fast, rotation @ slow
            dd[k, 0, 8, :, :2] = rotation @ across[k]
            dd[k, 0, 8, :, 2] = rotation @ (across[k] @ self.corner)
        return d, dd

    def rigid_motion(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and position (3,) of the reference point of the whole for one set of values (9,)."""
        return self.whole.rigid_motion(values[:6])
