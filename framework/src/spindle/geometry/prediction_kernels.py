"""Kernels that find where and when reciprocal lattice points cross the Ewald sphere.

All work on lattice vectors r in the laboratory frame. Static prediction solves for both crossings exactly; scan-varying
prediction follows r along the chord between the edges of each image (Waterman et al. 2016, Acta Cryst. D72, 558-575).
"""

from __future__ import annotations

import math

import numba
import numpy as np

TWO_PI = 2.0 * math.pi


@numba.njit(nogil=True, cache=True)
def list_indices(A, d_min, d_max, limits, centring, M, s, axis, turn, slack, out):
    """Miller indices with d_min <= d <= d_max, near the Ewald sphere, that the lattice's centring allows; counts them, and
    fills `out` as far as it reaches.

    Parameters
    ----------
    A : (3, 3) float64, 1/angstrom
    d_min, d_max : float64, angstrom
    limits : (3,) int64
        Largest |h|, |k|, |l|.
    centring : (m, 3) int64
        Centring translations in 24ths of the cell.
    M : (3, 3) float64, 1/angstrom
        The lattice in the middle of the scan.
    s : (3,) float64, 1/angstrom
        The beam in the same frame.
    axis : (3,) float64
        Rotation axis in that frame, of length 1.
    turn, slack : float64, 1/angstrom and 1/angstrom^2
        Indices with | |p|^2 + 2 s.p | above ``turn`` times the part of p across the axis plus ``slack`` are left out, where p = M h.
        What may remain of a row of indices along l is one stretch or two, and no other index of it is looked at.
    out : (n, 3) int32
    """
    upper = 1.0 / (d_min * d_min)
    lower = 1.0 / (d_max * d_max) if d_max > 0.0 else 0.0
    capacity = out.shape[0]
    band = turn / d_min + slack
    cc = M[0, 2] * M[0, 2] + M[1, 2] * M[1, 2] + M[2, 2] * M[2, 2]
    n = 0
    for h in range(-limits[0], limits[0] + 1):
        for k in range(-limits[1], limits[1] + 1):
            px, py, pz = M[0, 0] * h + M[0, 1] * k, M[1, 0] * h + M[1, 1] * k, M[2, 0] * h + M[2, 1] * k
            half = (px + s[0]) * M[0, 2] + (py + s[1]) * M[1, 2] + (pz + s[2]) * M[2, 2]
            rest = px * (px + 2.0 * s[0]) + py * (py + 2.0 * s[1]) + pz * (pz + 2.0 * s[2])
            square = half * half - cc * (rest - band)
            if square < 0.0:
                continue
            # a millionth more than needed on all sides
            root = math.sqrt(square)
            first = max(-limits[2], math.ceil((-half - root) / cc - 1e-6))
            last = min(limits[2], math.floor((-half + root) / cc + 1e-6))
            skip_from, skip_to = last + 1, last
            square = half * half - cc * (rest + band)
            if square > 0.0:
                root = math.sqrt(square)
                skip_from = math.ceil((-half - root) / cc + 1e-6)
                skip_to = math.floor((-half + root) / cc - 1e-6)
            l = first - 1
            while l < last:
                l += 1
                if skip_from <= l <= skip_to:
                    l = skip_to
                    continue
                if h == 0 and k == 0 and l == 0:
                    continue
                absent = False
                for m in range(centring.shape[0]):
                    if (h * centring[m, 0] + k * centring[m, 1] + l * centring[m, 2]) % 24 != 0:
                        absent = True
                        break
                if absent:
                    continue
                x = A[0, 0] * h + A[0, 1] * k + A[0, 2] * l
                y = A[1, 0] * h + A[1, 1] * k + A[1, 2] * l
                z = A[2, 0] * h + A[2, 1] * k + A[2, 2] * l
                q = x * x + y * y + z * z
                if q > upper or q < lower:
                    continue
                x, y, z = px + M[0, 2] * l, py + M[1, 2] * l, pz + M[2, 2] * l
                along = x * axis[0] + y * axis[1] + z * axis[2]
                across = math.sqrt(max(q - along * along, 0.0))
                if abs(q + 2.0 * (x * s[0] + y * s[1] + z * s[2])) > turn * across + slack:
                    continue
                if n < capacity:
                    out[n, 0] = h
                    out[n, 1] = k
                    out[n, 2] = l
                n += 1
    return n


@numba.njit(nogil=True, cache=True)
def crossing_angles(p, s, axis, slack):
    """Angles at which p, rotated about `axis`, crosses the Ewald sphere of s (all in the frame before the setting
    rotation).

    Returns
    -------
    (status, angle1, angle2) : status 2 with both angles in radians, in (-pi, pi]; 1 when the point misses or touches
    the sphere by less than `slack` (relative to |p| squared), so that a slightly different lattice could cross; 0
    otherwise.
    """
    status, _, c1, s1, c2, s2 = _crossing_directions(p, s, axis, slack)
    return status, math.atan2(s1, c1), math.atan2(s2, c2)


@numba.njit(nogil=True, cache=True)
def _crossing_directions(p, s, axis, slack):
    """The same as directions: status, length, and cosine and sine of both angles times that length, 0 where there are none."""
    m1x = axis[1] * s[2] - axis[2] * s[1]
    m1y = axis[2] * s[0] - axis[0] * s[2]
    m1z = axis[0] * s[1] - axis[1] * s[0]
    length = math.sqrt(m1x * m1x + m1y * m1y + m1z * m1z)
    if length < 1e-12:
        return 0, 0.0, 0.0, 0.0, 0.0, 0.0
    m1x, m1y, m1z = m1x / length, m1y / length, m1z / length
    m3x = m1y * axis[2] - m1z * axis[1]
    m3y = m1z * axis[0] - m1x * axis[2]
    m3z = m1x * axis[1] - m1y * axis[0]
    pp = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
    p_m2 = p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2]
    s_m2 = s[0] * axis[0] + s[1] * axis[1] + s[2] * axis[2]
    s_m3 = s[0] * m3x + s[1] * m3y + s[2] * m3z
    ss = s[0] * s[0] + s[1] * s[1] + s[2] * s[2]
    if pp > 4.0 * ss or abs(s_m3) < 1e-12:
        return 0, 0.0, 0.0, 0.0, 0.0, 0.0
    target = (-0.5 * pp - p_m2 * s_m2) / s_m3
    square = pp - p_m2 * p_m2 - target * target
    if square < 0.0:
        if square > -slack * pp:
            return 1, 0.0, 0.0, 0.0, 0.0, 0.0
        return 0, 0.0, 0.0, 0.0, 0.0, 0.0
    root = math.sqrt(square)
    a = p[0] * m1x + p[1] * m1y + p[2] * m1z
    b = p[0] * m3x + p[1] * m3y + p[2] * m3z
    status = 1 if square < slack * pp else 2
    return (
        status, pp - p_m2 * p_m2, root * a + target * b, root * b - target * a, -root * a + target * b, -root * b - target * a
    )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def predict_static_kernel(hkl, A, F, S, s0, s, axis, phi_start, phi_end, out_row, out_phi, out_s1, out_entering):
    """Crossings of all indices within [phi_start, phi_end], every turn; fills the outputs and returns how many there
    are.

    Parameters
    ----------
    hkl : (n, 3) int32
    A, F, S : (3, 3) float64
        Crystal matrix, fixed and setting rotation.
    s0, s : (3,) float64
        Beam in the laboratory, and S^-1 s0.
    axis : (3,) float64
        Datum axis.
    out_row : (m,) int64; out_phi : (m,) float64; out_s1 : (m, 3) float64; out_entering : (m,) bool
        Filled as far as they reach.
    """
    count = 0
    capacity = out_row.shape[0]
    M = F @ A
    axis_lab = S @ axis
    nx = s0[1] * axis_lab[2] - s0[2] * axis_lab[1]
    ny = s0[2] * axis_lab[0] - s0[0] * axis_lab[2]
    nz = s0[0] * axis_lab[1] - s0[1] * axis_lab[0]
    p = np.empty(3)
    # most crossings are elsewhere: no angle is worked out of those far from the middle
    half = 0.5 * (phi_end - phi_start)
    cos_mid, sin_mid = math.cos(0.5 * (phi_start + phi_end)), math.sin(0.5 * (phi_start + phi_end))
    least = math.cos(half) - 1e-9 if half < math.pi else -2.0
    for i in range(hkl.shape[0]):
        h, k, l = float(hkl[i, 0]), float(hkl[i, 1]), float(hkl[i, 2])
        for j in range(3):
            p[j] = M[j, 0] * h + M[j, 1] * k + M[j, 2] * l
        status, length, c1, s1, c2, s2 = _crossing_directions(p, s, axis, 0.0)
        if status != 2:
            continue
        for root in range(2):
            cosine, sine = (c1, s1) if root == 0 else (c2, s2)
            if cosine * cos_mid + sine * sin_mid < least * length:
                continue
            phi = math.atan2(sine, cosine)
            turns = math.ceil((phi_start - phi) / TWO_PI)
            angle = phi + TWO_PI * turns
            if angle > phi_end:
                continue
            c, sn = math.cos(phi), math.sin(phi)
            dot = (axis[0] * p[0] + axis[1] * p[1] + axis[2] * p[2]) * (1.0 - c)
            x = p[0] * c + (axis[1] * p[2] - axis[2] * p[1]) * sn + axis[0] * dot
            y = p[1] * c + (axis[2] * p[0] - axis[0] * p[2]) * sn + axis[1] * dot
            z = p[2] * c + (axis[0] * p[1] - axis[1] * p[0]) * sn + axis[2] * dot
            s1x = s0[0] + S[0, 0] * x + S[0, 1] * y + S[0, 2] * z
            s1y = s0[1] + S[1, 0] * x + S[1, 1] * y + S[1, 2] * z
            s1z = s0[2] + S[2, 0] * x + S[2, 1] * y + S[2, 2] * z
            entering = s1x * nx + s1y * ny + s1z * nz < 0.0
            while angle <= phi_end:
                if count < capacity:
                    out_row[count] = i
                    out_phi[count] = angle
                    out_s1[count, 0] = s1x
                    out_s1[count, 1] = s1y
                    out_s1[count, 2] = s1z
                    out_entering[count] = entering
                count += 1
                angle += TWO_PI
    return count


@numba.njit(nogil=True, cache=True)
def _cross_image(r, s, i, j, alpha_out):
    """Fraction of the way from edge i to edge j at which the chord of r crosses the sphere; returns 0 none, 1 leaves, 2
    enters.
    """
    r1x, r1y, r1z = r[i, 0], r[i, 1], r[i, 2]
    dx, dy, dz = r[j, 0] - r1x, r[j, 1] - r1y, r[j, 2] - r1z
    s1x, s1y, s1z = s[i, 0], s[i, 1], s[i, 2]
    ex, ey, ez = s[j, 0] - s1x, s[j, 1] - s1y, s[j, 2] - s1z
    # |r|^2 + 2 s.r, which is |s + r|^2 - |s|^2
    c = r1x * r1x + r1y * r1y + r1z * r1z + 2.0 * (s1x * r1x + s1y * r1y + s1z * r1z)
    a = dx * dx + dy * dy + dz * dz + 2.0 * (ex * dx + ey * dy + ez * dz)
    b = 2.0 * (r1x * dx + r1y * dy + r1z * dz + s1x * dx + s1y * dy + s1z * dz + ex * r1x + ey * r1y + ez * r1z)
    end = a + b + c
    if (c >= 0.0) == (end >= 0.0):
        return 0
    if abs(a) < 1e-14 * abs(b):
        alpha = -c / b
    else:
        root = math.sqrt(max(b * b - 4.0 * a * c, 0.0))
        q = -0.5 * (b + math.copysign(root, b))
        alpha = q / a
        if alpha < 0.0 or alpha > 1.0:
            alpha = c / q
    alpha_out[0] = min(max(alpha, 0.0), 1.0)
    return 2 if c >= 0.0 else 1


@numba.njit(nogil=True, cache=True)
def predict_scan_varying_kernel(
    hkl, A_mean, A_points, S_points, s_points, F, S_mean, s0_mean, axis, phi0, width, z0, n_images, first, last, spread,
    d_min, out_row, out_z, out_s1, out_entering,
):  # fmt: skip
    """Crossings of all indices, following the lattice from image edge to image edge.

    Images run from `first` to `last` - 1, counted from the scan's first as 0; outside [0, n_images) the matrices of the
    first or last image are used. `spread` is the largest relative change of A over the scan; it says how far from the
    static crossing a crossing is looked for. Points close to tangency are followed through all images.
    """
    count = 0
    capacity = out_row.shape[0]
    M = F @ A_mean
    s_static = S_mean.T @ s0_mean
    p = np.empty(3)
    r = np.empty((2, 3))
    s = np.empty((2, 3))
    alpha = np.empty(1)
    windows = np.empty((64, 2), np.int64)
    wave = math.sqrt(s0_mean[0] ** 2 + s0_mean[1] ** 2 + s0_mean[2] ** 2)
    for i in range(hkl.shape[0]):
        h, k, l = float(hkl[i, 0]), float(hkl[i, 1]), float(hkl[i, 2])
        for j in range(3):
            p[j] = M[j, 0] * h + M[j, 1] * k + M[j, 2] * l
        status, phi1, phi2 = crossing_angles(p, s_static, axis, 8.0 * spread + 1e-6)
        if status == 0:
            continue
        n_windows = 0
        if status == 1:
            windows[0, 0], windows[0, 1] = first, last
            n_windows = 1
        else:
            length = math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
            for root in range(2):
                phi = phi1 if root == 0 else phi2
                c, sn = math.cos(phi), math.sin(phi)
                dot = (axis[0] * p[0] + axis[1] * p[1] + axis[2] * p[2]) * (1.0 - c)
                x = p[0] * c + (axis[1] * p[2] - axis[2] * p[1]) * sn + axis[0] * dot
                y = p[1] * c + (axis[2] * p[0] - axis[0] * p[2]) * sn + axis[1] * dot
                z = p[2] * c + (axis[0] * p[1] - axis[1] * p[0]) * sn + axis[2] * dot
                # speed of the crossing, (axis x r) . s0
                vx, vy, vz = axis[1] * z - axis[2] * y, axis[2] * x - axis[0] * z, axis[0] * y - axis[1] * x
                speed = abs(vx * s_static[0] + vy * s_static[1] + vz * s_static[2])
                reach = 2.0 + 2.0 * spread * length * (wave + length) / max(speed * width, 1e-300)
                if reach > 1e6:
                    reach = 1e6
                place = (phi - phi0) / width
                turn = TWO_PI / width
                place += turn * math.ceil((first - reach - place) / turn)
                while place <= last + reach and n_windows < 64:
                    windows[n_windows, 0] = max(first, int(math.floor(place - reach)))
                    windows[n_windows, 1] = min(last, int(math.ceil(place + reach)))
                    n_windows += 1
                    place += turn
            # Windows of the two roots may meet: join them so that nothing is found twice.
            for a in range(n_windows):
                for b in range(a + 1, n_windows):
                    if windows[b, 0] < windows[a, 1] and windows[a, 0] < windows[b, 1]:
                        windows[b, 0] = min(windows[a, 0], windows[b, 0])
                        windows[b, 1] = max(windows[a, 1], windows[b, 1])
                        windows[a, 1] = windows[a, 0]
        for w in range(n_windows):
            for image in range(windows[w, 0], windows[w, 1]):
                inside = min(max(image, 0), n_images - 1)
                for edge in range(2):
                    phi = phi0 + (image + edge) * width
                    m = inside + edge
                    c, sn = math.cos(phi), math.sin(phi)
                    qx = A_points[m, 0, 0] * h + A_points[m, 0, 1] * k + A_points[m, 0, 2] * l
                    qy = A_points[m, 1, 0] * h + A_points[m, 1, 1] * k + A_points[m, 1, 2] * l
                    qz = A_points[m, 2, 0] * h + A_points[m, 2, 1] * k + A_points[m, 2, 2] * l
                    px = F[0, 0] * qx + F[0, 1] * qy + F[0, 2] * qz
                    py = F[1, 0] * qx + F[1, 1] * qy + F[1, 2] * qz
                    pz = F[2, 0] * qx + F[2, 1] * qy + F[2, 2] * qz
                    dot = (axis[0] * px + axis[1] * py + axis[2] * pz) * (1.0 - c)
                    x = px * c + (axis[1] * pz - axis[2] * py) * sn + axis[0] * dot
                    y = py * c + (axis[2] * px - axis[0] * pz) * sn + axis[1] * dot
                    z = pz * c + (axis[0] * py - axis[1] * px) * sn + axis[2] * dot
                    for j in range(3):
                        r[edge, j] = S_points[m, j, 0] * x + S_points[m, j, 1] * y + S_points[m, j, 2] * z
                        s[edge, j] = s_points[m, j]
                if r[0, 0] ** 2 + r[0, 1] ** 2 + r[0, 2] ** 2 > 1.0 / (d_min * d_min):
                    continue
                found = _cross_image(r, s, 0, 1, alpha)
                if found == 0:
                    continue
                if count < capacity:
                    t = alpha[0]
                    out_row[count] = i
                    out_z[count] = z0 + image + t
                    for j in range(3):
                        out_s1[count, j] = s[0, j] + t * (s[1, j] - s[0, j]) + r[0, j] + t * (r[1, j] - r[0, j])
                    out_entering[count] = found == 2
                count += 1
    return count


@numba.njit(nogil=True, cache=True)
def still_rays(hkl, A, s0, out_s1, out_turn):
    """Diffracted beams of lattice points that are turned on to the Ewald sphere the shortest way, and the turns.

    Parameters
    ----------
    hkl : (n, 3) int32
    A : (3, 3) float64, 1/angstrom
        Crystal matrix, for a crystal at rest in the laboratory frame.
    s0 : (3,) float64, 1/angstrom
    out_s1 : (n, 3) float64, 1/angstrom
    out_turn : (n,) float64, radians
        Delta psi; not a number where no turn brings the point on to the sphere.

    Notes
    -----
    In the plane of s0 and q = A h let p and t be the components of q along the beam and across. On the sphere they are
    -a and b with a = |q|^2 / (2 |s0|), b^2 = |q|^2 - a^2. Sauter et al. (2014), Acta Cryst. D70, 3299-3309.
    """
    wave = math.sqrt(s0[0] * s0[0] + s0[1] * s0[1] + s0[2] * s0[2])
    ux, uy, uz = s0[0] / wave, s0[1] / wave, s0[2] / wave
    for i in range(hkl.shape[0]):
        h, k, l = float(hkl[i, 0]), float(hkl[i, 1]), float(hkl[i, 2])
        x = A[0, 0] * h + A[0, 1] * k + A[0, 2] * l
        y = A[1, 0] * h + A[1, 1] * k + A[1, 2] * l
        z = A[2, 0] * h + A[2, 1] * k + A[2, 2] * l
        square = x * x + y * y + z * z
        p = x * ux + y * uy + z * uz
        tx, ty, tz = x - p * ux, y - p * uy, z - p * uz
        t = math.sqrt(tx * tx + ty * ty + tz * tz)
        a = 0.5 * square / wave
        b = math.sqrt(max(square - a * a, 0.0))
        if b <= 0.0 or t <= 0.0:
            out_turn[i] = np.nan
            continue
        out_turn[i] = -math.atan2(b * p + a * t, b * t - a * p)
        out_s1[i, 0] = s0[0] - a * ux + b * tx / t
        out_s1[i, 1] = s0[1] - a * uy + b * ty / t
        out_s1[i, 2] = s0[2] - a * uz + b * tz / t
