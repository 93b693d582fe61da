"""Settings of `spindle simulate` for what beamlines have: several sweeps, axes, panels, wavelengths, formats.

Each is a change of the parameters of `simulated.SMALL` or of those of another test; none says anything of the crystal.
"""

from __future__ import annotations

from typing import Any

__all__ = ["INSTRUMENTS"]

_KAPPA: dict[str, Any] = {
    "goniometer.geometry": "kappa",
    "goniometer.kappa": (40.0, -30.0),
    "goniometer.phi": (20.0, 75.0),
    "detector.two_theta": (0.0, 15.0),
    "scan.start": (10.0, -30.0),
}
_CYLINDER: dict[str, Any] = {
    "detector.shape": "cylinder",
    "detector.modules": (1, 24),
    "detector.image_size": (100, 40),
    "detector.gap": (7, 6),
    "detector.distance": 60.0,
}
_ARM: dict[str, Any] = {
    "detector.shape": "arm",
    "detector.modules": (2, 3),
    "detector.image_size": (80, 60),
    "detector.panels": "modules",
    "detector.misplaced": 0.1,
}
_INTEGRATING: dict[str, Any] = {"detector.gain": 4.0, "detector.offset": -1.5, "detector.read_noise": 2.0}

INSTRUMENTS: dict[str, dict[str, Any]] = {
    "cbf": {"detector.model": "300K"},
    "cbf, from 0": {"detector.model": "300K", "scan.first_image": 0},
    "cbf, backwards": {"detector.model": "300K", "scan.oscillation": -0.5, "scan.start": 12.0},
    "cbf, one name": {
        "detector.model": "300K", "scan.start": (0.0, 90.0), "scan.first_image": (1, 101), "output.folder": "",
        "output.name": "xtal_1_{image:04d}",
    },
    "cbf, # in the name": {
        "detector.model": "300K", "scan.start": (0.0, 90.0), "scan.first_image": (0, 1), "output.folder": "a b #{sweep}",
        "output.name": "xtal#{sweep}_{image:05d}",
    },
    "cbf, modules": {"detector.model": "300K", "detector.panels": "modules"},
    "smv": {"output.format": "smv"},
    "smv, backwards": {"output.format": "smv", "scan.oscillation": -0.5, "scan.start": 3.0},
    "smv, integrating": {"output.format": "smv", **_INTEGRATING},
    "nexus": {"output.format": "nexus"},
    "nexus, backwards": {"output.format": "nexus", "scan.oscillation": -0.5, "scan.start": 5.0},
    "nexus, wavelengths": {"output.format": "nexus", "beam.wavelength": (1.0, 0.9), "scan.start": (0.0, 45.0)},
    "nexus, kappa": {"output.format": "nexus", **_KAPPA},
    "nexus, phi scans": {"output.format": "nexus", **_KAPPA, "goniometer.scan_axis": "phi", "goniometer.omega": 33.0},
    "nexus, fixed chi": {
        "output.format": "nexus", "goniometer.geometry": "chi", "goniometer.phi": (0.0, 120.0), "scan.start": (0.0, 30.0),
        "detector.two_theta": -20.0, "goniometer.axis": (0.0, 1.0, 0.0), "detector.two_theta_axis": (0.0, 1.0, 0.0),
    },
    "nexus, cylinder": {"output.format": "nexus", **_CYLINDER},
    "nexus, arm": {"output.format": "nexus", **_ARM},
    "nexus, integrating": {"output.format": "nexus", **_INTEGRATING},
    "full cbf": {"output.format": "full_cbf"},
    "full cbf, backwards": {
        "output.format": "full_cbf", "scan.oscillation": -0.5, "scan.start": 5.0, "scan.first_image": 0,
    },
    "full cbf, kappa": {"output.format": "full_cbf", **_KAPPA},
    "full cbf, phi scans": {
        "output.format": "full_cbf", **_KAPPA, "goniometer.scan_axis": "phi", "goniometer.omega": 33.0,
    },
    "full cbf, cylinder": {"output.format": "full_cbf", **_CYLINDER},
    "full cbf, arm": {"output.format": "full_cbf", **_ARM, **_INTEGRATING},
}  # fmt: skip
