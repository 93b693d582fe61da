"""Screw axes from the intensities of axial reflections, and the space groups that they leave."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf

import numpy as np
from scipy.special import fdtr, stdtr

CUTOFFS = {"0.95": 1.645, "0.975": 1.960, "0.99": 2.326}
SUSPICIOUS = 20.0
#: A screw axis is in doubt when its forbidden reflections are as weak as they are by chance with this probability.
CHANCE = 0.01
#: With electrons it is so, too, when forbidden reflections are there but as much weaker than the others as by chance with this one.
CHANCE_OF_FAINTNESS = 0.05


@dataclass(frozen=True, slots=True)
class ScrewAxis:
    """A screw axis: its name (41c), the axis its reflections lie on, and which of them are present."""

    name: str
    axis: int
    repeat: int


def _axis(name: str) -> ScrewAxis:
    repeat = {"21": 2, "31": 3, "41": 4, "42": 2, "61": 6, "62": 3, "63": 2}[name[:2]]
    return ScrewAxis(name, "abc".index(name[2]), repeat)


# Laue group -> screw axes and, for each space group, whether each is there: T, F, or - when it does not matter.
TABLES: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "P 1 2/m 1": (("21b",), (("P 1 2 1", "F"), ("P 1 21 1", "T"))),
    "P m m m": (
        ("21a", "21b", "21c"),
        (
            ("P 2 2 2", "FFF"), ("P 2 2 21", "FFT"), ("P 21 2 2", "TFF"), ("P 2 21 2", "FTF"), ("P 21 21 2", "TTF"),
            ("P 2 21 21", "FTT"), ("P 21 2 21", "TFT"), ("P 21 21 21", "TTT"),
        ),
    ),
    "C m m m": (("21c",), (("C 2 2 2", "F"), ("C 2 2 21", "T"))),
    "P 4/m": (("41c", "42c"), (("P 4", "FF"), ("P 41", "T-"), ("P 42", "FT"))),
    "I 4/m": (("41c",), (("I 4", "F"), ("I 41", "T"))),
    "P 4/m m m": (
        ("41c", "21a", "42c"),
        (
            ("P 4 2 2", "FFF"), ("P 4 21 2", "FTF"), ("P 41 2 2", "TF-"), ("P 42 2 2", "FFT"), ("P 41 21 2", "TT-"),
            ("P 42 21 2", "FTT"),
        ),
    ),
    "I 4/m m m": (("41c",), (("I 4 2 2", "F"), ("I 41 2 2", "T"))),
    "P 6/m": (("61c", "62c", "63c"), (("P 6", "FFF"), ("P 61", "T--"), ("P 62", "FT-"), ("P 63", "F-T"))),
    "P 6/m m m": (
        ("61c", "62c", "63c"), (("P 6 2 2", "FFF"), ("P 61 2 2", "T--"), ("P 62 2 2", "FT-"), ("P 63 2 2", "F-T")),
    ),
    "P -3": (("31c",), (("P 3", "F"), ("P 31", "T"))),
    "P -3 1 m": (("31c",), (("P 3 1 2", "F"), ("P 31 1 2", "T"))),
    "P -3 m 1": (("31c",), (("P 3 2 1", "F"), ("P 31 2 1", "T"))),
    "P m -3": (("21a",), (("P 2 3", "F"), ("P 21 3", "T"))),
    "P m -3 m": (("41a", "42a"), (("P 4 3 2", "FF"), ("P 41 3 2", "T-"), ("P 42 3 2", "FT"))),
    "I m -3 m": (("41a",), (("I 4 3 2", "F"), ("I 41 3 2", "T"))),
    "F m -3 m": (("41a",), (("F 4 3 2", "F"), ("F 41 3 2", "T"))),
}  # fmt: skip
ENANTIOMORPHS = {
    "P "
    "41": "P "
          "43", "P 41 2 "
                "2": "P 43 2 2", "P 41 21 2": "P 43 21 2", "P 61": "P 65", "P 62": "P 64", "P 61 2 2": "P 65 2 2",
    "P 62 2 2": "P 64 2 2", "P 31": "P 32", "P 31 1 2": "P 32 1 2", "P 31 2 1": "P 32 2 1", "P 41 3 2": "P 43 3 2",
}  # fmt: skip


@dataclass(slots=True)
class AxisScore:
    """What the axial reflections say about a screw axis; `score` is the probability that it is there.

    `chance` is the probability that its forbidden reflections are as weak as they are when there is no such axis.
    """

    axis: ScrewAxis
    score: float
    n_present: int
    n_absent: int
    mean_present: float
    mean_absent: float
    ratio_present: float
    ratio_absent: float
    chance: float = 0.0

    def doubt(self, level: str, electrons: bool = False) -> str:
        """Why these reflections do not tell whether the axis is there; empty where they do.

        Notes
        -----
        Electrons scatter more than once, and reach forbidden reflections by way of others: there such a reflection excludes an axis only
        where it is as strong as those that the axis lets through. Means of centric intensities have a ratio of Fisher's distribution.
        """
        if not self.n_absent or not self.n_present:
            return f"{self.axis.name} is not measured"
        if self.score > 0.5:
            return (
                f"{self.axis.name} rests on {self.n_absent} forbidden reflection{'s' if self.n_absent > 1 else ''}, as weak by chance with a "
                f"probability of {self.chance:.2f}"
                if self.chance > CHANCE
                else ""
            )
        weak = self.ratio_present <= CUTOFFS[level] and self.ratio_absent <= CUTOFFS[level]
        if weak:
            return f"all reflections on {self.axis.name} are weak"
        ratio = max(self.mean_absent, 0.0) / self.mean_present if self.mean_present > 0 else 1.0
        if electrons and fdtr(self.n_absent, self.n_present, ratio) < CHANCE_OF_FAINTNESS:
            return (
                f"forbidden reflections of {self.axis.name} have {100 * ratio:.0f} % of the mean intensity of the others on that axis, which "
                "electrons that are scattered more than once explain, too"
            )
        return ""


def chance_of_weakness(forbidden: np.ndarray, sigma: np.ndarray, present: np.ndarray) -> float:
    """Probability that reflections (n,) are all as weak as these or weaker by chance, beside the others (m,) on their axis.

    Notes
    -----
    Axial reflections are centric: their intensities are squares of normal variables (Wilson 1949, Acta Cryst. 2, 318), and one of them
    over the mean of m others is the square of a variable of Student's distribution with m degrees of freedom. An intensity
    counts as what it may be, one sigma more.
    """
    mean = _mean(present)
    if mean <= 0:
        return 1.0
    most = np.maximum(forbidden, 0.0) + sigma
    return float(np.prod(2.0 * stdtr(len(present), np.sqrt(most / mean)) - 1.0))


def screw_axis_doubts(laue: str, symbol: str, axes: list[AxisScore], level: str, electrons: bool = False) -> list[str]:
    """Why the screw axes that a chosen space group rests on are not certain; empty when they are.

    Parameters
    ----------
    laue : str
        A key of `TABLES`.
    symbol : str
        The space group, or that with the other hand.
    axes : list of AxisScore
        As `score_axes` tells them.
    level : str
        A key of `CUTOFFS`.
    electrons : bool
        Whether the data are of electrons, which fill absences.
    """
    patterns = dict(TABLES[laue][1])
    other = {v: k for k, v in ENANTIOMORPHS.items()}
    pattern = patterns.get(symbol) or patterns.get(other.get(symbol, ""), "-" * len(axes))
    return [d for letter, a in zip(pattern, axes, strict=True) if letter != "-" and (d := a.doubt(level, electrons))]


def _phi(z: float) -> float:
    """Normal cumulative distribution."""
    return 0.5 * (1.0 + erf(z / np.sqrt(2.0)))


def axial_rows(hkl: np.ndarray, axis: ScrewAxis, equivalent: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the axial reflections and their index along the axis; with `equivalent`, on any of the three axes.

    Reflections merged in a Laue group with equivalent axes may sit on another axis of the asymmetric unit.
    """
    axes = [0, 1, 2] if equivalent else [axis.axis]
    rows, index = [], []
    for a in axes:
        others = [i for i in range(3) if i != a]
        found = np.flatnonzero(np.all(hkl[:, others] == 0, axis=1) & (hkl[:, a] != 0))
        rows.append(found)
        index.append(np.abs(hkl[found, a]))
    return np.concatenate(rows), np.concatenate(index)


def direct_score(ratio: np.ndarray, present: np.ndarray, cutoff: float) -> float:
    """Probability of a screw axis from I / sigma of reflections that it lets through (`present`) and that it
    forbids.
    """
    inside, outside = ratio[present], ratio[~present]
    if not len(inside) or not len(outside):
        return 0.0
    z_present, z_absent = float(inside.mean()), float(outside.mean())
    if z_absent > cutoff and z_present <= SUSPICIOUS * z_absent:
        return (1.0 - _phi(z_absent)) * _phi(z_present)
    if z_absent > cutoff:
        # One strong forbidden reflection (ice, a neighbour, a hot pixel) must not decide alone.
        if len(outside) == 1:
            return _phi(z_present)
        rest = np.delete(outside, np.argmax(outside))
        if rest.mean() > cutoff:
            return (1.0 - _phi(z_absent)) * _phi(z_present)
    return _phi(z_present) if z_present > cutoff else 0.0


def fourier_score(ratio: np.ndarray, index: np.ndarray, repeat: int, significance: float) -> float:
    """Probability of a screw axis from the Fourier transform of I / sigma along the axis."""
    if not len(index):
        return 0.0
    span = int(index.max() - index.min())
    n = 6 * (span // 6 + 1)
    values = np.zeros(n)
    values[index - index.min()] = ratio
    amplitude = np.abs(np.fft.fft(values))
    step = n // repeat
    null = np.delete(amplitude, np.arange(0, n, step))
    if len(null) < 2 or null.std() == 0:
        return 0.0
    p = _phi(float((amplitude[step] - null.mean()) / null.std()))
    return p if p >= significance else 0.0


def score_axes(
    laue: str, hkl: np.ndarray, intensity: np.ndarray, sigma: np.ndarray, method: str, level: str
) -> list[AxisScore]:
    """Scores of the screw axes that a Laue group allows.

    Parameters
    ----------
    laue : str
        Patterson symbol in its conventional setting, a key of `TABLES`.
    hkl : (n, 3) int; intensity, sigma : (n,) float64
        Merged in the Laue group.
    method : "direct" or "fourier"
    level : str
        Significance level, a key of `CUTOFFS`.
    """
    scores = []
    for name in TABLES[laue][0]:
        axis = _axis(name)
        equivalent = laue in ("P m -3", "P m -3 m", "I m -3 m", "F m -3 m")
        pooled = axis.axis == 0 and laue in ("P 4/m m m",)
        rows, index = axial_rows(hkl, axis, equivalent)
        if pooled:
            more, more_index = axial_rows(hkl, ScrewAxis(name, 1, axis.repeat), False)
            rows, index = np.concatenate([rows, more]), np.concatenate([index, more_index])
        ratio = intensity[rows] / sigma[rows]
        present = index % axis.repeat == 0
        if method == "direct":
            score = direct_score(ratio, present, CUTOFFS[level])
        else:
            score = fourier_score(ratio, index, axis.repeat, float(level))
        scores.append(
            AxisScore(
                axis, score, int(present.sum()), int((~present).sum()), _mean(intensity[rows][present]),
                _mean(intensity[rows][~present]), _mean(ratio[present]), _mean(ratio[~present]),
                chance_of_weakness(intensity[rows][~present], sigma[rows][~present], intensity[rows][present]),
            )
        )  # fmt: skip
    return scores


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def score_space_groups(laue: str, axes: list[AxisScore]) -> list[tuple[str, float]]:
    """Space groups of the Laue group with their scores, in the order of the tables."""
    result = []
    for symbol, pattern in TABLES[laue][1]:
        score = 1.0
        for letter, axis in zip(pattern, axes, strict=True):
            score *= {"T": axis.score, "F": 1.0 - axis.score, "-": 1.0}[letter]
        result.append((symbol, score))
    return result
