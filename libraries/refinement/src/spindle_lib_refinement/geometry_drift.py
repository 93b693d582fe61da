"""How far a refinement has moved the detector from where the headers say that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Detector, Experiment, Experiments
from spindle.symmetry import primitive_operator

__all__ = ["Drift", "Place", "drift_warning", "drifts", "given_places", "panel_of_beam", "place_of", "remember_given"]

#: Key of the extra values of images, also in experiment files: where the detector stood before the spots were indexed.
_KEY = "geometry_before_indexing"

#: Distances in headers are good to some tenths of a percent (stages have encoders); those of electron microscopes are
#: effective lengths of lenses and good to some percent only.
LARGEST_DISTANCE_CHANGE, LARGEST_FOR_ELECTRONS = 0.02, 0.1
#: Detectors are mounted square to better than half a degree; over the small angles of electrons a tilt is hardly seen and
#: takes up distortions of the lenses.
LARGEST_TILT_DEG, LARGEST_TILT_FOR_ELECTRONS_DEG = 1.5, 5.0
#: Beyond half the distance between rows of spots the indices belong to another row: half of that is near it.
LARGEST_SHIFT_ROWS = 0.25
#: A change below this many standard deviations is none.
SIGNIFICANT = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a detector stands.

    Attributes
    ----------
    panel : int
        That the beam hits.
    centre : (float, float) or None
        Beam centre on it, pixels (fast, slow); None where the beam misses its plane.
    distance : float
        Of its plane from the sample, mm.
    normal : (float, float, float)
        Of its plane.
    is_confirmed : bool
        Whether indices with another origin were found to fit worse.
    is_of_headers : bool
        Whether it is what was known before indexing, or only what a program was given.
    """

    panel: int
    centre: tuple[float, float] | None
    distance: float
    normal: tuple[float, float, float]
    is_confirmed: bool = False
    is_of_headers: bool = False


def place_of(experiment: Experiment, panel: int | None = None) -> Place:
    """Where the detector of an experiment stands, by the panel that the beam hits or another one."""
    detector, s0 = experiment.detector, experiment.beam.s0
    number = panel_of_beam(detector, s0) if panel is None or panel >= len(detector) else panel
    hit = detector[number]
    centre = detector.beam_centre_px(s0, number)
    return Place(
        number,
        None if centre is None else (float(centre[0]), float(centre[1])),
        abs(float(hit.directed_distance)),
        (float(hit.normal[0]), float(hit.normal[1]), float(hit.normal[2])),
    )


def remember_given(experiments: Experiments, given: Sequence[Experiment], confirmed: bool) -> Experiments:
    """Write into the images of experiments where the detector stood before indexing, for later refinements.

    Parameters
    ----------
    experiments : Experiments
        Indexed.
    given : sequence of Experiment
        The sweeps before; the images of each experiment are those of one of them.
    confirmed : bool
        Whether indices with another origin fit worse: the beam centre is then right, whatever the headers say, and
        that after indexing is written.
    """
    for sweep in given:
        users = [i for i, e in enumerate(experiments) if e.imageset is sweep.imageset]
        if sweep.imageset is None or sweep.is_still or not users:
            continue
        place = place_of(sweep)
        centre = place_of(experiments[users[0]], place.panel).centre if confirmed else place.centre
        value = {
            "panel": place.panel,
            "beam_centre_px": None if centre is None else list(centre),
            "distance_mm": place.distance,
            "normal": list(place.normal),
            "origin_of_indices_confirmed": confirmed,
        }
        images = replace(sweep.imageset, extra={**sweep.imageset.extra, _KEY: value})
        experiments = experiments.with_model(sweep.imageset, images)
    return experiments


def given_places(experiments: Experiments) -> list[Place]:
    """Where detectors stood before indexing, for each experiment; where they stand now if nothing is known of that."""
    return [_remembered(e) or place_of(e) for e in experiments]


def _remembered(experiment: Experiment) -> Place | None:
    value: Any = None if experiment.imageset is None else experiment.imageset.extra.get(_KEY)
    try:
        centre = value["beam_centre_px"]
        normal = np.array(value["normal"], dtype=np.float64).reshape(3)
        place = Place(
            int(value["panel"]),
            None if centre is None else (float(centre[0]), float(centre[1])),
            float(value["distance_mm"]),
            (float(normal[0]), float(normal[1]), float(normal[2])),
            bool(value["origin_of_indices_confirmed"]),
            True,
        )
    except (TypeError, KeyError, ValueError, IndexError):  # written by nobody, or by somebody else
        return None
    return place if 0 <= place.panel < len(experiment.detector) and place.distance > 0 else None


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

    def texts(self, beam_centre: bool = True) -> list[str]:
        """What is suspicious, in words with numbers; empty when nothing is.

        Parameters
        ----------
        beam_centre : bool
            Whether a shift of the beam centre is suspicious; it is not where other indices were found to fit worse.
        """
        found = []
        if beam_centre and self.is_shifted:
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


def drifts(before: Sequence[Experiment | Place], after: Experiments, result: RefinementResult | None) -> list[Drift]:
    """Compare the detectors of experiments before and after refinement.

    Parameters
    ----------
    before : sequence of Experiment or Place
        As many as experiments after, in the same order.
    after : Experiments
        With crystals.
    result : RefinementResult or None
        The last refinement, for standard deviations.
    """
    found = []
    for number, detector in enumerate(after.unique("detector"), 1):
        users = after.indices_with("detector", detector)
        new = after[users[0]]
        given = before[users[0]]
        old = given if isinstance(given, Place) else place_of(given, panel_of_beam(detector, new.beam.s0))
        now = place_of(new, old.panel)
        sd = _deviations(result, f"Detector{number}")
        size = float(detector[now.panel].pixel_size.min())
        rows = [
            np.linalg.norm(np.linalg.inv(_primitive(after[i])), axis=0).min()
            for i in users
            if after[i].crystal is not None
        ]
        row = min(rows) * new.beam.wavelength * now.distance / size if rows else np.inf
        found.append(
            Drift(
                tuple(users),
                old.centre,
                now.centre,
                float(row),
                (old.distance, now.distance),
                float(np.degrees(np.arccos(np.clip(np.dot(old.normal, now.normal), -1, 1)))),
                sd.get("Dist", 0.0),
                max(sd.get("Shift1", 0.0), sd.get("Shift2", 0.0)) / size,
                float(np.degrees(max(sd.get("Tau2", 0.0), sd.get("Tau3", 0.0)) / 1000)),
                new.beam.probe == "electron" or new.beam.wavelength < ELECTRONS_BELOW_A,
            )
        )
    return found


def drift_warning(texts: Sequence[str], reference: str) -> str:
    """The warning for the user.

    Parameters
    ----------
    texts : sequence of str
        Those of `Drift.texts`, of all detectors.
    reference : str
        What the geometry was compared with, as in "far from that of ...".
    """
    return (
        f"WARNING: refinement has taken the geometry far from that of {reference}: {'; '.join(texts)}. Either that is wrong, or the "
        "index is that of another beam centre, a row of spots away, and the cell is wrong by some percent. Run spindle "
        "search_beam_position with the imported experiments and the spots, and index again with its optimised.expt; compare distance and "
        "cell with what is known (geometry.detector.distance= for spindle import)"
    )


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
