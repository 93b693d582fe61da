"""Whether a lattice is one: its spots are more than chance has, and lie as close to their places as those of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .evidence import CHANCE, Evidence

#: Residuals this many times those of the best lattice are not those of a crystal in the same beam.
TOO_WIDE = 3.0
#: A lattice of fewer spots is none.
FEWEST_SPOTS = 12
#: Gain per spot of a lattice that fits in some directions only, or by chance; and as a part of that of the best lattice:
#: less is none, more is one whatever its residuals.
LEAST_PER_SPOT, LEAST_PART, GOOD_PART = 1.0, 0.35, 0.5


def fault(lattice: Evidence, others: Sequence[Evidence]) -> str:
    """Why a lattice does not convince; "" when it does.

    Parameters
    ----------
    lattice : Evidence
    others : sequence of Evidence
        The other lattices of the same spots.
    """
    if lattice.n_spots < FEWEST_SPOTS:
        return f"only {lattice.n_spots:.0f} spots are on its points"
    if lattice.gain < CHANCE:
        return f"its {lattice.n_spots:.0f} spots lie on its points no better than by chance (gain {lattice.gain:.0f}, less than {CHANCE:.0f})"
    if lattice.per_spot < LEAST_PER_SPOT:
        return f"its spots are spread between its points (gain {lattice.per_spot:.1f} per spot, less than {LEAST_PER_SPOT:g})"
    best_per_spot = max((o.per_spot for o in others if o.n_spots > lattice.n_spots / 3), default=0.0)
    if lattice.per_spot < LEAST_PART * best_per_spot:
        return f"its spots are spread between its points (gain {lattice.per_spot:.1f} per spot, {best_per_spot:.1f} of another lattice)"
    if lattice.per_spot > GOOD_PART * best_per_spot:
        return (
            ""  # crystals that lie apart in the beam have their spots apart by pixels, but next to no spots by chance
        )
    for unit, part in (("pixels", slice(0, 2)), ("images", slice(2, 3))):
        own = float(np.sqrt(np.mean(lattice.width[part] ** 2)))
        best = min(
            (float(np.sqrt(np.mean(o.width[part] ** 2))) for o in others if o.n_spots > lattice.n_spots / 3),
            default=own,
        )
        if own > TOO_WIDE * max(best, {"pixels": 0.15, "images": 0.1}[unit]):
            return f"its spots are {own:.2f} {unit} from their places, those of another lattice {best:.2f}"
    return ""


def describe(lattice: Evidence) -> str:
    """Numbers of a lattice for the log."""
    cell = " ".join(f"{v:.2f}" for v in np.linalg.norm(np.linalg.inv(lattice.A), axis=1))
    x, y, z = lattice.width
    return (
        f"{cell} A, {lattice.n_spots:.0f} spots within {x:.2f}, {y:.2f} px and {z:.2f} images, gain {lattice.gain:.0f}"
    )
