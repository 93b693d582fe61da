"""How far a refinement has moved the detector from where the headers say that it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.models import Detector, Experiments
from spindle.symmetry import primitive_operator

__all__ = ["Drift", "drifts", "panel_of_beam"]

#: Distances in headers are good to some tenths of a percent (stages have encoders); those of electron microscopes are
#: effective lengths of lenses and good to some percent only.
LARGEST_DISTANCE_CHANGE, LARGEST_FOR_ELECTRONS = 0.02, 0.1
ELECTRONS_BELOW = 0.06  # angstrom
#: Detectors are mounted square to better than half a degree; over the small angles of electrons a tilt is hardly seen and
#: takes up distortions of the lenses.
LARGEST_TILT_DEG, LARGEST_TILT_FOR_ELECTRONS_DEG = 1.5, 5.0
#: Beyond half the distance between rows of spots the indices belong to another row: half of that is near it.
LARGEST_SHIFT_ROWS = 0.25
#: A change below this many standard deviations is none.
SIGNIFICANT = 5.0


@dataclass(frozen=True, slots=True)
class Drift:
    """What happened to one detector.

    Attributes
    ----------
    sweeps : tuple of int
        Experiments that have it.
    old_centre, new_centre : (float, float) or None
        Beam centre on the panel that the beam hits, pixels (fast, slow); None where it hits none.
    row_px : float
        Smallest distance between rows of spots, in pixels.
    distance : (float, float)
        Before and after, mm.
    tilt_deg : float
        Angle between the normals before and after.
    distance_sd, shift_sd_px, tilt_sd_deg : float
        Standard deviations of the refined values; 0 when they were not refined.
    electrons : bool
    """

    sweeps: tuple[int, ...]
    old_centre: tuple[float, float] | None
    new_centre: tuple[float, float] | None
    row_px: float
    distance: tuple[float, float]
    tilt_deg: float
    distance_sd: float
    shift_sd_px: float
    tilt_sd_deg: float
    electrons: bool

    @property
    def shift_px(self) -> float:
        """How far the beam centre moved."""
        if self.old_centre is None or self.new_centre is None:
            return 0.0
        return float(np.hypot(*np.subtract(self.new_centre, self.old_centre)))

    @property
    def shift_rows(self) -> float:
        """The same in units of the distance between rows of spots."""
        return self.shift_px / max(self.row_px, 1e-9)

    @property
    def distance_change(self) -> float:
        """Relative change of the distance."""
        return self.distance[1] / self.distance[0] - 1

    @property
    def is_shifted(self) -> bool:
        """Whether the beam centre moved by what may make the indices those of another row."""
        return self.shift_rows > LARGEST_SHIFT_ROWS and self.shift_px > max(1.0, SIGNIFICANT * self.shift_sd_px)

    def texts(self) -> list[str]:
        """What is suspicious, in words with numbers; empty when nothing is."""
        found = []
        if self.is_shifted:
            assert self.old_centre is not None and self.new_centre is not None
            found.append(
                f"the beam centre moved from {self.old_centre[0]:.1f}, {self.old_centre[1]:.1f} to "
                f"{self.new_centre[0]:.1f}, {self.new_centre[1]:.1f} px (fast, slow), {self.shift_rows:.2f} of the distance "
                f"between rows of spots ({self.row_px:.1f} px)"
            )
        limit = LARGEST_FOR_ELECTRONS if self.electrons else LARGEST_DISTANCE_CHANGE
        change = abs(self.distance[1] - self.distance[0])
        if abs(self.distance_change) > limit and change > SIGNIFICANT * self.distance_sd:
            found.append(
                f"the distance changed from {self.distance[0]:.2f} to {self.distance[1]:.2f} mm "
                f"({100 * self.distance_change:+.1f} %)"
            )
        limit = LARGEST_TILT_FOR_ELECTRONS_DEG if self.electrons else LARGEST_TILT_DEG
        if self.tilt_deg > limit and self.tilt_deg > SIGNIFICANT * self.tilt_sd_deg:
            found.append(f"the detector was tilted by {self.tilt_deg:.1f} degrees")
        return found


def drifts(before: Experiments, after: Experiments, result: RefinementResult | None) -> list[Drift]:
    """Compare the detectors of experiments before and after refinement.

    Parameters
    ----------
    before, after : Experiments
        In the same order; those after have crystals.
    result : RefinementResult or None
        The last refinement, for standard deviations.
    """
    found = []
    for number, detector in enumerate(after.unique("detector"), 1):
        users = after.indices_with("detector", detector)
        old, new = before[users[0]], after[users[0]]
        sd = _deviations(result, f"Detector{number}")
        panel = panel_of_beam(detector, new.beam.s0)
        size = float(detector[panel].pixel_size.min())
        distance = abs(float(detector[panel].directed_distance))
        rows = [
            np.linalg.norm(np.linalg.inv(_primitive(after[i])), axis=0).min()
            for i in users
            if after[i].crystal is not None
        ]
        row = min(rows) * new.beam.wavelength * distance / size if rows else np.inf
        centres = [e.detector.beam_centre_px(e.beam.s0, panel) for e in (old, new)]
        old_normal, new_normal = (e.detector[panel].normal for e in (old, new))
        found.append(
            Drift(
                tuple(users),
                None if centres[0] is None else (float(centres[0][0]), float(centres[0][1])),
                None if centres[1] is None else (float(centres[1][0]), float(centres[1][1])),
                float(row),
                (abs(float(old.detector[panel].directed_distance)), distance),
                float(np.degrees(np.arccos(np.clip(old_normal @ new_normal, -1, 1)))),
                sd.get("Dist", 0.0),
                max(sd.get("Shift1", 0.0), sd.get("Shift2", 0.0)) / size,
                float(np.degrees(max(sd.get("Tau2", 0.0), sd.get("Tau3", 0.0)) / 1000)),
                new.beam.wavelength < ELECTRONS_BELOW,
            )
        )
    return found


def _primitive(experiment: object) -> np.ndarray:
    """(3, 3) angstrom: rows a, b, c of the primitive cell."""
    crystal = experiment.crystal  # type: ignore[attr-defined]
    return np.asarray(primitive_operator(crystal.space_group).matrix @ crystal.real_space)


def panel_of_beam(detector: Detector, s0: np.ndarray) -> int:
    """The panel that the beam hits, else the one whose edge is nearest to it."""
    best, smallest = 0, np.inf
    for number, panel in enumerate(detector):
        centre = detector.beam_centre_px(s0, number)
        if centre is None:
            continue
        outside = np.maximum(np.maximum(-np.asarray(centre), np.asarray(centre) - panel.image_size), 0.0)
        if (value := float(np.linalg.norm(outside * panel.pixel_size))) < smallest:
            best, smallest = number, value
    return best


def _deviations(result: RefinementResult | None, label: str) -> dict[str, float]:
    """Standard deviations of the parameters of a detector by short name; the largest where it has several groups."""
    found: dict[str, float] = {}
    if result is None:
        return found
    for name, esd in zip(result.parameter_names, result.parameter_esds, strict=True):
        if not name.startswith(label) or name[len(label) : len(label) + 1].isdigit():
            continue
        for short in ("Dist", "Shift1", "Shift2", "Tau2", "Tau3"):
            if name.endswith(short) and np.isfinite(esd):
                found[short] = max(found.get(short, 0.0), float(esd))
    return found
