"""CIF as PETS2 writes it."""

from __future__ import annotations

from typing import IO

import gemmi
import numpy as np

from spindle_lib_exchange import Observations, write_rows

from .frames import VirtualFrames

ZONES = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")
REFLECTIONS = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")


def write_cif(file: IO[str], frames: VirtualFrames, part: Observations) -> None:
    """Write cell, orientation, frames and reflections."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    file.write("data_pets\n")
    file.writelines(f"_cell_{name} {value:.5f}\n" for name, value in zip(names, frames.cell, strict=True))
    file.write(f"_cell_volume {gemmi.UnitCell(*frames.cell).volume:.5f}\n")
    file.write(f"_diffrn_radiation_wavelength {frames.wavelength:.5f}\n")
    for i in range(3):
        file.writelines(f"_diffrn_orient_matrix_UB_{i + 1}{j + 1} {frames.UB[i, j]:.5f}\n" for j in range(3))
    file.write("_diffrn_pets_omega 0.00000\n_diffrn_measurement_details\n;\n")
    file.write(
        "data collection geometry: continuous rotation\ndstarmax:  0.000\nRC width:  0.00000\nmosaicity:  0.000\n"
    )
    file.write("rotation axis position:  000.000\nreflection size:    0.000\n")
    file.write(f"Virtual frame settings: number of merged frames:  {frames.n_merged}\n")
    file.write(f"                        step between frames:      {frames.step}\n")
    file.write("                        sum all intensities:      1\n;\n\nloop_\n")
    file.writelines(f"_diffrn_zone_axis_{name}\n" for name in ZONES)
    n = len(frames.angle)
    alpha, beta, omega = frames.euler.T
    columns = [np.arange(1, n + 1), *frames.zone_axis.T, np.full(n, frames.half_width), alpha, beta, omega, np.ones(n)]
    write_rows(file, "%4d %8.5f %8.5f %8.5f %8.3f %9.3f %9.3f %9.3f %9.3f", columns)
    file.write("\nloop_\n")
    file.writelines(f"_refln_{name}\n" for name in REFLECTIONS)
    rows = frames.row
    write_rows(
        file, "%4d%4d%4d %11.2f %11.2f %5d", [*part.hkl[rows].T, part.value[rows], part.sigma[rows], frames.frame + 1]
    )
