"""The resolution that a detector reaches in all directions."""

from __future__ import annotations

import numpy as np

from spindle.models import Beam, Detector


def inscribed_resolution(detector: Detector, beam: Beam) -> float | None:
    """Resolution (angstrom) of the largest cone about the beam that lies wholly on the detector; None when the beam
    misses it.

    For one panel the largest d of the four points where the cross through the beam centre leaves it; for several, the
    corners are projected stereographically and the nearest edge of their convex hull counts.
    """
    s0 = beam.s0
    if len(detector) == 1:
        centre = detector.beam_centre_px(s0, 0)
        if centre is None or detector.beam_centre(s0) is None:
            return None
        w, h = detector[0].image_size
        points = [[0.0, centre[1]], [w, centre[1]], [centre[0], 0.0], [centre[0], h]]
        return float(detector.resolution_at(0, points, s0).max())
    corners = []
    for panel in detector:
        w, h = panel.size_mm
        corners += [
            panel.origin + x * panel.fast_axis + y * panel.slow_axis for x, y in ((0, 0), (w, 0), (0, h), (w, h))
        ]
    rays = np.array(corners)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    forward = s0 / np.linalg.norm(s0)
    side = np.cross(forward, [1.0, 0.0, 0.0] if abs(forward[0]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(forward, side)
    scale = 2.0 / np.maximum(1.0 + rays @ forward, 1e-9)
    flat = np.stack([rays @ side, rays @ up], axis=1) * scale[:, None]
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(flat)
    except QhullError:
        return None
    # Offsets of the hull's edges are negative where the origin, the beam, is inside.
    nearest = float((-hull.equations[:, 2]).min())
    if nearest <= 0:
        return None
    theta = float(np.arctan(nearest / 2.0))
    return beam.wavelength / (2.0 * np.sin(theta))
