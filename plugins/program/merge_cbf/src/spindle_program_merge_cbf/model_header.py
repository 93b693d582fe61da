"""A CBF header from models, for images that come from other kinds of files."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from spindle.models import Experiment
from spindle_lib_readers.cbf_writing import block_heading

__all__ = ["model_header"]

_MATERIALS = {"Si": "Silicon", "CdTe": "CdTe", "GaAs": "GaAs"}
_TYPES = {"SENSOR_CCD": "CCD", "SENSOR_PAD": "PAD", "SENSOR_IMAGE_PLATE": "image plate"}


def _row(*values: object) -> str:
    return " ".join(f"{v:.12g}" if isinstance(v, float) else str(v) for v in values)


def _loop(category: str, items: str, rows: list[str]) -> list[str]:
    """Lines of a CIF loop; `items` are separated by blanks."""
    return ["loop_", *(f"_{category}.{item}" for item in items.split()), *rows, ""]


def _axis_angle(rotation: np.ndarray) -> tuple[np.ndarray, float]:
    """Axis and angle (degrees) of a rotation matrix."""
    from scipy.spatial.transform import Rotation

    vector = Rotation.from_matrix(rotation).as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    return (vector / angle if angle > 1e-9 else np.array([1.0, 0.0, 0.0])), angle


def _to_source(direction: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of the laboratory that brings the direction to the source to +z, as imgCIF has it."""
    from scipy.spatial.transform import Rotation

    z = np.array([0.0, 0.0, 1.0])
    if np.allclose(direction, z, atol=1e-9):
        return np.eye(3)
    axis = np.cross(direction, z)
    if np.linalg.norm(axis) < 1e-12:
        axis = np.array([1.0, 0.0, 0.0])  # half a turn
    angle = np.arccos(np.clip(direction @ z, -1.0, 1.0))
    return np.asarray(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix())


def _goniometer(experiment: Experiment, turn: np.ndarray) -> list[tuple[str, np.ndarray, float, bool]]:
    """Name, axis, angle in degrees of each goniometer axis from base to crystal, and whether it is the scan axis."""
    model = experiment.goniometer
    if model is None:
        return []
    if model.axes is not None and model.angles_deg is not None and model.names is not None:
        every = [
            (name.replace(" ", "_"), turn @ axis, float(angle), i == model.scan_axis)
            for i, (name, axis, angle) in enumerate(zip(model.names, model.axes, model.angles_deg, strict=True))
        ]
        return every[::-1]
    axes = [("GONIOMETER_SCAN", turn @ model.rotation_axis, 0.0, True)]
    for name, rotation in (("GONIOMETER_SETTING", model.setting_rotation), ("GONIOMETER_FIXED", model.fixed_rotation)):
        axis, angle = _axis_angle(rotation)
        if angle > 1e-9:
            one = (name, turn @ axis, angle, False)
            axes = [one, *axes] if name == "GONIOMETER_SETTING" else [*axes, one]
    return axes


def model_header(experiment: Experiment, index: int, n: int, cutoff: int, name: str) -> str:
    """The header of the sum of n images of an experiment: miniCBF lines and imgCIF categories.

    Parameters
    ----------
    experiment : Experiment
        With a detector of one panel.
    index : int
        First of the images, counted from 0 within the experiment.
    n : int
    cutoff : int
        Largest trusted count of the sum.
    name : str
        Of the data block.
    """
    beam, panel, scan = experiment.beam, experiment.detector[0], experiment.scan
    start, width, exposure, epoch = 0.0, 0.0, 0.0, 0.0
    if scan is not None:
        start, width = scan.oscillation_deg[0] + index * scan.oscillation_deg[1], n * scan.oscillation_deg[1]
        if scan.exposure_times is not None and scan.epochs is not None:
            exposure = float(np.sum(scan.exposure_times[index : index + n]))
            epoch = float(scan.epochs[index])
    date = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] if epoch > 0 else ""
    fast_size, slow_size = (float(v) for v in panel.pixel_size)
    width_px, height_px = panel.image_size
    direction = -np.asarray(beam.s0) * beam.wavelength
    turn = _to_source(direction / np.linalg.norm(direction))
    centre = experiment.detector.beam_centre_px(beam.s0, 0)
    lines = [
        "###CBF: VERSION 1.5",
        "",
        block_heading(name),
        "",
        "_array_data.header_contents",
        ";",
        f"# Detector: {panel.identifier or panel.name or 'unknown'} (written by Spindle)",
        *([f"# {date}"] if date else []),
        f"# Pixel_size {fast_size * 1e-3:.6g} m x {slow_size * 1e-3:.6g} m",
        *(
            [f"# {_MATERIALS[panel.material]} sensor, thickness {panel.thickness * 1e-3:.7f} m"]
            if panel.material in _MATERIALS and panel.mu > 0
            else []
        ),
        f"# Exposure_time {exposure:.7f} s",
        f"# Exposure_period {exposure:.7f} s",
        f"# Count_cutoff {cutoff} counts",
        f"# Wavelength {beam.wavelength:.7f} A",
        f"# Detector_distance {panel.distance * 1e-3:.7f} m",
        *([f"# Beam_xy ({centre[0]:.3f}, {centre[1]:.3f}) pixels"] if centre is not None else []),
        f"# Start_angle {start:.6f} deg.",
        f"# Angle_increment {width:.6f} deg.",
        f"# Polarization {beam.polarization_fraction:.4f}",
        ";",
        "",
        "_diffrn.id DIFFRN",
        "",
    ]
    # DXTBX tells a full CBF from a miniCBF by the category of the source.
    lines += _loop("diffrn_source", "diffrn_id source type", ["DIFFRN unknown unknown"])
    lines += _loop("diffrn_radiation_wavelength", "id wavelength wt", [_row("WAVELENGTH1", float(beam.wavelength), 1)])
    lines += _loop("diffrn_radiation", "diffrn_id wavelength_id", ["DIFFRN WAVELENGTH1"])
    kind = _TYPES.get(panel.type, "unknown")
    lines += _loop("diffrn_detector", "diffrn_id id type number_of_axes", [f"DIFFRN DETECTOR '{kind}' 1"])
    lines += _loop("diffrn_detector_axis", "detector_id axis_id", ["DETECTOR DETECTOR_Z"])
    lines += _loop("diffrn_detector_element", "id detector_id", ["ELEMENT1 DETECTOR"])
    lines += _loop("diffrn_data_frame", "id detector_element_id array_id binary_id", ["FRAME1 ELEMENT1 ARRAY1 1"])
    lines += _loop("diffrn_scan", "id frame_id_start frame_id_end frames", ["SCAN1 FRAME1 FRAME1 1"])
    # The origin is carried by a translation along the beam, as other programs read the distance from it.
    origin = turn @ panel.origin
    depth = -float(origin[2])
    axes, scan_axes, frame_axes = [], [], []
    parent = "."
    goniometer = _goniometer(experiment, turn)
    for axis_name, axis, angle, moves in goniometer:
        axes.append(_row(axis_name, "rotation", "goniometer", parent, *map(float, axis), ". . ."))
        angle, step = (start, width) if moves else (angle, 0.0)
        scan_axes.append(_row("SCAN1", axis_name, f"{angle:.6f} {step:.6f} {step:.6f} 0.0 0.0 0.0"))
        frame_axes.append(_row("FRAME1", axis_name, f"{angle:.6f} 0.0"))
        parent = axis_name
    fast, slow = turn @ panel.fast_axis, turn @ panel.slow_axis
    axes += [
        "SOURCE general source . 0 0 1 . . .",
        "GRAVITY general gravity . 0 -1 0 . . .",
        "DETECTOR_Z translation detector . 0 0 -1 0 0 0",
        _row(
            "ELEMENT_FAST",
            "translation detector DETECTOR_Z",
            *map(float, fast),
            float(origin[0]),
            float(origin[1]),
            "0",
        ),
        _row("ELEMENT_SLOW", "translation detector ELEMENT_FAST", *map(float, slow), "0 0 0"),
    ]
    scan_axes.append(_row("SCAN1 DETECTOR_Z 0.0 0.0 0.0", depth, "0.0 0.0"))
    frame_axes.append(_row("FRAME1 DETECTOR_Z 0.0", depth))
    if goniometer:
        lines += _loop(
            "diffrn_measurement",
            "diffrn_id id number_of_axes method",
            [_row("DIFFRN GONIOMETER", len(goniometer), "rotation")],
        )
        lines += _loop("diffrn_measurement_axis", "measurement_id axis_id", [f"GONIOMETER {g[0]}" for g in goniometer])
    lines += _loop(
        "diffrn_scan_axis",
        "scan_id axis_id angle_start angle_range angle_increment displacement_start displacement_range "
        "displacement_increment",
        scan_axes,
    )
    lines += _loop(
        "diffrn_scan_frame", "frame_id frame_number integration_time scan_id date",
        [f"FRAME1 1 {exposure:.7f} SCAN1 {date or '.'}"],
    )  # fmt: skip
    lines += _loop("diffrn_scan_frame_axis", "frame_id axis_id angle displacement", frame_axes)
    vector = "vector[1] vector[2] vector[3] offset[1] offset[2] offset[3]"
    lines += _loop("axis", f"id type equipment depends_on {vector}", axes)
    lines += _loop(
        "array_structure_list", "array_id index dimension precedence direction axis_set_id",
        [f"ARRAY1 1 {width_px} 1 increasing ELEMENT_FAST", f"ARRAY1 2 {height_px} 2 increasing ELEMENT_SLOW"],
    )  # fmt: skip
    lines += _loop(
        "array_structure_list_axis", "axis_set_id axis_id displacement displacement_increment",
        [_row("ELEMENT_FAST ELEMENT_FAST 0.0", fast_size), _row("ELEMENT_SLOW ELEMENT_SLOW 0.0", slow_size)],
    )  # fmt: skip
    lines += _loop(
        "array_element_size", "array_id index size",
        [_row("ARRAY1 1", fast_size * 1e-3), _row("ARRAY1 2", slow_size * 1e-3)],
    )  # fmt: skip
    lines += _loop(
        "array_intensities", "array_id binary_id linearity gain overload undefined_value",
        [_row("ARRAY1 1 linear", float(panel.gain or 1.0), cutoff, "-1")],
    )  # fmt: skip
    lines += _loop(
        "array_structure", "id encoding_type compression_type byte_order",
        ['ARRAY1 "signed 32-bit integer" CBF_BYTE_OFFSET little_endian'],
    )  # fmt: skip
    return "\n".join(lines)
