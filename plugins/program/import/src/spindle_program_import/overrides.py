"""Models changed by the user's parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import ModelError, ParameterError, fault
from spindle.geometry import ELECTRONS_BELOW_A, sensor_depth
from spindle.models import Beam, Detector, Goniometer, Panel

from .hierarchy import apply_hierarchy

# What panels of one detector do not share.
_OF_ONE_PANEL = ("name", "image_size", "fast_axis", "slow_axis", "origin")
#: A beam centre is at most so many sizes of a panel from it: a detector five sizes away on an arm at 89 degrees has it at 5 tan(89 deg) = 286.
FARTHEST = 300
PANEL_TYPES = ("SENSOR_PAD", "SENSOR_CCD", "SENSOR_IMAGE_PLATE", "SENSOR_UNKNOWN")


def changed_beam(beam: Beam, params: Any) -> Beam:
    """Beam with ``geometry.beam`` applied; the same object when nothing is set.

    X-rays shorter than any that are used for diffraction are electrons, unless the user says otherwise.
    """
    names = ("wavelength", "direction", "polarization_normal", "polarization_fraction", "transmission", "flux")
    changes = {name: getattr(params, name) for name in names if getattr(params, name) is not None}
    probe = params.probe
    if probe is None and beam.probe == "x-ray" and changes.get("wavelength", beam.wavelength) < ELECTRONS_BELOW_A:
        probe = "electron"
    if probe is not None and probe != beam.probe:
        changes["probe"] = probe
        if probe != "x-ray":
            changes.setdefault("polarization_fraction", 0.5)
    return replace(beam, **changes) if changes else beam


def probe_note(old: Beam, new: Beam, params: Any) -> str:
    """What to say of a beam that was taken for electrons by its wavelength; "" otherwise."""
    if params.probe is not None or new.probe == old.probe:
        return ""
    return fault(
        "wavelength",
        f"one above {ELECTRONS_BELOW_A:g} A for X-rays",
        f"{new.wavelength:g} A",
        "taken for electrons: not polarised, stopped at the surface of the sensor; set geometry.beam.probe= if they are not",
    )


def changed_goniometer(goniometer: Goniometer | None, params: Any) -> Goniometer | None:
    """Goniometer with ``geometry.goniometer`` applied.

    Raises
    ------
    ParameterError
        If single- and multi-axis parameters are mixed or do not fit each other.
    """
    single = params.axis is not None or params.fixed_rotation is not None or params.setting_rotation is not None
    multi = (
        params.axes is not None or params.angles is not None or params.names is not None or params.scan_axis is not None
    )
    if params.axis is not None and params.axes is not None:
        raise ParameterError(
            "geometry.goniometer.axis= describes a goniometer with one axis and geometry.goniometer.axes= one with "
            "several: give one of them"
        )
    try:
        if multi:
            goniometer = _multi_axis(goniometer, params)
        if single:
            goniometer = _single_axis(goniometer, params)
    except ModelError as error:
        name, given = ("axis", params.axis) if params.axis is not None else ("axes", params.axes)
        if given is None:
            raise
        values = ",".join(f"{v:g}" for v in given)
        raise ParameterError(
            f"geometry.goniometer.{name}={values}: {error}; give a direction, such as 1,0,0"
        ) from error
    if params.invert_rotation_axis:
        if goniometer is None:
            raise ParameterError(
                "geometry.goniometer.invert_rotation_axis=True: the images have no goniometer; give axis= too"
            )
        goniometer = _inverted(goniometer)
    return goniometer


def _single_axis(goniometer: Goniometer | None, params: Any) -> Goniometer:
    axis = params.axis
    if axis is None:
        if goniometer is None:
            raise ParameterError(
                "geometry.goniometer: fixed_rotation and setting_rotation need a goniometer, and the images have "
                "none; give axis="
            )
        axis = goniometer.rotation_axis
    fixed = goniometer.fixed_rotation if goniometer is not None and params.axis is None else np.eye(3)
    setting = goniometer.setting_rotation if goniometer is not None and params.axis is None else np.eye(3)
    if params.fixed_rotation is not None:
        fixed = _rotation(params.fixed_rotation, "fixed_rotation")
    if params.setting_rotation is not None:
        setting = _rotation(params.setting_rotation, "setting_rotation")
    return Goniometer(rotation_axis=axis, fixed_rotation=fixed, setting_rotation=setting)


def _rotation(values: tuple[float, ...], name: str) -> np.ndarray:
    matrix = np.array(values).reshape(3, 3)
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-4) or np.linalg.det(matrix) < 0:
        raise ParameterError(
            f"geometry.goniometer.{name}={','.join(f'{v:g}' for v in values)} is no rotation (rows must be orthogonal "
            "unit vectors)"
        )
    return matrix


def _multi_axis(goniometer: Goniometer | None, params: Any) -> Goniometer:
    if params.axes is not None:
        if len(params.axes) % 3 or not params.axes:
            raise ParameterError(
                f"geometry.goniometer.axes: {len(params.axes)} numbers given, a multiple of 3 expected"
            )
        axes = np.array(params.axes).reshape(-1, 3)
        angles = params.angles if params.angles is not None else (0.0,) * len(axes)
        names = _names(params.names) if params.names else tuple(f"AXIS_{i}" for i in range(len(axes)))
        scan_axis = params.scan_axis if params.scan_axis is not None else len(axes) - 1
    else:
        if goniometer is None or goniometer.axes is None or goniometer.angles_deg is None or goniometer.names is None:
            raise ParameterError(
                "geometry.goniometer.angles=, names= and scan_axis= change a goniometer of several axes, and the "
                "images have none; give axes= too"
            )
        axes = np.array(goniometer.axes)
        angles = params.angles if params.angles is not None else goniometer.angles_deg
        names = _names(params.names) if params.names else goniometer.names
        scan_axis = params.scan_axis if params.scan_axis is not None else goniometer.scan_axis
    return Goniometer.multi_axis(axes, angles, names, int(scan_axis or 0))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _inverted(goniometer: Goniometer) -> Goniometer:
    if goniometer.axes is None or goniometer.scan_axis is None:
        return replace(goniometer, rotation_axis=-goniometer.rotation_axis)
    axes = np.array(goniometer.axes)
    axes[goniometer.scan_axis] *= -1.0
    return Goniometer.multi_axis(axes, goniometer.angles_deg, goniometer.names, goniometer.scan_axis, goniometer.extra)


def changed_detector(detector: Detector, beam: Beam, params: Any, parallax: str | None, has_new_beam: bool) -> Detector:
    """Detector with ``geometry.detector`` applied.

    Parameters
    ----------
    detector, beam : models
        The beam is already changed.
    params : Params
        Of ``geometry.detector``.
    parallax : str or None
        For all panels whose sensor is known; None leaves those that have a correction as they are.
    has_new_beam : bool
        The wavelength differs from that of the header: the attenuation is worked out again.
    """
    panels = [
        replace(p, mu=sensor_depth(p.material, p.thickness, beam.wavelength, p.parallax)[0])
        if has_new_beam and p.mu > 0 and beam.probe == "x-ray"
        else p
        for p in detector
    ]
    if beam.probe != "x-ray" and parallax not in (None, "none"):
        raise ParameterError(
            f"geometry.parallax={parallax}: corrects for the depth at which a sensor stops X-rays; the probe is "
            f"{beam.probe}: leave it out, or set geometry.beam.probe=x-ray"
        )
    if parallax is not None:
        panels = [replace(p, parallax=parallax) if p.mu > 0 and p.parallax != parallax else p for p in panels]
    if sum(1 for change in params.panel if change.id is None) > 1 and len(panels) > 1:
        raise ParameterError(
            f"geometry.detector.panel: the scope is given {len(params.panel)} times and the detector has {len(panels)} panels: "
            f"say which is meant with geometry.detector.panel.id= (0 to {len(panels) - 1})"
        )
    for change in params.panel:
        if change.id is not None and change.id >= len(panels):
            raise ParameterError(
                f"geometry.detector.panel.id={change.id}: the detector has {len(panels)} panels, counted from 0"
            )
        own = [name for name in _OF_ONE_PANEL if getattr(change, name) is not None]
        if change.id is None and own and len(panels) > 1:
            raise ParameterError(
                f"geometry.detector.panel.{own[0]}=: the detector has {len(panels)} panels: say which is meant with "
                f"geometry.detector.panel.id= (0 to {len(panels) - 1})"
            )
        for index in range(len(panels)) if change.id is None else (change.id,):
            panels[index] = _changed_panel(panels[index], beam, change, parallax or "normalised")
    if beam.probe != "x-ray":
        panels = [replace(p, mu=0.0, parallax="none") if p.mu > 0 or p.parallax != "none" else p for p in panels]
    if any(new is not old for new, old in zip(panels, detector, strict=True)):
        detector = detector.replace_panels(panels)
    detector = apply_hierarchy(detector, params)
    if params.distance is not None:
        detector = _at_distance(detector, params.distance)
    return _with_beam_centre(detector, beam, params)


def _changed_panel(panel: Panel, beam: Beam, change: Any, parallax: str) -> Panel:
    fields: dict[str, Any] = {}
    for name in (
        "name",
        "gain",
        "pedestal",
        "pixel_size",
        "image_size",
        "trusted_range",
        "thickness",
        "material",
        "fast_axis",
        "slow_axis",
        "origin",
    ):
        if getattr(change, name) is not None:
            fields[name] = getattr(change, name)
    if change.type is not None:
        if change.type not in PANEL_TYPES:
            raise ParameterError(f"geometry.detector.panel.type={change.type}: choose from {', '.join(PANEL_TYPES)}")
        fields["type"] = change.type
    for name in ("fast_axis", "slow_axis"):
        if name in fields:
            vector = np.array(fields[name])
            if not np.any(vector):
                raise ParameterError(f"geometry.detector.panel.{name}=0,0,0 is no direction")
            fields[name] = vector / np.linalg.norm(vector)
    fast, slow = fields.get("fast_axis", panel.fast_axis), fields.get("slow_axis", panel.slow_axis)
    if abs(float(np.dot(fast, slow))) > 1e-4:
        raise ParameterError(
            f"geometry.detector.panel: fast_axis {np.round(fast, 6)} and slow_axis {np.round(slow, 6)} are not "
            "perpendicular; give both"
        )
    if fields.get("trusted_range") and fields["trusted_range"][0] > fields["trusted_range"][1]:
        raise ParameterError(
            f"geometry.detector.panel.trusted_range={fields['trusted_range']}: the first must not exceed the second"
        )
    thickness = fields.get("thickness", panel.thickness)
    material = fields.get("material", panel.material)
    if "thickness" in fields or "material" in fields:
        fields["mu"], fields["parallax"] = sensor_depth(material, thickness, beam.wavelength, parallax, beam.probe)
    mode = fields.get("parallax", panel.parallax)
    if change.parallax_correction is False:
        fields["parallax"] = "none"
    elif change.parallax_correction and beam.probe != "x-ray":
        raise ParameterError(
            f"geometry.detector.panel.parallax_correction=True: corrects for the depth at which a sensor stops X-rays; "
            f"the probe is {beam.probe}: leave it out"
        )
    elif change.parallax_correction and mode == "none":
        if not (fields.get("mu", panel.mu) > 0 and thickness > 0):
            raise ParameterError(
                "geometry.detector.panel.parallax_correction=True needs the sensor's material= and thickness=, which "
                "the header does not give"
            )
        fields["parallax"] = parallax if parallax != "none" else "normalised"
    return replace(panel, **fields)


def _at_distance(detector: Detector, distance: float) -> Detector:
    """The detector moved along the normal of its first panel to the distance wanted (mm); all panels move together."""
    first = detector[0]
    if first.directed_distance == 0:
        raise ParameterError(
            "geometry.detector.distance=: the plane of the first panel passes through the sample; set panel.origin="
        )
    shift = (np.sign(first.directed_distance) * distance - first.directed_distance) * first.normal
    return detector.replace_panels([replace(p, origin=p.origin + shift) for p in detector])


def _check_near(name: str, first: float, second: float, panel: Panel, is_mm: bool) -> None:
    """Refuse a beam centre that no arm of a detector leads to."""
    size = float(max(panel.image_size)) * (float(max(panel.pixel_size)) if is_mm else 1.0)
    if not max(abs(first), abs(second)) <= FARTHEST * size:
        unit = "mm" if is_mm else "px"
        raise ParameterError(
            f"{name}={first:g},{second:g}: that is more than {FARTHEST} times the size of the panel, {size:g} {unit}, away; "
            f"give it in {unit} from the panel's first pixel"
        )


def _with_beam_centre(detector: Detector, beam: Beam, params: Any) -> Detector:
    """The detector shifted within the plane of a panel so that the beam hits it where the user says."""
    given = [
        name
        for name in ("mosflm_beam_centre", "fast_slow_beam_centre", "slow_fast_beam_centre")
        if getattr(params, name) is not None
    ]
    if not given:
        return detector
    if len(given) > 1:
        raise ParameterError(f"geometry.detector: {' and '.join(given)} both set the beam centre; give one")
    values = getattr(params, given[0])
    if len(values) > 3:
        raise ParameterError(f"geometry.detector.{given[0]}: {len(values)} numbers given, 2 or 3 expected")
    if len(values) == 3:
        index = int(values[2])
    else:
        hit = detector.beam_centre(beam.s0)
        index = hit[0] if hit is not None else 0
    if not 0 <= index < len(detector):
        raise ParameterError(
            f"geometry.detector.{given[0]}: there is no panel {index}; the detector has {len(detector)}"
        )
    panel = detector[index]
    first, second = float(values[0]), float(values[1])
    _check_near(f"geometry.detector.{given[0]}", first, second, panel, given[0] == "mosflm_beam_centre")
    if given[0] == "mosflm_beam_centre":
        wanted = np.array([second, first])
    elif given[0] == "fast_slow_beam_centre":
        wanted = np.array([first, second]) * panel.pixel_size
    else:
        wanted = np.array([second, first]) * panel.pixel_size
    centre = detector.beam_centre_px(beam.s0, index)
    if centre is None:
        raise ModelError(
            f"geometry.detector.{given[0]}: the beam is parallel to panel {index}, which has no beam centre"
        )
    move = centre * panel.pixel_size - wanted
    shift = move[0] * panel.fast_axis + move[1] * panel.slow_axis
    return detector.replace_panels([replace(p, origin=p.origin + shift) for p in detector])
