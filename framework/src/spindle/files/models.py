"""Each model to and from its dictionary in the experiment file.

Two conventions differ between file and memory. Trusted ranges of the form [-1, N] come from writers that exclude both
ends; in memory the range is inclusive and begins at 0, and it is written as [-1, N] again so that those readers accept
it. Panels are stored local to their group; in memory they are in the laboratory frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Beam, Crystal, Detector, Goniometer, Panel, Scan
from spindle.models.arrays import whole_number
from spindle.models.scan import MAX_IMAGES

_PANEL_KEYS = {
    "name", "type", "fast_axis", "slow_axis", "origin", "raw_image_offset", "image_size", "pixel_size", "trusted_range",
    "thickness", "material", "mu", "identifier", "mask", "gain", "pedestal", "px_mm_strategy",
}  # fmt: skip
_INCLUSIVE = "_trusted_range_is_inclusive"


def beam_from_dict(data: dict[str, Any]) -> Beam:
    """Beam of an experiment file."""
    known = {
        "direction", "wavelength", "divergence", "sigma_divergence", "polarization_normal", "polarization_fraction",
        "flux",
        "transmission", "probe", "s0_at_scan_points",
    }  # fmt: skip
    if "wavelength" not in data and "wavelength_range" in data:
        raise ValueError(
            "the beam is polychromatic (it has a wavelength range); only monochromatic beams can be processed"
        )
    points = data.get("s0_at_scan_points")
    probe = (
        "electron" if float(data["wavelength"]) < ELECTRONS_BELOW_A else "x-ray"
    )  # files of DIALS have said it only lately
    return Beam(
        direction=data.get("direction", (0.0, 0.0, 1.0)),
        wavelength=float(data["wavelength"]),
        polarization_normal=data.get("polarization_normal", (0.0, 1.0, 0.0)),
        polarization_fraction=float(data.get("polarization_fraction", 0.999)),
        divergence_deg=float(data.get("divergence", 0.0)),
        sigma_divergence_deg=float(data.get("sigma_divergence", 0.0)),
        flux=float(data.get("flux", 0.0)),
        transmission=float(data.get("transmission", 1.0)),
        probe=str(data.get("probe", probe)),
        s0_at_scan_points=points if points else None,
        extra={k: v for k, v in data.items() if k not in known},
    )


def beam_to_dict(beam: Beam) -> dict[str, Any]:
    """Dictionary of a beam."""
    out: dict[str, Any] = {
        "direction": beam.direction.tolist(),
        "wavelength": beam.wavelength,
        "divergence": beam.divergence_deg,
        "sigma_divergence": beam.sigma_divergence_deg,
        "polarization_normal": beam.polarization_normal.tolist(),
        "polarization_fraction": beam.polarization_fraction,
        "flux": beam.flux,
        "transmission": beam.transmission,
        **beam.extra,
    }
    if beam.probe != "x-ray" or "__id__" in beam.extra:
        out["probe"] = beam.probe
    if beam.s0_at_scan_points is not None:
        out["s0_at_scan_points"] = beam.s0_at_scan_points.tolist()
    return out


def _frame(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (columns fast, slow, normal) and origin of a node; nodes without a frame sit on their parent."""
    if "fast_axis" not in data:
        return np.eye(3), np.zeros(3)
    fast, slow = (np.array(data[k], dtype=np.float64) for k in ("fast_axis", "slow_axis"))
    return np.stack([fast, slow, np.cross(fast, slow)], axis=1), np.array(
        data.get("origin", (0, 0, 0)), dtype=np.float64
    )


def _parent_frames(hierarchy: dict[str, Any] | None, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Laboratory frame of the parent of each panel."""
    frames = [(np.eye(3), np.zeros(3))] * n

    def visit(node: dict[str, Any], rotation: np.ndarray, origin: np.ndarray) -> None:
        local_rotation, local_origin = _frame(node)
        rotation, origin = rotation @ local_rotation, rotation @ local_origin + origin
        for child in node.get("children", []):
            if "panel" in child:
                frames[whole_number(child["panel"], "a panel of the hierarchy", 0, n - 1)] = (rotation, origin)
            else:
                visit(child, rotation, origin)

    if hierarchy:
        visit(hierarchy, np.eye(3), np.zeros(3))
    return frames


def _is_identity(frame: tuple[np.ndarray, np.ndarray]) -> bool:
    return bool(np.array_equal(frame[0], np.eye(3)) and not np.any(frame[1]))


def _panel_from_dict(data: dict[str, Any], parent: tuple[np.ndarray, np.ndarray]) -> Panel:
    fast, slow, origin = (np.array(data[k], dtype=np.float64) for k in ("fast_axis", "slow_axis", "origin"))
    if not _is_identity(parent):
        rotation, shift = parent
        fast, slow, origin = rotation @ fast, rotation @ slow, rotation @ origin + shift
    low, high = (float(v) for v in data.get("trusted_range", (0.0, 65535.0)))
    extra = {k: v for k, v in data.items() if k not in _PANEL_KEYS}
    if low == -1.0:
        low = 0.0
    else:
        extra[_INCLUSIVE] = True
    strategy = data.get("px_mm_strategy") or {}
    mu, thickness = float(data.get("mu", 0.0)), float(data.get("thickness", 0.0))
    parallax = "none"
    if (
        strategy.get("type", "").startswith(("ParallaxCorrected", "OffsetParallaxCorrected"))
        and mu > 0
        and thickness > 0
    ):
        parallax = strategy.get("depth", "dials")
    return Panel(
        fast_axis=fast, slow_axis=slow, origin=origin, pixel_size=data["pixel_size"], image_size=data["image_size"],
        name=data.get("name", "Panel"), type=data.get("type", "SENSOR_UNKNOWN"), trusted_range=(low, high),
        thickness=thickness,
        material=data.get("material", ""), mu=mu, gain=float(data.get("gain", 1.0)), pedestal=float(data.get("pedestal",
        0.0)),
        mask=tuple(tuple(int(v) for v in r) for r in data.get("mask", [])),  # type: ignore[misc]
        identifier=data.get("identifier", ""), raw_image_offset=tuple(data.get("raw_image_offset", (0, 0))),
        parallax=parallax, extra=extra,
    )  # fmt: skip


def detector_from_dict(data: dict[str, Any]) -> Detector:
    """Detector of an experiment file, with its panels taken to the laboratory frame."""
    hierarchy = data.get("hierarchy")
    panels = data["panels"]
    return Detector(
        [_panel_from_dict(p, f) for p, f in zip(panels, _parent_frames(hierarchy, len(panels)), strict=True)], hierarchy
    )


def detector_to_dict(detector: Detector) -> dict[str, Any]:
    """Dictionary of a detector, with its panels local to their groups again."""
    panels = []
    for panel, parent in zip(detector, _parent_frames(detector.hierarchy, len(detector)), strict=True):
        fast, slow, origin = panel.fast_axis, panel.slow_axis, panel.origin
        if not _is_identity(parent):
            rotation, shift = parent
            fast, slow, origin = rotation.T @ fast, rotation.T @ slow, rotation.T @ (origin - shift)
        low, high = panel.trusted_range
        if low == 0.0 and not panel.extra.get(_INCLUSIVE):
            low = -1.0
        strategy = {"type": "SimplePxMmStrategy" if panel.parallax == "none" else "ParallaxCorrectedPxMmStrategy"}
        if panel.parallax == "normalised":
            strategy["depth"] = "normalised"
        panels.append(
            {
                "name": panel.name,
                "type": panel.type,
                "fast_axis": fast.tolist(),
                "slow_axis": slow.tolist(),
                "origin": origin.tolist(),
                "raw_image_offset": list(panel.raw_image_offset),
                "image_size": list(panel.image_size),
                "pixel_size": panel.pixel_size.tolist(),
                "trusted_range": [low, high],
                "thickness": panel.thickness,
                "material": panel.material,
                "mu": panel.mu,
                "identifier": panel.identifier,
                "mask": [list(r) for r in panel.mask],
                "gain": panel.gain,
                "pedestal": panel.pedestal,
                "px_mm_strategy": strategy,
                **{k: v for k, v in panel.extra.items() if k != _INCLUSIVE},
            }
        )
    out: dict[str, Any] = {"panels": panels}
    if detector.hierarchy is not None:
        out["hierarchy"] = detector.hierarchy
    return out


def goniometer_from_dict(data: dict[str, Any]) -> Goniometer:
    """Goniometer of an experiment file; with axes, angles and scan_axis it is a multi-axis one."""
    known = {
        "rotation_axis",
        "fixed_rotation",
        "setting_rotation",
        "axes",
        "angles",
        "names",
        "scan_axis",
        "setting_rotation_at_scan_points",
    }
    extra = {k: v for k, v in data.items() if k not in known}
    if {"axes", "angles", "scan_axis"} <= data.keys():
        names = data.get("names") or [f"axis_{i}" for i in range(len(data["axes"]))]
        return Goniometer.multi_axis(data["axes"], data["angles"], names, int(data["scan_axis"]), extra)
    points = data.get("setting_rotation_at_scan_points")
    identity = np.eye(3).ravel()
    return Goniometer(
        rotation_axis=data["rotation_axis"],
        fixed_rotation=np.array(data.get("fixed_rotation", identity)).reshape(3, 3),
        setting_rotation=np.array(data.get("setting_rotation", identity)).reshape(3, 3),
        setting_rotation_at_scan_points=np.array(points).reshape(-1, 3, 3) if points else None,
        extra=extra,
    )


def goniometer_to_dict(goniometer: Goniometer) -> dict[str, Any]:
    """Dictionary of a goniometer."""
    if goniometer.axes is not None and goniometer.angles_deg is not None and goniometer.names is not None:
        return {
            "axes": goniometer.axes.tolist(),
            "angles": goniometer.angles_deg.tolist(),
            "names": list(goniometer.names),
            "scan_axis": goniometer.scan_axis,
            **goniometer.extra,
        }
    out = {
        "rotation_axis": goniometer.rotation_axis.tolist(),
        "fixed_rotation": goniometer.fixed_rotation.ravel().tolist(),
        "setting_rotation": goniometer.setting_rotation.ravel().tolist(),
        **goniometer.extra,
    }
    if goniometer.setting_rotation_at_scan_points is not None:
        out["setting_rotation_at_scan_points"] = goniometer.setting_rotation_at_scan_points.reshape(-1, 9).tolist()
    return out


def scan_from_dict(data: dict[str, Any]) -> Scan:
    """Scan of an experiment file, in either of its two layouts."""
    known = {"image_range", "oscillation", "exposure_time", "epochs", "batch_offset", "valid_image_ranges"}
    first, last = (int(v) for v in data["image_range"])
    n = min(last - first + 1, MAX_IMAGES + 1)  # the scan says what is wrong with more
    properties = dict(data.get("properties") or {})
    exposure, epochs = data.get("exposure_time"), data.get("epochs")
    if "oscillation" in data:
        start, width = data["oscillation"]
    else:
        angles = properties.get("oscillation", [0.0])
        start = angles[0]
        width = angles[1] - angles[0] if len(angles) > 1 else (properties.get("oscillation_width") or [0.0])[0]
        exposure, epochs = properties.get("exposure_time"), properties.get("epochs")
    return Scan(
        image_range=(first, last),
        oscillation_deg=(float(start), float(width)),
        exposure_times=_per_image(exposure, n),
        epochs=_per_image(epochs, n),
        batch_offset=int(data.get("batch_offset", 0)),
        valid_image_ranges=dict(data.get("valid_image_ranges") or {}),
        extra={k: v for k, v in data.items() if k not in known},
    )


def _per_image(values: Any, n: int) -> np.ndarray | None:
    """Values per image; old files hold a single value, or none, for a whole scan."""
    if values is None or (hasattr(values, "__len__") and len(values) == 0):
        return None
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return array if len(array) == n else np.full(n, array[0])


def scan_to_dict(scan: Scan) -> dict[str, Any]:
    """Dictionary of a scan, in the layout that it was read in."""
    assert scan.exposure_times is not None and scan.epochs is not None
    out: dict[str, Any] = {"image_range": list(scan.image_range), "batch_offset": scan.batch_offset}
    extra = dict(scan.extra)
    if "properties" in extra:
        properties = dict(extra.pop("properties"))
        start, width = scan.oscillation_deg
        if "oscillation" in properties:
            properties["oscillation"] = [start + i * width for i in range(scan.n_images)]
        # One image alone does not tell its width by the angle of the next.
        if "oscillation_width" in properties or ("oscillation" in properties and scan.n_images == 1):
            properties["oscillation_width"] = [width] * scan.n_images
        for key, values in (("exposure_time", scan.exposure_times), ("epochs", scan.epochs)):
            if key in properties:
                properties[key] = values.tolist()
        out["properties"] = properties
    else:
        out.update(
            oscillation=list(scan.oscillation_deg),
            exposure_time=scan.exposure_times.tolist(),
            epochs=scan.epochs.tolist(),
        )
    out["valid_image_ranges"] = scan.valid_image_ranges
    return {**out, **extra}


#: What others write beside the models and programs show: how many numbers each is.
_NUMBERS_OF_CRYSTALS = {"B_covariance": 81, "ML_half_mosaicity_deg": 1, "ML_domain_size_ang": 1}


def _check_numbers(data: dict[str, Any], key: str, n: int) -> None:
    """Raise ValueError when there is something under `key` that is not so many finite numbers."""
    value = data.get(key)
    if value is None:
        return
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} holds what is not a number") from error
    if numbers.size != n or (n == 1 and numbers.ndim) or not np.isfinite(numbers).all():
        raise ValueError(f"{key} should be {n} finite number{'s' if n > 1 else ''}")


def crystal_from_dict(data: dict[str, Any]) -> Crystal:
    """Crystal of an experiment file."""
    known = {
        "__id__", "real_space_a", "real_space_b", "real_space_c", "space_group_hall_symbol", "A_at_scan_points",
        "mosaicity",
        "recalculated_cell_parameter_sd",
    }  # fmt: skip
    real = np.array([data["real_space_a"], data["real_space_b"], data["real_space_c"]], dtype=np.float64)
    points = data.get("A_at_scan_points")
    for key, n in _NUMBERS_OF_CRYSTALS.items():
        _check_numbers(data, key, n)
    sd = data.get("recalculated_cell_parameter_sd")
    return Crystal(
        A=np.linalg.inv(real),
        hall=data.get("space_group_hall_symbol", " P 1"),
        A_at_scan_points=np.array(points).reshape(-1, 3, 3) if points else None,
        mosaicity_deg=data.get("mosaicity"),
        cell_sd=None if sd is None else np.array(sd, dtype=np.float64),
        extra={k: v for k, v in data.items() if k not in known} | {"__id__": data.get("__id__", "crystal")},
    )


def crystal_to_dict(crystal: Crystal) -> dict[str, Any]:
    """Dictionary of a crystal."""
    real = crystal.real_space
    extra = dict(crystal.extra)
    out: dict[str, Any] = {
        "__id__": extra.pop("__id__", "crystal"),
        "real_space_a": real[0].tolist(),
        "real_space_b": real[1].tolist(),
        "real_space_c": real[2].tolist(),
        "space_group_hall_symbol": crystal.hall,
    }
    if crystal.mosaicity_deg is not None:
        out["mosaicity"] = crystal.mosaicity_deg
    if crystal.A_at_scan_points is not None:
        out["A_at_scan_points"] = crystal.A_at_scan_points.reshape(-1, 9).tolist()
    if crystal.cell_sd is not None and "recalculated_unit_cell" in extra:
        out["recalculated_cell_parameter_sd"] = np.asarray(crystal.cell_sd).tolist()
    return {**out, **extra}


FROM_DICT = {
    "beam": beam_from_dict,
    "detector": detector_from_dict,
    "goniometer": goniometer_from_dict,
    "scan": scan_from_dict,
    "crystal": crystal_from_dict,
}
TO_DICT = {
    "beam": beam_to_dict,
    "detector": detector_to_dict,
    "goniometer": goniometer_to_dict,
    "scan": scan_to_dict,
    "crystal": crystal_to_dict,
}
