"""The level below which the pixels of an image are background, from its histogram."""

from __future__ import annotations

import numpy as np

__all__ = ["estimate_global_threshold"]


def estimate_global_threshold(image: np.ndarray, mask: np.ndarray) -> int:
    """Level at the knee of the curve "number of pixels above a level" against the level.

    Parameters
    ----------
    image : (slow, fast) number
    mask : (slow, fast) bool
        True is good.

    Returns
    -------
    int, counts

    Notes
    -----
    Levels are int(1.5^i), i = 1 to 19. The curve is cut where the line to its last point is steepest; the knee is the
    point farthest from the line from there to the end, and the level two entries before it is taken.
    """
    levels = np.array([int(1.5**i) for i in range(1, 20)], dtype=np.float64)
    counts = np.array([np.count_nonzero(mask & (image > level)) for level in levels], dtype=np.float64)
    slopes = (counts[-1] - counts[:-1]) / (levels[-1] - levels[:-1])
    start = int(np.argmin(slopes))
    run, rise = levels[-1] - levels[start], counts[-1] - counts[start]
    distance = np.abs(rise * (levels[start:] - levels[start]) - run * (counts[start:] - counts[start])) / np.hypot(
        run, rise
    )
    knee = start + int(np.argmax(distance))
    return int(levels[max(knee - 2, 0)])
