"""The Wilson plot: overall scale and B factor from the fall of intensities with resolution.

Wilson (1942), Nature 150, 152.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt

#: Atoms of an average amino acid residue.
RESIDUE = {"C": 5.0, "N": 1.35, "O": 1.5, "H": 8.0, "S": 0.05}
#: At lower resolution than this the solvent and the packing bend the plot.
LOWEST_RESOLUTION = 4.0


@dataclass(frozen=True, slots=True)
class WilsonPlot:
    """Result of a Wilson plot.

    Attributes
    ----------
    b_factor : float, A^2
    scale : float
        Factor from intensity to absolute scale, |F|^2 = scale I exp(2 B (sin theta / lambda)^2).
    inverse_d_squared, ln_ratio, fitted : (n,) float64
        1/d^2 of the bins, ln(<I / epsilon> / sum f^2), and the line.
    """

    b_factor: float
    scale: float
    inverse_d_squared: np.ndarray
    ln_ratio: np.ndarray
    fitted: np.ndarray


def wilson_plot(
    intensity: npt.ArrayLike,
    d: npt.ArrayLike,
    epsilon: npt.ArrayLike,
    n_residues: float = 200.0,
    n_symmetry: int = 1,
    n_bins: int = 30,
) -> WilsonPlot | None:
    """Fit ln(<I / epsilon> / sum f^2) = -ln scale - B / (2 d^2).

    Parameters
    ----------
    intensity : (n,) float
        Merged intensities.
    d : (n,) float, angstrom
    epsilon : (n,) float
    n_residues
        Residues of the asymmetric unit.
    n_symmetry
        Asymmetric units per cell.
    n_bins
        Bins of equal numbers of reflections.

    Returns
    -------
    WilsonPlot or None
        None with fewer than three bins of positive mean intensity.

    Notes
    -----
    Bins beyond 4 A are used when there are at least five of them, else all.
    """
    values = np.asarray(intensity, dtype=np.float64) / np.asarray(epsilon, dtype=np.float64)
    spacing = np.asarray(d, dtype=np.float64)
    n_bins = int(np.clip(len(values) // 50, 3, n_bins))
    x, y, weight = [], [], []
    for part in np.array_split(np.argsort(-spacing, kind="stable"), n_bins):
        if len(part) < 5:
            continue
        mean = values[part].mean()
        error = values[part].std() / np.sqrt(len(part))
        if not (mean >= 2 * error > 0 and np.isfinite((mean / error) ** 2)):
            continue
        mean_s2 = float((spacing[part] ** -2.0).mean())
        x.append(mean_s2)
        y.append(np.log(mean / (n_symmetry * n_residues * _residue_scattering(0.25 * mean_s2))))
        weight.append((mean / error) ** 2)
    if len(x) < 3:
        return None
    s2, ln_ratio, w = np.array(x), np.array(y), np.array(weight)
    high = s2 > LOWEST_RESOLUTION**-2
    rows = high if high.sum() >= 5 else np.ones(len(s2), bool)
    slope, intercept = np.polyfit(s2[rows], ln_ratio[rows], 1, w=np.sqrt(w[rows]))
    return WilsonPlot(float(-2 * slope), float(np.exp(-intercept)), s2, ln_ratio, intercept + slope * s2)


def _residue_scattering(stol2: float) -> float:
    """Sum of f^2 of a residue at (sin theta / lambda)^2."""
    return sum(n * gemmi.Element(name).it92.calculate_sf(stol2) ** 2 for name, n in RESIDUE.items())
