"""Text about the models of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Goniometer,
    Panel,
    Scan,
    cell_from_real_space,
)
from spindle.report import Table
from spindle.symmetry import cell_deviations
from spindle_lib_masks.shadows import shadow_of

from .resolution import inscribed_resolution

# Images, first and last among them, of which shadows are told.
SHADOWED_IMAGES = 3

# What crystals of stills have in addition (Sauter and Nave), by its name in the file.
_STILL_CRYSTAL = {
    "ML_half_mosaicity_deg": "Half mosaic angle (degrees)",
    "ML_domain_size_ang": "Domain size (Angstroms)",
}


def _vector(values: Any) -> str:
    return "{" + ",".join(f"{v + 0.0:.6g}" for v in np.ravel(values)) + "}"


def describe_experiment(
    experiment: Experiment, show_scan_varying: bool, image_format: str = "", profile: Table | None = None
) -> str:
    """All models of an experiment, line by line; the profile model as its plugin tells of it, or key by key."""
    lines = [f"Experiment identifier: {experiment.identifier}"]
    if image_format:
        lines.append(f"Image format: {image_format}")
    imageset = experiment.imageset
    if imageset is not None:
        if imageset.template is not None:
            lines.append(f"Image template: {imageset.template}")
        elif len(imageset.paths) == 1:
            lines.append(f"Image file: {imageset.paths[0]}")
        elif imageset.paths:
            lines.append(f"Image files: {len(imageset.paths)}, {imageset.paths[0]} to {imageset.paths[-1]}")
        lines += [
            f"{kind} file: {getattr(imageset, kind)}"
            for kind in ("mask", "gain", "pedestal", "dx", "dy")
            if getattr(imageset, kind)
        ]
    lines += _detector(experiment.detector, experiment.beam)
    lines += _beam(experiment.beam, experiment.detector, show_scan_varying)
    if experiment.scan is not None:
        lines += _scan(experiment.scan)
    if experiment.goniometer is not None:
        lines += _goniometer(experiment.goniometer, show_scan_varying)
        lines += _shadows(experiment)
    if experiment.crystal is not None:
        lines += _crystal(experiment.crystal, show_scan_varying)
    if experiment.profile is not None:
        lines += _profile(experiment.profile, profile)
    if experiment.scaling_model is not None:
        lines += _scaling_model(experiment.scaling_model)
    return "\n".join(lines)


def _panel(panel: Panel) -> list[str]:
    lines = [
        "Panel:",
        f"  name: {panel.name}",
        f"  type: {panel.type}",
        f"  identifier: {panel.identifier}",
        f"  pixel_size: {_vector(panel.pixel_size)}",
        f"  image_size: {_vector(panel.image_size)}",
        f"  trusted_range: {{{panel.trusted_range[0]:g},{panel.trusted_range[1]:.10g}}}",
        f"  thickness: {panel.thickness:g}",
        f"  material: {panel.material}",
        f"  mu: {panel.mu:.6g}",
        f"  gain: {panel.gain:g}",
        f"  pedestal: {panel.pedestal:g}",
        f"  fast_axis: {_vector(panel.fast_axis)}",
        f"  slow_axis: {_vector(panel.slow_axis)}",
        f"  origin: {_vector(panel.origin)}",
        f"  distance: {panel.distance:.6g}",
        f"  depth in the sensor: {panel.parallax}",
    ]
    if panel.mask:
        lines.append(f"  untrusted rectangles: {len(panel.mask)}")
    return lines


def _detector(detector: Detector, beam: Beam) -> list[str]:
    lines = ["Detector:"]
    for panel in detector:
        lines += [*_panel(panel), ""]
    lines.append(f"Max resolution (at corners): {detector.max_resolution(beam.s0):.6f}")
    inscribed = inscribed_resolution(detector, beam)
    if inscribed is not None:
        lines.append(f"Max resolution (inscribed):  {inscribed:.6f}")
    return [*lines, ""]


def _beam(beam: Beam, detector: Detector, show_scan_varying: bool) -> list[str]:
    lines = [
        "Beam:",
        f"    probe: {beam.probe}",
        f"    wavelength: {beam.wavelength:.6g}",
        f"    sample to source direction: {_vector(beam.direction)}",
        f"    divergence: {beam.divergence_deg:g}",
        f"    sigma divergence: {beam.sigma_divergence_deg:g}",
        f"    polarization normal: {_vector(beam.polarization_normal)}",
        f"    polarization fraction: {beam.polarization_fraction:g}",
        f"    flux: {beam.flux:g}",
        f"    transmission: {beam.transmission:g}",
    ]
    if beam.s0_at_scan_points is not None:
        lines.append(f"    s0 sampled at {len(beam.s0_at_scan_points)} scan points")
        if show_scan_varying:
            lines += [f"      {i + 1:5d}: {_vector(s0)}" for i, s0 in enumerate(beam.s0_at_scan_points)]
    lines.append("")
    hit = detector.beam_centre(beam.s0)
    if hit is not None:
        panel, mm = hit
        where = f"panel {panel}, " if len(detector) > 1 else ""
        # The pixel that it lights, so with the depth in the sensor.
        px = np.ravel(detector.mm_to_pixel(panel, mm))
        lines += [
            "Beam centre:",
            f"    mm: {where}({mm[0]:.2f},{mm[1]:.2f})",
            f"    px: {where}({px[0]:.2f},{px[1]:.2f})",
        ]
        if len(detector) > 1:
            raw = px + np.array(detector[panel].raw_image_offset)
            lines.append(f"    px in the image: ({raw[0]:.2f},{raw[1]:.2f})")
        lines.append("")
    else:
        lines += ["Beam centre: the beam hits no panel", ""]
    return lines


def _scan(scan: Scan) -> list[str]:
    lines = [
        "Scan:",
        f"    number of images:   {scan.n_images}",
        f"    image range:   {{{scan.image_range[0]},{scan.image_range[1]}}}",
        f"    oscillation:   {_vector(scan.oscillation_deg)}",
    ]
    if scan.exposure_times is not None and len(scan.exposure_times):
        lines.append(f"    exposure time: {scan.exposure_times[0]:g}")
    if scan.epochs is not None and len(scan.epochs) and scan.epochs[0] > 0:
        start = datetime.fromtimestamp(float(scan.epochs[0]), UTC)
        lines.append(f"    started:       {start.isoformat(timespec='milliseconds').removesuffix('+00:00')} UTC")
    if scan.batch_offset:
        lines.append(f"    batch offset: {scan.batch_offset}")
    for name, ranges in scan.valid_image_ranges.items():
        lines.append(f"    valid images of {name}: {', '.join(f'{a} to {b}' for a, b in ranges)}")
    return [*lines, ""]


def _goniometer(goniometer: Goniometer, show_scan_varying: bool) -> list[str]:
    lines = [
        "Goniometer:",
        f"    Rotation axis:   {_vector(goniometer.rotation_axis)}",
        f"    Fixed rotation:  {_vector(goniometer.fixed_rotation)}",
        f"    Setting rotation:{_vector(goniometer.setting_rotation)}",
    ]
    if goniometer.axes is not None and goniometer.names is not None and goniometer.scan_axis is not None:
        lines += [
            f"    Axis #{i} ({name}):  {_vector(axis)}"
            for i, (name, axis) in enumerate(zip(goniometer.names, goniometer.axes, strict=True))
        ]
        angles = () if goniometer.angles_deg is None else goniometer.angles_deg
        lines.append("    Angles: " + ",".join(f"{a:.6g}" for a in np.ravel(angles)))
        lines.append(f"    scan axis: #{goniometer.scan_axis} ({goniometer.names[goniometer.scan_axis]})")
    points = goniometer.setting_rotation_at_scan_points
    if points is not None:
        lines.append(f"    Setting rotation sampled at {len(points)} scan points")
        if show_scan_varying:
            lines += [f"      {i + 1:5d}: {_vector(matrix)}" for i, matrix in enumerate(points)]
    return [*lines, ""]


def _shadows(experiment: Experiment) -> list[str]:
    """What of the detector parts of the goniometer shadow on some images of the scan; nothing where no shape is known."""
    try:
        shadow = shadow_of(experiment)
    except UserError as error:
        return [f"Shadows of the goniometer: {error}", ""]
    if shadow is None:
        return []
    first, last = (0, 1) if experiment.scan is None else experiment.scan.array_range
    lines = [f"Shadows of the goniometer: {', '.join(shadow.names)}"]
    for z in dict.fromkeys(np.linspace(first, last - 1, SHADOWED_IMAGES).round().astype(int).tolist()):
        dark = shadow.shadowed(z)
        share = 100 * sum(int(np.count_nonzero(d)) for d in dark) / sum(d.size for d in dark)
        hit = [panel.name for panel, d in zip(experiment.detector, dark, strict=True) if d.any()]
        where = f", on {', '.join(hit[:6])}{' ...' if len(hit) > 6 else ''}" if hit and len(dark) > 1 else ""
        lines.append(f"    image {z + 1}: {share:.2f} % of the detector{where}")
    return [*lines, "    masked by: spindle generate_mask goniometer_shadow=ever", ""]


def _with_sd(value: float, sd: float) -> str:
    """A value with its standard deviation in units of the last digit: 2 to 19 of them."""
    if not sd > 0:
        return f"{value:.4f}" if value < 1000 else f"{value:.2f}"
    decimals = max(0, int(np.floor(np.log10(19.5 / sd))))
    return f"{value:.{decimals}f}({round(sd * 10**decimals)})"


def _matrix(label: str, matrix: np.ndarray) -> list[str]:
    rows = ["{" + ", ".join(f"{v + 0.0:7.4f}" for v in row) + "}" for row in matrix]
    pad = " " * (len(label) + 1)
    return [f"{label}{{{rows[0]},", f"{pad}{rows[1]},", f"{pad}{rows[2]}}}"]


def _cell(cell: np.ndarray, sd: np.ndarray | None = None) -> str:
    if sd is None:
        return ", ".join([*(f"{v:.4f}" for v in cell[:3]), *(f"{v:.3f}" for v in cell[3:])])
    return ", ".join(_with_sd(float(v), float(s)) if s > 0 else f"{v:.1f}" for v, s in zip(cell, sd, strict=True))


_RECALCULATED = "recalculated_unit_cell"


def cell_sd(crystal: Crystal) -> np.ndarray | None:
    """(6,) standard deviations of the cell, angstrom and degrees, from the file or the covariance of B; None without.

    Variances that vanish by symmetry come out as 0.
    """
    if crystal.cell_sd is not None and crystal.extra.get(_RECALCULATED) is None:
        return crystal.cell_sd
    covariance = crystal.extra.get("B_covariance")
    if covariance is None:
        return None
    return cell_deviations(crystal.B, np.asarray(covariance, dtype=np.float64).reshape(9, 9))


def _crystal(crystal: Crystal, show_scan_varying: bool) -> list[str]:
    recalculated = crystal.extra.get(
        _RECALCULATED
    )  # that of spindle two_theta_refine, to which the crystal's deviations belong
    lines = [
        "Crystal:",
        f"    Unit cell: {_cell(crystal.cell, cell_sd(crystal))}",
        *(
            [f"    Recalculated unit cell: {_cell(np.asarray(recalculated, float), crystal.cell_sd)}"]
            if recalculated
            else []
        ),
        f"    Space group: {crystal.space_group.xhm()}",
        *_matrix("    U matrix:  ", crystal.U),
        *_matrix("    B matrix:  ", crystal.B),
        *_matrix("    A = UB:    ", crystal.A),
    ]
    if crystal.mosaicity_deg is not None:
        lines.append(f"    Mosaicity:  {crystal.mosaicity_deg:.6f}")
    for key, label in _STILL_CRYSTAL.items():
        if crystal.extra.get(key) is not None:
            lines.append(f"    {label}:  {float(crystal.extra[key]):.6f}")
    if crystal.A_at_scan_points is not None:
        cells = cell_from_real_space(np.linalg.inv(crystal.A_at_scan_points))
        lines.append(f"    A sampled at {len(crystal.A_at_scan_points)} scan points")
        lines.append(f"    Average unit cell: {_cell(cells.mean(axis=0))}")
        if show_scan_varying:
            for i, (matrix, cell) in enumerate(zip(crystal.A_at_scan_points, cells, strict=True)):
                point = crystal.with_A(matrix)
                lines += [
                    f"  Scan point #{i + 1}:",
                    f"    Unit cell: {_cell(cell)}",
                    *_matrix("    U matrix:  ", point.U),
                    *_matrix("    B matrix:  ", point.B),
                    *_matrix("    A = UB:    ", matrix),
                ]
    return [*lines, ""]


def _profile(profile: dict[str, Any], table: Table | None) -> list[str]:
    lines = ["Profile model:", f"    type: {profile.get('__id__', 'unknown')}"]
    rows = [[k, v] for k, v in profile.items() if k != "__id__"] if table is None else table.rows
    return [*lines, *(f"    {name}: {value}" for name, value in rows), ""]


def _scaling_model(model: dict[str, Any]) -> list[str]:
    lines = ["Scaling model:", f"    type: {model.get('__id__', 'unknown')}"]
    for name, values, errors in _scaling_terms(model):
        span = f", {values.min():.4f} to {values.max():.4f}" if values.size else ""
        typical = f", sigma about {np.median(errors):.4f}" if errors.size else ""
        lines.append(f"    {name}: {values.size} parameters{span}{typical}")
    return [*lines, ""]


def scaling_parameters(model: dict[str, Any] | None) -> str:
    """Every parameter of a scaling model with its standard deviation; nothing where there is no model."""
    lines = []
    for name, values, errors in _scaling_terms(model or {}):
        lines.append(f"Scaling parameters, {name} (sigma)")
        for i, value in enumerate(values):
            lines.append(f"  {value:9.4f}" + (f"   ({errors[i]:.4f})" if i < errors.size else ""))
    return "\n".join(lines)


def _scaling_terms(model: dict[str, Any]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name, part in model.items():
        if isinstance(part, dict) and "parameters" in part:
            values = np.ravel(np.asarray(part["parameters"], dtype=np.float64))
            yield name, values, np.ravel(np.asarray(part.get("est_standard_devs", ()), dtype=np.float64))


def experiments_table(experiments: Experiments) -> Table:
    """One row for each experiment: its images and its crystal."""
    rows = []
    for i, e in enumerate(experiments):
        images = None if e.imageset is None else e.imageset.template or ", ".join(map(str, e.imageset.paths[:1]))
        first, last = (None, None) if e.scan is None else e.scan.image_range
        cell, group = (None, None) if e.crystal is None else (_cell(e.crystal.cell), e.crystal.space_group.xhm())
        rows.append([i, images, None if e.scan is None else f"{first}-{last}", f"{e.beam.wavelength:.5g}", cell, group])
    return Table(
        f"All {len(rows)} experiments",
        ["Experiment", "images", "numbers", "wavelength (A)", "unit cell (A, degrees)", "space group"],
        rows,
        "experiments",
    )


def shared_models(experiments: Experiments) -> Table:
    """Which experiments share which models: the number of each model."""
    names = ("beam", "detector", "goniometer", "scan", "crystal", "imageset")
    numbers = {name: {id(m): i for i, m in enumerate(experiments.unique(name))} for name in names}
    rows = [
        [i, *(None if getattr(e, name) is None else numbers[name][id(getattr(e, name))] for name in names)]
        for i, e in enumerate(experiments)
    ]
    return Table("Shared models (equal numbers are one model)", ("Experiment", *names), rows, key="shared_models")
