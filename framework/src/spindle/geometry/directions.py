"""Sets of directions."""

from __future__ import annotations

import numpy as np


def hemisphere(step: float) -> np.ndarray:
    """Return unit vectors spread evenly over the hemisphere z >= 0.

    Parameters
    ----------
    step : float, radians
        About how far neighbours are apart.

    Returns
    -------
    (n, 3) float64
        In rows of equal angle to z, from z outwards; the equator is whole, so its opposites are there too.
    """
    n_rows = max(round(np.pi / 2 / step), 1)
    rows = []
    for row in range(n_rows + 1):
        polar = row * np.pi / 2 / n_rows
        n = max(1, round(2 * np.pi * np.sin(polar) / step))
        azimuth = np.arange(n) * 2 * np.pi / n
        x, y = np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)
        rows.append(np.column_stack([x, y, np.full(n, np.cos(polar))]))
    return np.concatenate(rows)


__all__ = ["hemisphere"]
