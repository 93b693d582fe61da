"""The tree of an NXmx file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable
from spindle_lib_exchange import cell_of

from .columns import NAMES

DEFINITION = "https://github.com/nexusformat/definitions/blob/master/applications/NXmx.nxdl.xml"
FEATURES = np.array([6, 7], dtype=np.uint64)  # NXmx and NXreflections in the list of features of NeXus


def write_file(
    path: Path, experiments: Experiments, table: ReflectionTable, instrument: str, instrument_short: str, source: str,
    source_short: str,
) -> None:  # fmt: skip
    """Write models and reflections; nothing in the file depends on when or where it is written."""
    with h5py.File(path, "w") as file:
        entry = _group(file, "entry", "NXentry")
        entry["features"] = FEATURES
        entry["program_name"] = "spindle"
        names = []
        for i, experiment in enumerate(experiments):
            group = _group(entry, f"experiment_{i}", "NXsubentry")
            names.append(group.name)
            _experiment(group, experiment)
            group["instrument/name"] = instrument
            group["instrument/name"].attrs["short_name"] = instrument_short
            _group(group, "source", "NXsource")["name"] = source
            group["source/name"].attrs["short_name"] = source_short
        _reflections(_group(entry, "reflections", "NXreflections"), table, names)
        process = _group(entry, "process", "NXprocess")
        process["program"] = "spindle"
        process["version"] = _version()


def _version() -> str:
    from importlib.metadata import version

    return version("spindle-exporter-nxs")


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def to_mcstas(s0: np.ndarray) -> np.ndarray:
    """(3, 3) turn into the frame of NeXus: z along the beam, y as nearly along the laboratory's y as possible."""
    z = s0 / np.linalg.norm(s0)
    up = np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    y = up - (up @ z) * z
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def _axis_and_angle(R: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit vector and angle in radians of a rotation; the zero vector for none."""
    angle = float(np.arccos(np.clip(0.5 * (np.trace(R) - 1), -1, 1)))
    if angle < 1e-12:
        return np.zeros(3), 0.0
    if np.pi - angle > 1e-6:
        vector = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    else:
        square = 0.5 * (R + np.eye(3))
        vector = square[:, int(np.argmax(np.diag(square)))]
    return vector / np.linalg.norm(vector), angle


def _transformation(
    parent: h5py.Group, name: str, value: Any, kind: str, vector: np.ndarray, unit: str, depends_on: str
) -> h5py.Dataset:
    parent[name] = value
    node = parent[name]
    node.attrs.update(
        {"transformation_type": kind, "vector": vector, "offset": np.zeros(3), "offset_units": "mm", "units": unit,
         "depends_on": depends_on}
    )  # fmt: skip
    return node


def _experiment(group: h5py.Group, experiment: Experiment) -> None:
    R = to_mcstas(experiment.beam.s0)
    group["definition"] = "NXmx"
    group["definition"].attrs.update({"version": 1, "URL": DEFINITION})
    group["title"] = "FROM_SPINDLE"
    own = group.create_group("dials")
    if experiment.imageset is not None and experiment.imageset.template:
        own["template"] = experiment.imageset.template
        if experiment.scan is not None:
            own["template"].attrs["range"] = np.array(experiment.scan.image_range)
    vector, angle = _axis_and_angle(R)
    turn = _group(own, "transformations", "NXtransformations")
    _transformation(turn, "angle", angle, "rotation", -vector, "rad", ".")
    _times(group, experiment)
    _detector(group, experiment, R)
    _sample(group, experiment, R)
    group["instrument/beam"] = group["sample/beam"]  # where newer versions of the definition look for it


def _times(group: h5py.Group, experiment: Experiment) -> None:
    """When the first image began and the last one ended, where the images tell it."""
    scan = experiment.scan
    if scan is None or scan.epochs is None or scan.exposure_times is None or not np.all(scan.epochs > 0):
        return
    for name, seconds in (
        ("start_time", scan.epochs[0]),
        ("end_time_estimated", scan.epochs[-1] + scan.exposure_times[-1]),
    ):
        group[name] = datetime.fromtimestamp(float(seconds), UTC).isoformat()


def _detector(group: h5py.Group, experiment: Experiment, R: np.ndarray) -> None:
    detector = _group(_group(group, "instrument", "NXinstrument"), "detector", "NXdetector")
    first, scan = experiment.detector[0], experiment.scan
    low, high = first.trusted_range
    detector["depends_on"] = "."
    detector["description"] = detector["type"] = first.type or "Unknown"
    detector["bit_depth_readout"] = 32
    detector["saturation_value"], detector["underload"] = int(min(high, 2**62)), int(max(low, -(2**62)))
    detector["sensor_material"] = first.material
    detector["sensor_thickness"] = first.thickness
    detector["sensor_thickness"].attrs["units"] = "mm"
    if scan is not None:
        detector["frame_time"], detector["timestamp"] = scan.exposure_times, scan.epochs
        detector["frame_time"].attrs["units"] = "s"
        detector["count_time"] = scan.exposure_times
        detector["count_time"].attrs["units"] = "s"
    centre = experiment.detector.beam_centre_px(experiment.beam.s0, 0) if len(experiment.detector) == 1 else None
    if centre is not None:
        detector["beam_center_x"], detector["beam_center_y"] = centre
        detector["distance"] = np.linalg.norm(experiment.detector.lab_coordinate_of_pixel(0, centre))
        detector["distance"].attrs["units"] = "mm"
        for name in ("beam_center_x", "beam_center_y"):
            detector[name].attrs["units"] = "pixel"
    for j, panel in enumerate(experiment.detector):
        module = _group(detector, f"module{j}", "NXdetector_module")
        module["data_origin"] = np.array(panel.raw_image_offset)
        module["data_size"] = np.array(panel.image_size)
        origin = R @ panel.origin
        length = float(np.linalg.norm(origin))
        node = _transformation(module, "module_offset", length, "translation", origin / max(length, 1e-300), "mm", ".")
        for name, axis, size in (
            ("fast_pixel_direction", panel.fast_axis, panel.pixel_size[0]),
            ("slow_pixel_direction", panel.slow_axis, panel.pixel_size[1]),
        ):
            _transformation(module, name, float(size), "translation", R @ axis, "mm", node.name)


def _sample(group: h5py.Group, experiment: Experiment, R: np.ndarray) -> None:
    sample = _group(group, "sample", "NXsample")
    sample["name"] = "FROM_SPINDLE"
    beam = _group(sample, "beam", "NXbeam")
    beam["incident_wavelength"] = experiment.beam.wavelength
    beam["incident_wavelength"].attrs["units"] = "angstrom"
    beam["incident_polarization_stokes"] = _stokes(experiment, R)
    goniometer, scan, crystal = experiment.goniometer, experiment.scan, experiment.crystal
    turns = _group(sample, "transformations", "NXtransformations")
    above = "."
    if goniometer is not None:
        for name, matrix in (
            ("setting_rotation", goniometer.setting_rotation),
            ("fixed_rotation", goniometer.fixed_rotation),
        ):
            vector, angle = _axis_and_angle(R @ matrix @ R.T)
            if name == "fixed_rotation" and scan is not None:
                width = scan.oscillation_deg[1]
                angles = scan.oscillation_deg[0] + width * np.arange(scan.n_images)
                axis = R @ goniometer.rotation_axis
                above = _transformation(turns, "phi", angles, "rotation", axis, "deg", above).name
            above = _transformation(turns, name, angle, "rotation", vector, "rad", above).name
    sample["depends_on"] = above
    if crystal is None:
        return
    cell, _ = cell_of(crystal)
    points = crystal.A_at_scan_points
    matrices = np.asarray(crystal.A[None] if points is None else points)
    cells = crystal.cells_at_scan_points if points is not None else crystal.cell[None]
    sample["unit_cell_group"] = crystal.hall
    sample["unit_cell"], sample["average_unit_cell"] = cells, cell
    for name in ("unit_cell", "average_unit_cell"):
        sample[name].attrs.update({"length_units": "angstrom", "angles_units": "deg"})
    sample["orientation_matrix"] = np.array([R @ _orientation(A) for A in matrices])
    sample["average_orientation_matrix"] = R @ crystal.U


def _orientation(A: np.ndarray) -> np.ndarray:
    """U of an A matrix, with B lower triangular: a along x, b in the xy plane (PDB)."""
    # A^-1 = rows a, b, c = L Q with L lower triangular: L^T holds the cell, Q the orientation
    q, r = np.linalg.qr(np.linalg.inv(A).T)
    return np.asarray(q * np.sign(np.diag(r)))


def _stokes(experiment: Experiment, R: np.ndarray) -> np.ndarray:
    """Stokes parameters of the beam: intensity, and linear polarisation along and at 45 degrees to the axes of the frame."""
    beam = experiment.beam
    normal = R @ beam.polarization_normal
    plane = np.array([normal[1], -normal[0]])  # direction of the electric field, in the plane across the beam
    angle = np.arctan2(plane[1], plane[0])
    degree = 2.0 * beam.polarization_fraction - 1.0
    return np.array([1.0, degree * np.cos(2 * angle), degree * np.sin(2 * angle), 0.0])


def _reflections(group: h5py.Group, table: ReflectionTable, names: list[str]) -> None:
    group.attrs["description"] = ""
    group["experiments"] = np.array(names, dtype="S")
    group["reflection_id"] = np.arange(len(table), dtype=np.uint64)
    group["reflection_id"].attrs["description"] = "Number of the row"
    for column in table.columns:
        if column == "shoebox":
            continue
        values = np.asarray(table[column])
        entries = NAMES.get(column, [(None, column, "", "A column of the table, under its own name")])
        for component, name, unit, description in entries:
            part = values if component is None else values[:, component]
            if part.dtype == bool:
                part = part.astype(np.int8)
            group.create_dataset(name, data=part, compression="gzip" if len(part) else None)
            group[name].attrs["description"] = description
            if unit:
                group[name].attrs["units"] = unit
