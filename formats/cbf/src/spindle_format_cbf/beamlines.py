"""What headers of certain detectors leave out.

A plain miniCBF does not say which way its rotation axis points. Without better knowledge it is taken along +x (the fast
axis). The detectors below stand where it is known to be otherwise; the directions are those under which their images
are processed at the facilities. ``geometry.goniometer.axis=`` overrides all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spindle.models import Detector, Goniometer, Panel

from .header import MiniHeader

X = (1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class MultiAxis:
    """A goniometer whose axes are fixed and whose angles are in the header, from crystal to base; omega is the scan
    axis."""

    axes: tuple[tuple[float, float, float], ...]
    names: tuple[str, ...]
    keys: tuple[str, ...]


_SMARGON = MultiAxis((X, (0.0, 0.0, -1.0), X), ("GON_PHI", "GON_CHI", "GON_OMEGA"), ("Phi", "Chi", "Omega"))
_KAPPA_I04 = MultiAxis((X, (0.914, 0.279, -0.297), X), ("GON_PHI", "GON_KAPPA", "GON_OMEGA"), ("Phi", "Kappa", "Omega"))
_KAPPA_I23 = MultiAxis(
    (X, (math.cos(math.radians(50.0)), -math.sin(math.radians(50.0)), 0.0), X),
    ("PHI", "KAPPA", "OMEGA"),
    ("Phi", "Kappa", "Omega"),
)

_SINGLE: dict[str, tuple[float, float, float]] = {
    "60-0114": (0.0, 1.0, 0.0),  # Diamond, vertical axis
    "60-0119": (0.0, 1.0, 0.0),  # Diamond I24, vertical axis
    "60-0125": (-1.0, 0.0, 0.0),  # SPring-8
    "60-0127": (-1.0, 0.0, 0.0),  # CHESS
    "60-0132": (-1.0, 0.0, 0.0),  # APS 19-ID
    "E-32-0107": (0.0, 1.0, 0.0),  # PETRA III P14, vertical axis
}
_MULTI: dict[str, MultiAxis] = {"60-0100": _KAPPA_I04, "160-0001": _SMARGON, "120-0100": _KAPPA_I23}

P12M_SERIAL = "120-0100"
P12M_SIZE = (2463, 5071)


def goniometer_for(header: MiniHeader, reverse: bool) -> Goniometer:
    """Goniometer of a plain miniCBF.

    Parameters
    ----------
    header : MiniHeader
    reverse : bool
        Turn the scan axis round, for images whose angles decrease.
    """
    sign = -1.0 if reverse else 1.0
    multi = _MULTI.get(header.serial)
    if multi is None:
        return Goniometer(rotation_axis=sign * np.array(_SINGLE.get(header.serial, X)))
    axes = np.array(multi.axes)
    scan_axis = len(axes) - 1
    axes[scan_axis] *= sign
    angles = [header.numbers.get(key, 0.0) for key in multi.keys]
    return Goniometer.multi_axis(axes, angles, multi.names, scan_axis)


def p12m_detector(header: MiniHeader, distance: float, **panel_fields: object) -> Detector:
    """The curved Pilatus 12M of Diamond I23: 24 rows of modules on a cylinder about the x axis.

    Radius 250 mm, 8.344 deg from row to row, the first at -8.2485 deg; each row starts 16.8 mm before and 184.9 mm
    beside the foot of its normal. The header's beam centre is relative to pixel (1075, 2594).

    Parameters
    ----------
    header : MiniHeader
    distance : float, mm
        The header's distance, which is the offset of the cylinder's axis along the beam.
    panel_fields : fields of each panel apart from its frame, size and name
    """
    pixel = 0.172
    beam_x, beam_y = header.beam_xy or (1075.0, 2594.0)
    root = np.array([(beam_x - 1075.0) * pixel, (2594.0 - beam_y) * pixel, -distance])
    # Half a turn about the vertical: fast to -x, the cylinder's z to -z.
    turn = np.diag([-1.0, 1.0, -1.0])
    panels = []
    for row in range(24):
        angle = math.radians(-8.2485 + 8.344 * row)
        fast = np.array(X)
        slow = np.array([0.0, math.sin(angle), math.cos(angle)])
        origin = 250.0 * np.cross(fast, slow) - 16.8 * slow - 184.9 * fast
        panels.append(
            Panel(
                fast_axis=turn @ fast,
                slow_axis=turn @ slow,
                origin=turn @ origin + root,
                pixel_size=np.array([pixel, pixel]),
                image_size=(2463, 195),
                name=f"row-{row:02d}",
                raw_image_offset=(0, 212 * row),
                **panel_fields,  # type: ignore[arg-type]
            )
        )
    return Detector(panels)
