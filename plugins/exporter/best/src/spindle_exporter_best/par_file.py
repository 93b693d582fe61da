"""The parameter file of BEST."""

from __future__ import annotations

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiment
from spindle_lib_exchange import cell_of

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
SPOT_SIGMAS = 3.0  # half a spot is taken to be so many standard deviations wide
MAKERS = ((0.172, "PILA"), (0.075, "EIGE"))


def best_frame(axis: np.ndarray, s0: np.ndarray) -> np.ndarray:
    """(3, 3) turn from the laboratory: x along the beam, z as nearly along the rotation axis as possible."""
    x = s0 / np.linalg.norm(s0)
    y = np.cross(axis, x)
    if np.linalg.norm(y) < 1e-6:
        raise UserError("export format=best: the rotation axis is along the beam; BEST does not plan such data")
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def parameter_text(experiment: Experiment, number: int) -> str:
    """Content of the .par file.

    Parameters
    ----------
    experiment : Experiment
        With a profile model of Gaussian widths `sigma_b` and `sigma_m`.
    number : int
        Of the experiment, for messages.
    """
    profile = experiment.profile or {}
    if profile.get("sigma_b") is None or profile.get("sigma_m") is None:
        raise UserError(
            f"export format=best: experiment {number} has no profile model with sigma_b and sigma_m; give the experiments of spindle integrate"
        )
    sigma_b, sigma_m = (float(np.mean(profile[name])) for name in ("sigma_b", "sigma_m"))
    goniometer, panel, beam = experiment.known_goniometer, experiment.detector[0], experiment.beam
    frame = best_frame(goniometer.axis_lab, beam.s0)
    UB = frame @ goniometer.setting_rotation @ goniometer.fixed_rotation @ experiment.known_crystal.A
    normal = frame @ beam.polarization_normal
    axis = frame @ goniometer.axis_lab
    start, width = experiment.known_scan.oscillation_deg
    cell, _ = cell_of(experiment.known_crystal)
    hit = experiment.detector.beam_centre(beam.s0)
    centre = hit[1] if hit is not None else experiment.detector.beam_centre_px(beam.s0, 0) * panel.pixel_size
    lies = [abs(goniometer.axis_lab @ a) for a in (panel.fast_axis, panel.slow_axis)]
    maker = next((name for size, name in MAKERS if abs(panel.pixel_size[0] - size) < 1e-4), "ADSC")
    spot = SPOT_SIGMAS * panel.distance * np.tan(np.deg2rad(sigma_b))
    lines = [
        "# parameter file for BEST",
        "TITLE          From Spindle",
        f"DETECTOR       {maker}",
        "SITE           Not set",
        f"DIAMETER       {max(panel.size_mm):6.2f}",
        f"PIXEL          {panel.pixel_size[0]:.10g}",
        "ROTAXIS        " + " ".join(f"{v:4.2f}" for v in axis) + (" FAST" if lies[0] >= lies[1] else " SLOW"),
        "POLAXIS        " + " ".join(f"{v:4.2f}" for v in normal),
        f"GAIN           {panel.gain:8.2f}",
        f"CMOSAIC        {FWHM * sigma_m:8.2f}",
        f"PHISTART       {start:8.2f}",
        f"PHIWIDTH       {width:8.2f}",
        f"DISTANCE       {panel.distance:8.2f}",
        f"WAVELENGTH     {beam.wavelength:8.5f}",
        f"POLARISATION   {beam.polarization_fraction:8.5f}",
        f"SYMMETRY       {experiment.known_crystal.space_group.hm.replace(' ', '')}",
        *(("UB          " if i == 0 else 12 * " ") + " ".join(f"{v:11.6f}" for v in UB[i]) for i in range(3)),
        "CELL           " + " ".join(f"{v:8.2f}" for v in cell[:3]) + " " + " ".join(f"{v:6.2f}" for v in cell[3:]),
        "RASTER           7 7 5 3 3",
        f"SEPARATION     {spot:8.3f} {spot:8.3f}",
        f"BEAM           {centre[1]:8.3f} {centre[0]:8.3f}",
        "# end of parameter file for BEST",
    ]
    return "\n".join(lines) + "\n"
