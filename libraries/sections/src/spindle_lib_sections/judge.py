"""Five questions that a referee asks, answered from what the sections of a report have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spindle.report import Section

__all__ = ["Answer", "judge"]

UNKNOWN = "unknown"
#: Fractions of indexed spots, and residuals in pixels and images, from which all is well, or below and above which it is not.
INDEXED, RESIDUAL = (0.8, 0.5), (0.5, 1.2)
#: Overall CC1/2 and completeness likewise, and the signal of the best shell.
CC_HALF, COMPLETE = (0.99, 0.9), (0.95, 0.8)
#: The corners of a square detector reach so much farther than its edges.
CORNER = 1.45


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the traffic light.

    Attributes
    ----------
    question : str
    mood : str
        "good", "doubtful", "bad", or "unknown".
    reason : str
    next_step : str
        What to do, with the command; empty where there is nothing to do.
    """

    question: str
    mood: str
    reason: str
    next_step: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


class _Findings:
    """Collects what speaks for and against; the worst decides."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str, str]] = []

    def add(self, mood: int, sentence: str, next_step: str = "") -> None:
        self.said.append((mood, sentence, next_step))

    def graded(self, value: float, limits: tuple[float, float], sentence: str, next_step: str) -> None:
        """Good on one side of the first limit, bad beyond the second."""
        good, bad = limits
        upwards = good > bad
        mood = (
            0
            if (value >= good if upwards else value <= good)
            else 2
            if (value < bad if upwards else value > bad)
            else 1
        )
        self.add(mood, sentence, next_step if mood else "")

    def answer(self, question: str, nothing: str, first: str) -> Answer:
        if not self.said:
            return Answer(question, UNKNOWN, nothing, first)
        worst = max(m for m, _, _ in self.said)
        order = sorted(self.said, key=lambda s: -s[0])
        reasons = "; ".join(s for _, s, _ in order)
        return Answer(
            question,
            ("good", "doubtful", "bad")[worst],
            reasons,
            next((n for m, _, n in order if m == worst and n), ""),
        )


def judge(sections: Sequence[Section]) -> list[Answer]:
    """Answer five questions.

    Parameters
    ----------
    sections : sequence of Section
        Their ``values`` are looked at, by the keys ``strong``, ``centroid``, ``damage``, ``merging``, ``intensity_statistics`` ...; those that
        are absent leave questions open.
    """
    values: dict[str, Mapping[str, Any]] = {s.key: s.values for s in sections}

    def of(key: str) -> Mapping[str, Any]:
        return values.get(key, {})

    return [
        _explained(of("strong")),
        _positions(of("centroid"), of("scan_varying")),
        _steady(of("strong"), of("damage"), of("merging")),
        _symmetry(of("intensity_statistics"), of("merging")),
        _quality(of("merging"), of("scaling_model")),
    ]


def _explained(spots: Mapping[str, Any]) -> Answer:
    found = _Findings()
    if (fraction := spots.get("fraction_indexed")) is not None:
        found.graded(
            fraction, INDEXED, f"{100 * fraction:.0f} % of {spots['n_spots']} spots are indexed",
            "look at what is left: spindle reciprocal_lattice_viewer indexed.expt indexed.refl, or index with max_lattices=2",
        )  # fmt: skip
    return found.answer(
        "Does the lattice explain the spots?", "no indexed spots were given", "spindle index imported.expt strong.refl"
    )


def _positions(residuals: Mapping[str, Any], course: Mapping[str, Any]) -> Answer:
    found = _Findings()
    x, y, z = (residuals.get(f"rmsd_{n}") for n in ("x_px", "y_px", "z_images"))
    if x is not None and y is not None:
        worst = max(x, y)
        found.graded(
            worst, RESIDUAL, f"RMSD {x:.2f} and {y:.2f} px in x and y",
            "spindle refine with more of the geometry free, and look at the maps of differences for panels that stand out",
        )  # fmt: skip
    if z is not None:
        found.graded(
            z,
            RESIDUAL,
            f"{z:.2f} images in rotation",
            "spindle refine; a wrong rotation axis or spots of several images do this",
        )
    if (turn := course.get("largest_turn_deg")) is not None and turn > 1.0:
        found.add(
            1,
            f"the crystal turned by {turn:.1f} degrees along the scan",
            "look at the figures along the scan: it slipped, or the model did",
        )
    return found.answer(
        "Are reflections where they are calculated?",
        "no reflections with observed and calculated positions",
        "spindle refine indexed.expt indexed.refl",
    )


def _steady(spots: Mapping[str, Any], damage: Mapping[str, Any], merging: Mapping[str, Any]) -> Answer:
    found = _Findings()
    if (rings := spots.get("n_ice_rings")) is not None:
        found.add(
            0 if rings == 0 else 1 if rings < 3 else 2, "no ice rings" if rings == 0 else f"{rings} ring(s) of ice",
            "spindle find_spots filter.ice_rings.enable=True, and integrate likewise" if rings else "",
        )  # fmt: skip
    empty, n = spots.get("n_empty_images"), spots.get("n_images")
    if empty and n:
        found.add(
            1 if empty < 0.2 * n else 2,
            f"{empty} of {n} images have no spot",
            "spindle detect_blanks, then exclude_images=",
        )
    if (rise := damage.get("rd_rise")) is not None:
        found.graded(
            rise, (1.3, 2.0), f"equivalents far apart in the scan differ {rise:.2f} times as much as near ones",
            "cut the last images with exclude_images= and scale again",
        )  # fmt: skip
    if (change := damage.get("largest_change_of_b")) is not None:
        found.graded(
            abs(change),
            (4.0, 12.0),
            f"B changes by {change:+.1f} A^2",
            "cut the last images with exclude_images= and scale again",
        )
    if (worst := merging.get("worst_image_r_over_median")) is not None and worst > 3:
        found.add(
            1,
            f"the worst image has {worst:.1f} times the R of the median",
            "look at R by image, and leave bad ones out with exclude_images=",
        )
    return found.answer("Did crystal and images stay good?", "no spots by image and no scaled data", "spindle scale")


def _symmetry(statistics: Mapping[str, Any], merging: Mapping[str, Any]) -> Answer:
    found = _Findings()
    group = merging.get("space_group")
    if statistics.get("n_reflections"):
        test = statistics["l_test"]
        number = test.get("mean_abs")
        if statistics.get("is_twinned"):
            laws = statistics["twin_laws"]
            found.add(2, f"the crystal is twinned: <|L|> is {number:.3f} (single crystal 0.5)", "see docs: tell a twin" if not laws else
                      "refine with the twin law of the table, or try a lower symmetry: spindle symmetry laue_group=")  # fmt: skip
        else:
            found.add(
                0, "no twinning" + (f", <|L|> is {number:.3f}" if number is not None and number == number else "")
            )
        if statistics.get("translation") and statistics["translation"].get("p_value", 1.0) < 0.01:
            found.add(1, "a pseudo-translation repeats the molecules", "tell the structure solution program of it")
    if group and merging.get("is_scaled"):
        overall = merging["statistics"]["overall"]
        low = merging["statistics"]["shells"][0]
        r = low["r_meas"]
        if r == r and overall["multiplicity"] > 1.5:
            found.graded(
                r, (0.1, 0.25), f"equivalents of {group} agree, Rmeas {r:.3f} at low resolution" if r <= 0.25 else
                f"equivalents of {group} do not agree: Rmeas {r:.3f} at low resolution", "spindle symmetry with a lower laue_group=",
            )  # fmt: skip
    return found.answer(
        "Is the symmetry right, and is it one crystal?",
        "no merged intensities",
        "spindle symmetry integrated.expt integrated.refl",
    )


def _quality(merging: Mapping[str, Any], scaling: Mapping[str, Any]) -> Answer:
    question = "How far do the data go, and are they complete?"
    if not merging.get("statistics"):
        return Answer(question, UNKNOWN, "no merged intensities", "spindle scale symmetrized.expt symmetrized.refl")
    found = _Findings()
    overall, last = merging["statistics"]["overall"], merging["statistics"]["shells"][-1]
    limit = merging.get("cc_half_limit")
    edge = overall["d_min"]
    if not merging.get("is_scaled"):
        found.add(1, "the data are not scaled", "spindle scale")
    if limit is not None and limit > edge * 1.005:
        found.add(
            1,
            f"CC1/2 falls to 0.3 at {limit:.2f} A, the data are given to {edge:.2f} A",
            f"scale and merge with d_min={limit:.2f}",
        )
    else:
        found.add(0, f"data to {edge:.2f} A, where I/sigma is {last['i_over_sigma']:.1f}")
    cc = overall["cc_half"]
    if cc == cc:
        found.graded(
            cc,
            CC_HALF,
            f"CC1/2 {cc:.3f}",
            "look at R by image and at what scaling called outliers; a wrong indexing does this, too",
        )
    else:
        found.add(
            1,
            "nothing was measured twice, so that nobody can tell how good intensities are",
            "collect more of the crystal",
        )
    _complete(found, merging["statistics"])
    if (best := scaling.get("i_over_sigma_asymptotic")) is not None and best < 8:
        found.add(
            1,
            f"errors limit I/sigma to {best:.1f}",
            "vibration, shutter or a damaged crystal: look at the figures of scaling",
        )
    return found.answer(question, "", "")


def _complete(found: _Findings, statistics: Mapping[str, Any]) -> None:
    """Completeness: to the edge of the data, or to where the corners of the detector begin."""
    overall = statistics["overall"]
    said = f"{100 * overall['completeness']:.1f} % complete, {overall['multiplicity']:.1f}-fold"
    advice = "spindle missing_reflections says what is missing; collect a sweep in another orientation"
    inner = None
    seen = possible = 0.0
    for shell in statistics["shells"]:
        if shell["completeness"] > 0:
            seen, possible = seen + shell["n_unique"], possible + shell["n_unique"] / shell["completeness"]
            if seen / possible >= COMPLETE[0]:
                inner = shell["d_min"]
    if overall["completeness"] < COMPLETE[0] and inner is not None and inner < CORNER * overall["d_min"]:
        found.add(
            1,
            f"{said}; {100 * COMPLETE[0]:.0f} % to {inner:.2f} A",
            f"merge with d_min={inner:.2f}, or keep the incomplete corners knowingly",
        )
        return
    found.graded(overall["completeness"], COMPLETE, said, advice)
