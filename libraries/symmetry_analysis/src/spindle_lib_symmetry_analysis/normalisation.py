"""Normalised intensities: the fall-off with resolution taken out."""

from __future__ import annotations

import numpy as np

WILSON_OUTLIER = 16.0
MAX_B = 300.0
# Mean composition of a residue of protein, hydrogen bound to heavier atoms left out.
RESIDUE = {"C": 5.0, "N": 1.35, "O": 1.5, "S": 0.04, "H": 8.0}


def quasi(intensity: np.ndarray, x: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """Mean of I / epsilon in shells of equal width in x = 1/d^2, for each reflection."""
    n_shells = 20 if len(x) > 20000 else 15 if len(x) > 15000 else 10
    edges = np.linspace(x.min(), x.max() * (1 + 1e-9), n_shells + 1)
    shell = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, n_shells - 1)
    total = np.bincount(shell, np.maximum(intensity, 0.0) / epsilon, n_shells)
    count = np.bincount(shell, minlength=n_shells)
    return np.asarray((total / np.maximum(count, 1))[shell])


def kernel(intensity: np.ndarray, x: np.ndarray, epsilon: np.ndarray, n_points: int = 50) -> np.ndarray:
    """Mean of I / epsilon as a smooth function of x = 1/d^2 (Gaussian weights of one grid step)."""
    fine = 20 * n_points
    low, high = float(x.min()), float(x.max()) * (1 + 1e-9)
    place = np.clip(((x - low) / (high - low) * fine).astype(np.int64), 0, fine - 1)
    total = np.bincount(place, intensity / epsilon, fine)
    count = np.bincount(place, minlength=fine).astype(np.float64)
    from scipy.ndimage import gaussian_filter1d

    smooth_total = gaussian_filter1d(total, 20.0, mode="constant")
    smooth_count = gaussian_filter1d(count, 20.0, mode="constant")
    mean = smooth_total / np.maximum(smooth_count, 1e-12)
    floor = 1e-6 * float(np.max(mean))
    return np.asarray(np.maximum(mean, floor)[place])


def expected_scattering(x: np.ndarray) -> np.ndarray:
    """Sum of squared form factors of a residue of protein at x = 1/d^2 (International Tables coefficients)."""
    import gemmi

    total = np.zeros_like(x)
    for symbol, number in RESIDUE.items():
        coefficients = gemmi.Element(symbol).it92
        total += number * np.array(coefficients.calculate_sf_array(0.25 * x) if hasattr(coefficients,
        "calculate_sf_array")
                                   else [coefficients.calculate_sf(float(v)) for v in 0.25 * x]) ** 2  # fmt: skip
    return total


def within_signal(intensity: np.ndarray, sigma: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,) bool: reflections below the resolution, x = 1/d^2, where shells of 100 have a mean of less than half a sigma."""
    order = np.argsort(x, kind="stable")
    shells = np.array_split(order, max(len(x) // 100, 1))
    signal = np.array([intensity[s].mean() >= 0.5 * sigma[s].mean() for s in shells])
    last = len(shells) if signal.all() else max(int(np.argmin(signal)) - 1, 0)  # the last with signal may be half noise
    inside = np.zeros(len(x), bool)
    inside[np.concatenate(shells[:last]) if last else order] = True
    return inside


def maximum_likelihood(
    intensity: np.ndarray, q: np.ndarray, epsilon: np.ndarray, anisotropic: bool, fitted: np.ndarray | None = None
) -> tuple[np.ndarray, float, np.ndarray]:
    """Expected intensity k epsilon f(s) exp(-q B q / 2) by maximum likelihood of Wilson's distribution.

    Parameters
    ----------
    intensity : (n,) float64
    q : (n, 3) float64, 1/angstrom
        Reciprocal lattice vectors.
    epsilon : (n,) float64
    anisotropic : bool
        Six components of B, or one.
    fitted : (n,) bool, optional
        Reflections to fit; all when not given. Where there is nothing but noise the likelihood has no maximum.

    Returns
    -------
    expected : (n,) float64
        Mean intensity of each reflection (without epsilon).
    log_scale : float
    B : (3, 3) float64, angstrom^2
    """
    from scipy.optimize import minimize

    x = np.einsum("ij,ij->i", q, q)
    grid = np.linspace(0.0, float(x.max()) * 1.0001, 200)
    curve = np.interp(x, grid, expected_scattering(grid))
    rows = slice(None) if fitted is None else np.flatnonzero(fitted)
    scale = max(float(np.mean((np.maximum(intensity, 0.0) / epsilon / curve)[rows])), 1e-12)
    value = (intensity / epsilon / curve / scale)[rows]
    if anisotropic:
        a, b, c = q.T
        design = np.stack([np.ones(len(x)), -a * a / 2, -b * b / 2, -c * c / 2, -a * b, -a * c, -b * c], axis=1)
    else:
        design = np.stack([np.ones(len(x)), -x / 2], axis=1)

    chosen = design[rows]

    def target(p: np.ndarray) -> tuple[float, np.ndarray]:
        eta = np.clip(chosen @ p, -50.0, 50.0)
        ratio = value * np.exp(-eta)
        return float(np.mean(eta + ratio)), np.asarray(chosen.T @ (1.0 - ratio)) / len(value)

    # Bounds keep intensities that are all noise from driving the fall-off away.
    bounds = [(-10.0, 10.0)] + [(-MAX_B, MAX_B)] * (design.shape[1] - 1)
    fit = minimize(target, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200})
    p = fit.x
    expected = curve * scale * np.exp(np.clip(design @ p, -50.0, 50.0))
    if anisotropic:
        B = np.array([[p[1], p[4], p[5]], [p[4], p[2], p[6]], [p[5], p[6], p[3]]])
    else:
        B = p[1] * np.eye(3)
    return expected, float(p[0] + np.log(scale)), B
