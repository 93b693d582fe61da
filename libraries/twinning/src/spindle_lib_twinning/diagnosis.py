"""All tests together: tables, sentences, values for JSON and for plots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spindle.report import Table
from spindle.symmetry import SpaceGroupLike, space_group

from .intensities import normalised_intensities
from .laws import LawStatistics, law_statistics, own_mates, twin_laws
from .moments import LTest, Moments, cumulative_distribution, expected_cumulative, l_test, mean_abs_l, moments
from .translation import Translation, largest_translation

#: <|L|> this far below that of a single crystal is a twin, where it is this many standard deviations.
TWINNED_L, SIGNIFICANT = 0.47, 4.0
#: <|L|> may be smaller by this than the twin fraction tells.
LEAST_SHORT = 0.015
#: A twin fraction below this is no more than chance and errors.
LEAST_FRACTION = 0.05
#: A twin law is found where its mates agree better than unrelated reflections do: R below this.
RELATED_R = 0.44
#: Most laws that a table shows.
MOST_LAWS = 24


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the statistics of merged intensities say.

    Attributes
    ----------
    n : int
        Unique reflections that were looked at.
    d_max, d_min : float, angstrom
    acentric, centric : Moments
    l_test : LTest
    laws : list of LawStatistics
    translation : Translation or None
    distribution, centric_distribution : (21,) float64
        N(z) at z = 0, 0.05 ... 1.
    """

    n: int
    d_max: float
    d_min: float
    acentric: Moments
    centric: Moments
    l_test: LTest
    laws: list[LawStatistics]
    translation: Translation | None
    distribution: np.ndarray
    centric_distribution: np.ndarray

    @property
    def is_twinned(self) -> bool:
        """Whether neighbours are more alike than in a single crystal."""
        test = self.l_test
        return bool(
            test.n > 0 and test.mean_abs < TWINNED_L and test.mean_abs + SIGNIFICANT * test.mean_abs_error < 0.5
        )

    @property
    def law(self) -> LawStatistics | None:
        """The law of the largest fraction, where there is a twin."""
        known = [s for s in self.laws if s.r_twin < RELATED_R and s.fraction_h_square > LEAST_FRACTION]
        return max(known, key=lambda s: s.fraction_h_square, default=None) if self.is_twinned else None

    @property
    def is_explained(self) -> bool:
        """Whether the one law of the largest fraction makes neighbours as alike as they are: there is no other mate in the sums."""
        law, test = self.law, self.l_test
        if law is None:
            return False
        return test.mean_abs + max(SIGNIFICANT * test.mean_abs_error, LEAST_SHORT) > mean_abs_l(law.fraction_h_square)

    def tables(self) -> list[Table]:
        """Tables of moments and of laws; none where there were too few reflections."""
        if not self.n:
            return []
        rows: list[tuple[str, float, float, float]] = [
            ("<I^2>/<I>^2 acentric", self.acentric.second, 2.0, 1.5),
            ("<F>^2/<F^2> acentric", self.acentric.amplitude, 0.785, 0.884),
            ("<|E^2-1|> acentric", self.acentric.deviation, 0.736, 0.541),
            ("<|L|>", self.l_test.mean_abs, 0.5, 0.375),
            ("<L^2>", self.l_test.mean_square, 0.333, 0.2),
        ]
        if self.centric.n >= 30:
            rows.insert(3, ("<I^2>/<I>^2 centric", self.centric.second, 3.0, 2.0))
        title = f"Intensity statistics, {self.d_max:.2f} to {self.d_min:.2f} A, {self.n} unique reflections"
        tables = [
            Table(
                title, ["Quantity", "Observed", "Single crystal", "Perfect twin"],
                [[name, round(v, 3), single, twin] for name, v, single, twin in rows], "intensity_statistics",
            )
        ]  # fmt: skip
        if self.laws:
            headers = ["Twin law", "Delta (deg)", "Pairs", "R of mates", "CC of mates", "H test", "H^2", "Britton"]
            table = [
                [s.law.name, s.law.delta, s.n, round(s.r_twin, 3), round(s.cc, 3), round(s.fraction_h, 3),
                 round(s.fraction_h_square, 3), round(s.fraction_britton, 3)] for s in self.laws[:MOST_LAWS]
            ]  # fmt: skip
            tables.append(
                Table("Twin laws that the lattice allows, and the twin fraction of each", headers, table, "twin_laws")
            )
        return tables

    def warnings(self) -> list[str]:
        """Sentences about what is not as in a single crystal."""
        found = []
        test = self.l_test
        if self.is_twinned:
            said = (
                f"neighbouring reflections differ less than in a single crystal: <|L|> = {test.mean_abs:.3f} +- "
                f"{test.mean_abs_error:.3f} (single 0.5, perfect twin 0.375), <I^2>/<I>^2 = {self.acentric.second:.2f} (2; 1.5)"
            )
            law = self.law
            if law is not None:
                found.append(
                    f"The crystal is twinned: {said}. Twin law {law.law.name}, fraction {law.fraction_h_square:.2f} by the H "
                    f"test, {law.fraction_britton:.2f} by Britton's. Refine the structure with this law"
                )
            elif self.laws:
                found.append(
                    f"The intensities look twinned, though no twin law that the lattice allows shows it: {said}. The Laue group may "
                    "be too high, chosen from a nearly perfect twin"
                )
            else:
                found.append(
                    f"The intensities look twinned: {said}. The Laue group has all the symmetry of the lattice, so that the twin law "
                    "would be one of its operators: its true symmetry may be lower, in a nearly perfect twin"
                )
        shift = self.translation
        if shift is not None and shift.is_lattice_vector:
            found.append(
                f"The Patterson function has a peak of {100 * shift.height:.0f} % of its origin at {_text(shift)}: that is a vector "
                "of the lattice. A centring was missed, or the cell is a multiple of the true one"
            )
        elif shift is not None and shift.is_significant:
            found.append(
                f"The Patterson function has a peak of {100 * shift.height:.0f} % of its origin at {_text(shift)}: molecules repeat by "
                "a pseudo-translation, and intensities are weak and strong by classes of indices"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_reflections": self.n, "d_max": self.d_max, "d_min": self.d_min, "acentric": asdict(self.acentric),
            "centric": asdict(self.centric), "l_test": self.l_test.as_dict(), "twin_laws": [s.as_dict() for s in self.laws],
            "translation": None if self.translation is None else self.translation.as_dict(),
            "cumulative_distribution": [round(float(v), 4) for v in self.distribution],
            "centric_cumulative_distribution": [round(float(v), 4) for v in self.centric_distribution],
            "is_twinned": self.is_twinned,
        }  # fmt: skip

    def curves(self) -> list[tuple[str, str, str, list[tuple[str, list[float], list[float]]]]]:
        """Plots: title, titles of both axes, and curves (name, x, y)."""
        if not self.n:
            return []
        x = np.linspace(0.0, 1.0, 21)
        plots = [
            ("L test", "|L|", "part of the pairs below", [
                ("observed", x.tolist(), self.l_test.cumulative.tolist()), ("single crystal", x.tolist(), x.tolist()),
                ("perfect twin", x.tolist(), (0.5 * x * (3 - x**2)).tolist()),
            ]),
            ("Cumulative distribution of intensities", "z = I / mean I", "part of the reflections below", [
                ("acentric", x.tolist(), self.distribution.tolist()),
                ("single crystal", x.tolist(), expected_cumulative(x, 0.0).tolist()),
                ("perfect twin", x.tolist(), expected_cumulative(x, 0.5).tolist()),
            ]),
        ]  # fmt: skip
        laws = [(s.law.name, x.tolist(), s.cumulative.tolist()) for s in self.laws[:MOST_LAWS]]
        if laws:
            plots.append(("H test of twin laws", "|H|", "part of the pairs below", laws))
        return plots


def _text(shift: Translation) -> str:
    vector = ", ".join(f"{v:.3f}" for v in shift.vector)
    return f"({vector})" + (f", about ({shift.nearest})," if shift.nearest else "")


def diagnose(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    sigma: npt.ArrayLike,
    cell: npt.ArrayLike,
    group: SpaceGroupLike,
    max_delta: float = 3.0,
) -> Diagnosis:
    """Look at merged intensities.

    Parameters
    ----------
    hkl : (n, 3) int
        Unique indices.
    intensity, sigma : (n,) float
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    max_delta
        Largest obliquity of a twin law, degrees.
    """
    group = space_group(group)
    data = normalised_intensities(hkl, intensity, sigma, cell, group)
    possible = twin_laws(cell, group, max_delta)
    laws = law_statistics(data, possible, group)
    special = own_mates(data.hkl, possible, group)
    return Diagnosis(
        len(data), data.d_max, data.d_min, moments(data), moments(data, centric=True),
        l_test(data, group, special), laws,
        largest_translation(data, cell, group), cumulative_distribution(data)[1], cumulative_distribution(data, True)[1],
    )  # fmt: skip
