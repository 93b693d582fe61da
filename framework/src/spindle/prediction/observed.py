"""What the models make of observed spots: positions in mm, reciprocal lattice points, and calculated positions of
indexed spots.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

from spindle.geometry.panels import rays_on_panel
from spindle.geometry.prediction_kernels import crossing_angles
from spindle.geometry.rotations import rotate_about

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

BLOCK = 2**17  # rows that are worked out at a time


def add_observed_geometry(experiments: Experiments, table: ReflectionTable, id_column: str = "id") -> ReflectionTable:
    """A view of the table with xyzobs.mm.value, xyzobs.mm.variance, s1, rlp and entering from xyzobs.px.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
        With panel, xyzobs.px.value and xyzobs.px.variance.
    id_column : str
        The column that says which experiment's beam, detector, goniometer and scan to use (`id`, or `imageset_id` for
        spots that are not indexed). Rows outside the list keep zeros.
    """
    from spindle.table import rows_by_value

    result = table.view()
    n = len(table)
    pixels, variance = table["xyzobs.px.value"], table["xyzobs.px.variance"]
    mm, mm_variance = np.zeros((n, 3)), np.zeros((n, 3))
    s1, rlp, entering = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n, np.bool_)
    for number, all_rows in rows_by_value(table[id_column]).items():
        if not 0 <= number < len(experiments):
            continue
        experiment = experiments[number]
        for rows in np.split(all_rows, range(BLOCK, len(all_rows), BLOCK)):
            panel = table["panel"][rows].astype(np.int64)
            xy = experiment.detector.pixel_to_mm(panel, pixels[rows, :2])
            mm[rows, :2] = xy
            size = experiment.detector.geometry.pixel_size[panel]
            mm_variance[rows, :2] = variance[rows, :2] * size**2
            lab = experiment.detector.lab_coordinate(panel, xy)
            ray = lab / (np.linalg.norm(lab, axis=1)[:, None] * experiment.beam.wavelength)
            s1[rows] = ray
            q = ray - experiment.beam.s0
            goniometer, scan = experiment.goniometer, experiment.scan
            if experiment.is_still or goniometer is None or scan is None:
                rlp[rows] = q if goniometer is None else q @ goniometer.setting_rotation @ goniometer.fixed_rotation
                continue
            phi = scan.angle_from_array_index(pixels[rows, 2])
            mm[rows, 2] = phi
            mm_variance[rows, 2] = variance[rows, 2] * scan.oscillation[1] ** 2
            datum = rotate_about(np.ascontiguousarray(q @ goniometer.setting_rotation), goniometer.rotation_axis, -phi)
            rlp[rows] = datum @ goniometer.fixed_rotation
            entering[rows] = ray @ np.cross(experiment.beam.s0, goniometer.axis_lab) < 0.0
    result["xyzobs.mm.value"], result["xyzobs.mm.variance"] = mm, mm_variance
    result["s1"], result["rlp"], result["entering"] = s1, rlp, entering
    return result


@numba.njit(nogil=True, cache=True)
def _predict_rows(hkl, A_points, F, S, s0, axis, entering, phi_obs, z_obs, z0, phi_out, s1_out):
    """Crossing nearest to the observed angle with the observed direction; returns success (n,) bool."""
    n = hkl.shape[0]
    ok = np.zeros(n, np.bool_)
    s = S.T @ s0
    axis_lab = S @ axis
    nx = s0[1] * axis_lab[2] - s0[2] * axis_lab[1]
    ny = s0[2] * axis_lab[0] - s0[0] * axis_lab[2]
    nz = s0[0] * axis_lab[1] - s0[1] * axis_lab[0]
    q, p = np.empty(3), np.empty(3)
    n_points = A_points.shape[0]
    for i in range(n):
        t = min(max(z_obs[i] - z0, 0.0), n_points - 1.0)
        low = min(int(t), n_points - 2) if n_points > 1 else 0
        high = low + 1 if n_points > 1 else 0
        f = t - low
        for j in range(3):
            q[j] = 0.0
            for k in range(3):
                q[j] += (A_points[low, j, k] * (1.0 - f) + A_points[high, j, k] * f) * hkl[i, k]
        for j in range(3):
            p[j] = F[j, 0] * q[0] + F[j, 1] * q[1] + F[j, 2] * q[2]
        status, first, second = crossing_angles(p, s, axis, 0.0)
        if status != 2:
            continue
        for root in range(2):
            phi = first if root == 0 else second
            c, sn = math.cos(phi), math.sin(phi)
            dot = (axis[0] * p[0] + axis[1] * p[1] + axis[2] * p[2]) * (1.0 - c)
            x = p[0] * c + (axis[1] * p[2] - axis[2] * p[1]) * sn + axis[0] * dot
            y = p[1] * c + (axis[2] * p[0] - axis[0] * p[2]) * sn + axis[1] * dot
            z = p[2] * c + (axis[0] * p[1] - axis[1] * p[0]) * sn + axis[2] * dot
            s1x = s0[0] + S[0, 0] * x + S[0, 1] * y + S[0, 2] * z
            s1y = s0[1] + S[1, 0] * x + S[1, 1] * y + S[1, 2] * z
            s1z = s0[2] + S[2, 0] * x + S[2, 1] * y + S[2, 2] * z
            if (s1x * nx + s1y * ny + s1z * nz < 0.0) != entering[i]:
                continue
            phi_out[i] = phi + 2.0 * math.pi * math.floor((phi_obs[i] - phi) / (2.0 * math.pi) + 0.5)
            s1_out[i, 0] = s1x
            s1_out[i, 1] = s1y
            s1_out[i, 2] = s1z
            ok[i] = True
    return ok


def predict_for_indexed(experiments: Experiments, table: ReflectionTable) -> ReflectionTable:
    """A view of the table with xyzcal.mm, xyzcal.px, s1 and the flag PREDICTED for indexed rotation spots.

    For each row the crossing with the observed `entering`, on the observed panel (also outside its edges), in the
    observed turn is taken; a scan-varying crystal is used at the observed image. Rows that cannot be predicted get
    zeros and lose the flag.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
        With id, miller_index, entering, panel, xyzobs.px.value (for the image) and flags.
    """
    from spindle.table import Flag

    result = table.view()
    n = len(table)
    mm, px = np.zeros((n, 3)), np.zeros((n, 3))
    s1 = np.array(table["s1"]) if "s1" in table else np.zeros((n, 3))
    predicted = np.zeros(n, np.bool_)
    indexed = np.any(table["miller_index"] != 0, axis=1)
    for number, rows in table.rows_by_experiment().items():
        experiment, rows = experiments[number], rows[indexed[rows]]
        if experiment.is_still or experiment.crystal is None:
            continue
        goniometer, scan, crystal = experiment.goniometer, experiment.scan, experiment.crystal
        assert goniometer is not None and scan is not None
        if not len(rows):
            continue
        z = np.ascontiguousarray(table["xyzobs.px.value"][rows, 2])
        points = crystal.A[None] if crystal.A_at_scan_points is None else crystal.A_at_scan_points
        phi, rays = np.zeros(len(rows)), np.zeros((len(rows), 3))
        ok = _predict_rows(
            np.ascontiguousarray(table["miller_index"][rows]), np.array(points), goniometer.fixed_rotation,
            goniometer.setting_rotation, experiment.beam.s0, goniometer.rotation_axis, table["entering"][rows],
            scan.angle_from_array_index(z), z, float(scan.array_range[0]), phi, rays,
        )  # fmt: skip
        panel = table["panel"][rows].astype(np.int64)
        xy = np.empty((len(rows), 2))
        ok &= rays_on_panel(rays, experiment.detector.geometry.D, panel, xy)
        rows, phi, rays, xy, panel = rows[ok], phi[ok], rays[ok], xy[ok], panel[ok]
        predicted[rows] = True
        s1[rows] = rays
        mm[rows, :2], mm[rows, 2] = xy, phi
        px[rows, :2] = experiment.detector.mm_to_pixel(panel, xy)
        px[rows, 2] = scan.array_index_from_angle(phi)
    result["xyzcal.mm"], result["xyzcal.px"], result["s1"] = mm, px, s1
    flags = table["flags"] & ~np.uint64(int(Flag.PREDICTED))
    result["flags"] = flags | np.where(predicted, np.uint64(int(Flag.PREDICTED)), np.uint64(0))
    return result
