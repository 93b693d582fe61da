"""Simulated miniCBF images, as Pilatus detectors write them."""

from __future__ import annotations

import numpy as np

from spindle_lib_readers.cbf_writing import block_heading, write_cbf

from .panels import GAP, MODULE
from .scene import Sweep
from .writing import ImageWriter, refuse_beyond_flat

__all__ = ["MiniCbfWriter"]


def mini_cbf_header(
    *,
    detector: str,
    pixel_size_mm: float,
    thickness_mm: float,
    exposure_time: float,
    n_dead: int,
    wavelength: float,
    distance_mm: float,
    beam_centre_px: tuple[float, float],
    start_deg: float,
    width_deg: float,
    polarization: float,
    cutoff: int,
    path: str,
) -> str:
    """The lines of a Pilatus header, with all that is needed to process the image without an option."""
    pixel = f"{pixel_size_mm * 1e3:g}e-6 m"
    return "\n".join(
        [
            f"# Detector: {detector}, S/N SPINDLE-0001",
            "# 2026-01-01T00:00:00.000",
            f"# Pixel_size {pixel} x {pixel}",
            f"# Silicon sensor, thickness {thickness_mm * 1e-3:.6f} m",
            f"# Exposure_time {exposure_time:.7f} s",
            f"# Exposure_period {exposure_time:.7f} s",
            "# Tau = 0 s",
            f"# Count_cutoff {cutoff} counts",
            f"# Threshold_setting: {12398.42 / wavelength / 2:.0f} eV",
            "# Gain_setting: autog (vrf = 1.000)",
            f"# N_excluded_pixels = {n_dead}",
            "# Excluded_pixels: badpix_mask.tif",
            "# Flat_field: (nil)",
            "# Trim_file: simulated.bin",
            f"# Image_path: {path}",
            f"# Wavelength {wavelength:.6f} A",
            "# Energy_range (0, 0) eV",
            f"# Detector_distance {distance_mm * 1e-3:.6f} m",
            "# Detector_Voffset 0.00000 m",
            f"# Beam_xy ({beam_centre_px[0]:.3f}, {beam_centre_px[1]:.3f}) pixels",
            "# Flux 0.000000",
            "# Filter_transmission 1.0000",
            f"# Start_angle {start_deg:.6f} deg.",
            f"# Angle_increment {width_deg:.6f} deg.",
            "# Detector_2theta 0.0000 deg.",
            f"# Polarization {polarization:.4f}",
            "# Alpha 0.0000 deg.",
            "# Kappa 0.0000 deg.",
            "# Phi 0.0000 deg.",
            "# Phi_increment 0.0000 deg.",
            f"# Omega {start_deg:.6f} deg.",
            f"# Omega_increment {width_deg:.6f} deg.",
            "# Chi 0.0000 deg.",
            "# Chi_increment 0.0000 deg.",
            "# Oscillation_axis X.CW",
            "# N_oscillations 1",
        ]
    )


class MiniCbfWriter(ImageWriter):
    """One miniCBF file an image."""

    @classmethod
    def check(cls, sweep: Sweep) -> None:
        """Refuse all but one flat grid of pixels, whole or as modules that readers know, and one axis."""
        width, height = MODULE
        known = f" or the Pilatus modules in it ({width} x {height} pixels, gaps of {GAP[0]} and {GAP[1]})"
        refuse_beyond_flat(sweep, "miniCBF", sweep.instrument.header_panels.are_pilatus_modules(), known)

    def write(self, i: int, image: np.ndarray) -> int:
        """Write one image; the file appears whole or not at all."""
        path, instrument = self.image_path(i), self.sweep.instrument
        if path is None:
            return 0
        start, width = self.angles(i)
        cutoff = instrument.response.cutoff
        header = mini_cbf_header(
            detector=instrument.canvas.name,
            pixel_size_mm=instrument.panels.pixel_size,
            thickness_mm=instrument.thickness,
            exposure_time=self.params.scan.exposure_time,
            n_dead=self.params.detector.dead_pixels,
            wavelength=instrument.wavelength,
            distance_mm=instrument.header_distance,
            beam_centre_px=(float(instrument.header_beam_centre[0]), float(instrument.header_beam_centre[1])),
            start_deg=start,
            width_deg=width,
            polarization=self.polarization_fraction,
            cutoff=cutoff,
            path=f"/{self.params.output.prefix}/",
        )
        text = f"""###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors

{block_heading(path.stem)}

_array_data.header_convention "PILATUS_1.2"
_array_data.header_contents
;
{header}
;
"""
        return write_cbf(path, text, np.minimum(image, cutoff + 1))
