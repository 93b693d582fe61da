"""The mosaic model of a still: how far from the Ewald sphere its lattice points were seen to diffract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Fewer spots tell no mosaicity.
FEWEST_SPOTS = 5
#: Spots of a bin of the first estimate, bins at least and at most.
PER_BIN, LEAST_BINS, MOST_BINS = 25, 3, 50
#: Steepness of the edges of the distribution, in units of its half width.
STEEP = 10.0
#: The fitted widths are written with this margin, so that a prediction with them misses next to no spot.
MARGIN = 1.4
#: Steps of the integral of the mosaic part of the volume.
N_STEPS = 100


@dataclass(frozen=True)
class MosaicModel:
    """Points within |delta psi| <= d / domain_size + mosaicity / 2 of the Ewald sphere diffract.

    Attributes
    ----------
    domain_size : float, angstrom
        Effective size of the coherent blocks.
    mosaicity : float, radians
        Full angular spread of the blocks.
    """

    domain_size: float
    mosaicity: float

    def half_width(self, d: np.ndarray) -> np.ndarray:
        """(n,) float64, radians: largest delta psi of points of spacing d (n,) angstrom."""
        return np.asarray(d / self.domain_size + self.mosaicity / 2)

    @property
    def written(self) -> dict[str, float]:
        """Extra values of the crystal, with the margin that users of them expect."""
        return {
            "ML_half_mosaicity_deg": float(np.degrees(MARGIN * self.mosaicity / 2)),
            "ML_domain_size_ang": float(self.domain_size / MARGIN),
        }

    def ewald_proximal_volume(self, wavelength: float, d_min: float) -> float:
        """Volume of reciprocal space, 1/angstrom^3, whose points diffract: what a lattice of chance has to be lucky in.

        Parameters
        ----------
        wavelength : float, angstrom
        d_min : float, angstrom
            Resolution to which it is counted; half the wavelength at least.

        Notes
        -----
        The shell of thickness 1 / domain_size on the cap of the sphere up to d_min, and what the spread of orientations adds to it.
        """
        radius = 1 / wavelength
        angle = 2 * np.arcsin(min(wavelength / (2 * d_min), 1.0))
        outer = radius + 1 / self.domain_size
        shell = np.pi * (2 / 3) * (1 - np.cos(angle)) * (outer**3 - radius**3)
        phi = np.linspace(0, angle, N_STEPS, endpoint=False) + angle / N_STEPS / 2
        thick = (outer + self.mosaicity * radius * np.sin(phi) / 2) ** 3 - outer**3
        return float(shell + (2 / 3) * np.pi * np.sum(thick * np.sin(phi)) * angle / N_STEPS)


def fit_mosaicity(d: np.ndarray, delta_psi: np.ndarray, volume: float) -> MosaicModel:
    """Fit the model to the spots of a still by maximum likelihood.

    Parameters
    ----------
    d : (n,) float64, angstrom
        Spacings; n at least 5.
    delta_psi : (n,) float64, radians
        Angles through which the points have to be turned on to the sphere.
    volume : float, cubic angstrom
        Of the cell: blocks are at least three cells wide.

    Notes
    -----
    Nave (1998), Acta Cryst. D54, 848-853; Sauter, Hattne, Brewster, Echols, Zwart & Adams (2014), Acta Cryst. D70, 3299-3309. The
    distribution within the half width m is a box with soft edges, p(t) ~ 1 / ((1 + exp(10 (t + 1))) (1 + exp(10 (1 - t))))
    / m, t = delta psi / m; it begins from a line through the largest delta psi of bins of resolution.
    """
    order = np.argsort(d, kind="stable")[::-1]  # low angles first
    d, delta_psi = d[order], delta_psi[order]
    n = len(d)
    n_bins = min(max(LEAST_BINS, n // PER_BIN), MOST_BINS)
    size = max(n // n_bins, 1)
    mean, largest = np.array(
        [
            (d[i : i + size].mean(), np.abs(delta_psi[i : i + size]).max())
            for i in range(0, size * n_bins, size)
            if i < n
        ]
    ).T
    slope, constant = np.polyfit(mean, largest, 1) if np.ptp(mean) > 0 else (0.0, largest.max())
    least = 3 * np.cbrt(volume)
    domain = max(1 / (2 * slope), least) if slope > 0 else least
    spread = max(abs(2 * constant), 1e-6)

    def negative_likelihood(x: np.ndarray) -> float:
        half = (d * np.exp(x[0]) + np.exp(x[1])) / 2
        t = delta_psi / half
        # ln(1 + e^x) without overflow
        return float(
            np.sum(np.log(2 * half) + np.logaddexp(0, STEEP * (t + 1)) + np.logaddexp(0, STEEP * (1 - t)))
            - 2 * n * np.log1p(np.exp(STEEP))
        )

    start = np.array([np.log(2 / domain), np.log(spread)])
    from scipy.optimize import minimize

    best = minimize(
        negative_likelihood, start, method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-7, "maxiter": 500, "initial_simplex": start + np.array([[0, 0], [0.3, 0], [0, 0.3]])},
    ).x  # fmt: skip
    return MosaicModel(float(2 / np.exp(best[0])), float(np.exp(best[1])))
