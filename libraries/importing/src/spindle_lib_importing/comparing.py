"""When two images or experiments have the same model, and what differs when they have not."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Beam, Detector, Goniometer

__all__ = ["beam_differences", "detector_differences", "goniometer_differences"]

#: What differs, and its two values, as text.
Difference = tuple[str, str, str]


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def _show(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "(" + ", ".join(f"{v:.6g}" for v in value.ravel()) + ")"
    if isinstance(value, tuple):
        return "(" + ", ".join(_show(v) for v in value) + ")"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _vector(out: list[Difference], name: str, a: np.ndarray, b: np.ndarray, tolerance: float | None) -> None:
    if tolerance is not None and not np.array_equal(a, b) and _angle(a, b) > tolerance:
        out.append((name, _show(a), _show(b)))


def beam_differences(a: Beam, b: Beam, tolerance: Any) -> list[Difference]:
    """Rows (item, first, second) of what differs between two beams by more than ``tolerance.beam``."""
    out: list[Difference] = []
    if a is b:
        return out
    limit = tolerance.beam
    if limit.wavelength is not None and abs(a.wavelength - b.wavelength) > limit.wavelength * a.wavelength:
        out.append(("wavelength (A)", _show(a.wavelength), _show(b.wavelength)))
    if a.probe != b.probe:
        out.append(("probe", a.probe, b.probe))
    _vector(out, "beam direction", a.direction, b.direction, limit.direction)
    _vector(out, "polarization normal", a.polarization_normal, b.polarization_normal, limit.polarization_normal)
    if (
        limit.polarization_fraction is not None
        and abs(a.polarization_fraction - b.polarization_fraction) > limit.polarization_fraction
    ):
        out.append(("polarization fraction", _show(a.polarization_fraction), _show(b.polarization_fraction)))
    return out


def detector_differences(a: Detector, b: Detector, tolerance: Any) -> list[Difference]:
    """Rows of what differs between two detectors: frames by ``tolerance.detector``, all else must be equal."""
    out: list[Difference] = []
    if a is b:
        return out
    if len(a) != len(b):
        return [("number of panels", str(len(a)), str(len(b)))]
    limit = tolerance.detector
    # Attenuation goes with the third power of the wavelength: it may differ as much as that lets it.
    wavelength = tolerance.beam.wavelength
    mu_limit = None if wavelength is None else max(1e-6, 4.0 * wavelength)
    for i, (p, q) in enumerate(zip(a, b, strict=True)):
        where = f"panel {i} " if len(a) > 1 else ""
        for name in ("image_size", "trusted_range", "material", "type", "identifier", "parallax"):
            if getattr(p, name) != getattr(q, name):
                out.append((where + name.replace("_", " "), _show(getattr(p, name)), _show(getattr(q, name))))
        if not np.allclose(p.pixel_size, q.pixel_size, rtol=1e-6, atol=0):
            out.append((where + "pixel size (mm)", _show(p.pixel_size), _show(q.pixel_size)))
        if mu_limit is not None and abs(p.mu - q.mu) > mu_limit * max(p.mu, q.mu):
            out.append((where + "mu (1/mm)", _show(p.mu), _show(q.mu)))
        for name in ("thickness", "gain", "pedestal"):
            if abs(getattr(p, name) - getattr(q, name)) > 1e-6:
                out.append((where + name, _show(getattr(p, name)), _show(getattr(q, name))))
        _vector(out, where + "fast axis", p.fast_axis, q.fast_axis, limit.fast_axis)
        _vector(out, where + "slow axis", p.slow_axis, q.slow_axis, limit.slow_axis)
        if limit.origin is not None and float(np.abs(p.origin - q.origin).max()) > limit.origin:
            out.append((where + "origin (mm)", _show(p.origin), _show(q.origin)))
            if abs(p.distance - q.distance) > limit.origin:
                out.append((where + "distance (mm)", _show(p.distance), _show(q.distance)))
    return out


def goniometer_differences(a: Goniometer | None, b: Goniometer | None, tolerance: Any) -> list[Difference]:
    """Rows of what differs between two goniometers; the angle of the scan axis itself is no difference."""
    out: list[Difference] = []
    if a is b:
        return out
    if a is None or b is None:
        return [("goniometer", "none" if a is None else "present", "none" if b is None else "present")]
    limit = tolerance.goniometer
    if a.scan_axis != b.scan_axis:
        names = [str(g.names[g.scan_axis]) if g.names and g.scan_axis is not None else "single axis" for g in (a, b)]
        out.append(("scan axis", names[0], names[1]))
    _vector(out, "rotation axis", a.rotation_axis, b.rotation_axis, limit.rotation_axis)
    for name, threshold in (("fixed_rotation", limit.fixed_rotation), ("setting_rotation", limit.setting_rotation)):
        one, two = getattr(a, name), getattr(b, name)
        if threshold is not None and float(np.abs(one - two).max()) > threshold:
            if a.angles_deg is not None and b.angles_deg is not None and a.scan_axis == b.scan_axis:
                continue_angles = [i for i in range(len(a.angles_deg)) if i != a.scan_axis]
                first = tuple(float(a.angles_deg[i]) for i in continue_angles)
                second = tuple(float(b.angles_deg[i]) for i in continue_angles)
                row = ("goniometer angles (deg)", _show(first), _show(second))
                if row not in out:
                    out.append(row)
            else:
                out.append((name.replace("_", " "), _show(one), _show(two)))
    return out
