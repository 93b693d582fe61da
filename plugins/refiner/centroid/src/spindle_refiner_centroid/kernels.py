"""Kernels: residuals of predicted centroids, their derivatives and the normal equations, in one pass over the
reflections.

Reflections that share the state of all models form a *cell* (an experiment, or a block of images of it when a model
varies with the scan, and a rigid group of panels). Within a block varying models change linearly: taken as constant there, they would not
follow even a slow drift, and that would seem to tell apart what spots do not (a crystal that turns about the beam while it is rotated,
and another axis of rotation). Derivatives are taken with respect to the local parameters of a cell, in the order crystal, beam,
goniometer, detector, and of their changes over it; the caller maps local to refined parameters.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TWO_PI = 2.0 * math.pi


@njit(nogil=True, cache=True)
def scan_normal_equations(
    hkl,
    entering,
    observed,
    weights,
    cell,
    row,
    offset,
    middle_A,
    middle_s0,
    middle_S,
    F,
    axis,
    middle_D,
    dA,
    ds0,
    dS,
    dD,
    A_slope,
    s0_slope,
    S_slope,
    D_slope,
    sloped,
    with_gradients,
    residuals,
    predicted,
    N,
    g,
    touched,
):
    """Residuals of rotation scans and the normal equations of every cell.

    Parameters
    ----------
    hkl : (n, 3) float64
    entering : (n,) bool
        Which of the two Ewald sphere crossings.
    observed : (n, 3) float64
        Observed x, y (mm) and phi (radians).
    weights : (n, 3) float64
        1/variance of the observations; 0 leaves a coordinate out.
    cell, row : (n,) int64
        Cell of models and row of the panel table.
    offset : (n,) float64
        Place in the block of images of the cell, -0.5 at its start and 0.5 at its end; 0 where nothing varies.
    middle_A : (c, 3, 3), middle_s0 : (c, 3), middle_S, F : (c, 3, 3), axis : (c, 3) float64
        Setting matrices, beams, setting and fixed rotations and datum axes of the cells, where offset is 0.
    middle_D : (r, 3, 3) float64
        Inverse panel matrices there.
    dA : (c, ka, 3, 3), ds0 : (c, kb, 3), dS : (c, kg, 3, 3) float64
        Derivatives of the models with respect to their local parameters.
    dD : (r, kd, 3, 3) float64
        -D (dd/dp): its product with D s1 is the derivative of D s1.
    A_slope, s0_slope, S_slope : (c, ...), D_slope : (r, 3, 3) float64
        Change of A, s0, S and D over the block of images.
    sloped : (v,) int64
        Local parameters that vary within the block: their changes over it are the last local parameters.
    with_gradients : bool
        False computes residuals only.
    residuals : (n, 3) float64, output
        Calculated minus observed; 0 where not predicted.
    predicted : (n,) bool, output
        False where the reflection never crosses the sphere or misses the panel's plane.
    N : (c, k + v, k + v), g : (c, k + v) float64, touched : (c, k + v) int64, output
        Sums of w J^T J, of w J^T r, and numbers of reflections with a gradient that is not zero.

    Returns
    -------
    float
        Half the weighted sum of squared residuals.

    Notes
    -----
    Waterman et al. (2016), Acta Cryst. D72, 558-575. With p = R F A h conserved along the axis, the crossing is at
    p.m1 = +-root; the
    sign is the side of the sphere, hence the `entering` flag.

    """
    ka, kb, kg, kd = dA.shape[1], ds0.shape[1], dS.shape[1], dD.shape[1]
    k = ka + kb + kg + kd
    n_all = k + len(sloped)
    J = np.zeros((n_all, 3))
    M = np.zeros((3, 3))
    dr = np.zeros(3)
    A, S, D, s0 = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3)
    half_sum = 0.0
    for i in range(hkl.shape[0]):
        c = cell[i]
        t = row[i]
        at = offset[i]
        for p in range(3):
            s0[p] = middle_s0[c, p] + at * s0_slope[c, p]
            for q in range(3):
                A[p, q] = middle_A[c, p, q] + at * A_slope[c, p, q]
                S[p, q] = middle_S[c, p, q] + at * S_slope[c, p, q]
                D[p, q] = middle_D[t, p, q] + at * D_slope[t, p, q]
        predicted[i] = False
        residuals[i, 0] = 0.0
        residuals[i, 1] = 0.0
        residuals[i, 2] = 0.0
        h, kk, l = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        ax, ay, az = axis[c, 0], axis[c, 1], axis[c, 2]
        # beam in the frame before the setting rotation
        bx = S[0, 0] * s0[0] + S[1, 0] * s0[1] + S[2, 0] * s0[2]
        by = S[0, 1] * s0[0] + S[1, 1] * s0[1] + S[2, 1] * s0[2]
        bz = S[0, 2] * s0[0] + S[1, 2] * s0[1] + S[2, 2] * s0[2]
        ux = A[0, 0] * h + A[0, 1] * kk + A[0, 2] * l
        uy = A[1, 0] * h + A[1, 1] * kk + A[1, 2] * l
        uz = A[2, 0] * h + A[2, 1] * kk + A[2, 2] * l
        px = F[c, 0, 0] * ux + F[c, 0, 1] * uy + F[c, 0, 2] * uz
        py = F[c, 1, 0] * ux + F[c, 1, 1] * uy + F[c, 1, 2] * uz
        pz = F[c, 2, 0] * ux + F[c, 2, 1] * uy + F[c, 2, 2] * uz
        # m1 = axis x s0, m3 = m1 x axis
        m1x, m1y, m1z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        length = math.sqrt(m1x * m1x + m1y * m1y + m1z * m1z)
        m1x, m1y, m1z = m1x / length, m1y / length, m1z / length
        m3x, m3y, m3z = m1y * az - m1z * ay, m1z * ax - m1x * az, m1x * ay - m1y * ax
        p2 = px * ax + py * ay + pz * az
        p_sq = px * px + py * py + pz * pz
        b2 = bx * ax + by * ay + bz * az
        b3 = bx * m3x + by * m3y + bz * m3z
        p3 = (-0.5 * p_sq - p2 * b2) / b3
        root = p_sq - p2 * p2 - p3 * p3
        if root <= 0.0:
            continue
        p1 = math.sqrt(root)
        if not entering[i]:
            p1 = -p1
        a1 = px * m1x + py * m1y + pz * m1z
        a3 = px * m3x + py * m3y + pz * m3z
        phi = math.atan2(p1 * a3 - p3 * a1, p1 * a1 + p3 * a3)
        # diffracting vector before and after the setting rotation
        vx = p1 * m1x + p2 * ax + p3 * m3x
        vy = p1 * m1y + p2 * ay + p3 * m3y
        vz = p1 * m1z + p2 * az + p3 * m3z
        rx = S[0, 0] * vx + S[0, 1] * vy + S[0, 2] * vz
        ry = S[1, 0] * vx + S[1, 1] * vy + S[1, 2] * vz
        rz = S[2, 0] * vx + S[2, 1] * vy + S[2, 2] * vz
        sx, sy, sz = s0[0] + rx, s0[1] + ry, s0[2] + rz
        u = D[0, 0] * sx + D[0, 1] * sy + D[0, 2] * sz
        v = D[1, 0] * sx + D[1, 1] * sy + D[1, 2] * sz
        w = D[2, 0] * sx + D[2, 1] * sy + D[2, 2] * sz
        if w <= 0.0:
            continue
        ex = S[0, 0] * ax + S[0, 1] * ay + S[0, 2] * az
        ey = S[1, 0] * ax + S[1, 1] * ay + S[1, 2] * az
        ez = S[2, 0] * ax + S[2, 1] * ay + S[2, 2] * az
        Ex, Ey, Ez = ey * rz - ez * ry, ez * rx - ex * rz, ex * ry - ey * rx
        kappa = Ex * s0[0] + Ey * s0[1] + Ez * s0[2]
        if abs(kappa) < 1e-6:
            continue
        inverse_w = 1.0 / w
        x, y = u * inverse_w, v * inverse_w
        phi += TWO_PI * math.floor((observed[i, 2] - phi) / TWO_PI + 0.5)
        predicted[i] = True
        r0, r1, r2 = x - observed[i, 0], y - observed[i, 1], phi - observed[i, 2]
        residuals[i, 0] = r0
        residuals[i, 1] = r1
        residuals[i, 2] = r2
        w0, w1, w2 = weights[i, 0], weights[i, 1], weights[i, 2]
        half_sum += 0.5 * (w0 * r0 * r0 + w1 * r1 * r1 + w2 * r2 * r2)
        if not with_gradients:
            continue

        # M = S R(axis, phi) F
        cosine, sine = math.cos(phi), math.sin(phi)
        for j in range(3):
            fx, fy, fz = F[c, 0, j], F[c, 1, j], F[c, 2, j]
            along = (ax * fx + ay * fy + az * fz) * (1.0 - cosine)
            qx = fx * cosine + (ay * fz - az * fy) * sine + ax * along
            qy = fy * cosine + (az * fx - ax * fz) * sine + ay * along
            qz = fz * cosine + (ax * fy - ay * fx) * sine + az * along
            for q in range(3):
                M[q, j] = S[q, 0] * qx + S[q, 1] * qy + S[q, 2] * qz
        n = 0
        for a in range(ka + kb + kg):
            if a < ka:
                ux = dA[c, a, 0, 0] * h + dA[c, a, 0, 1] * kk + dA[c, a, 0, 2] * l
                uy = dA[c, a, 1, 0] * h + dA[c, a, 1, 1] * kk + dA[c, a, 1, 2] * l
                uz = dA[c, a, 2, 0] * h + dA[c, a, 2, 1] * kk + dA[c, a, 2, 2] * l
                dr[0] = M[0, 0] * ux + M[0, 1] * uy + M[0, 2] * uz
                dr[1] = M[1, 0] * ux + M[1, 1] * uy + M[1, 2] * uz
                dr[2] = M[2, 0] * ux + M[2, 1] * uy + M[2, 2] * uz
                dphi = -(dr[0] * sx + dr[1] * sy + dr[2] * sz) / kappa
            elif a < ka + kb:
                b = a - ka
                dr[0], dr[1], dr[2] = ds0[c, b, 0], ds0[c, b, 1], ds0[c, b, 2]
                dphi = -(dr[0] * rx + dr[1] * ry + dr[2] * rz) / kappa
            else:
                b = a - ka - kb
                for q in range(3):
                    dr[q] = dS[c, b, q, 0] * vx + dS[c, b, q, 1] * vy + dS[c, b, q, 2] * vz
                dphi = -(dr[0] * sx + dr[1] * sy + dr[2] * sz) / kappa
            fx, fy, fz = dr[0] + Ex * dphi, dr[1] + Ey * dphi, dr[2] + Ez * dphi
            du = D[0, 0] * fx + D[0, 1] * fy + D[0, 2] * fz
            dv = D[1, 0] * fx + D[1, 1] * fy + D[1, 2] * fz
            dw = D[2, 0] * fx + D[2, 1] * fy + D[2, 2] * fz
            J[n, 0] = (du - dw * x) * inverse_w
            J[n, 1] = (dv - dw * y) * inverse_w
            J[n, 2] = dphi
            n += 1
        for b in range(kd):
            du = dD[t, b, 0, 0] * u + dD[t, b, 0, 1] * v + dD[t, b, 0, 2] * w
            dv = dD[t, b, 1, 0] * u + dD[t, b, 1, 1] * v + dD[t, b, 1, 2] * w
            dw = dD[t, b, 2, 0] * u + dD[t, b, 2, 1] * v + dD[t, b, 2, 2] * w
            J[n, 0] = (du - dw * x) * inverse_w
            J[n, 1] = (dv - dw * y) * inverse_w
            J[n, 2] = 0.0
            n += 1
        for a in range(len(sloped)):
            for q in range(3):
                J[k + a, q] = at * J[sloped[a], q]
        for a in range(n_all):
            j0, j1, j2 = J[a, 0], J[a, 1], J[a, 2]
            if a < k and (abs(j0) > 1e-10 or abs(j1) > 1e-10 or abs(j2) > 1e-10):
                touched[c, a] += 1
            j0, j1, j2 = w0 * j0, w1 * j1, w2 * j2
            g[c, a] += j0 * r0 + j1 * r1 + j2 * r2
            for b in range(a + 1):
                N[c, a, b] += j0 * J[b, 0] + j1 * J[b, 1] + j2 * J[b, 2]
    return half_sum


@njit(nogil=True, cache=True)
def sum_cells(N_cells, g_cells, index, weight, N, g):
    """Add the normal equations of the cells into those of the refined parameters.

    Parameters
    ----------
    N_cells : (c, k, k) float64
        Lower triangles.
    g_cells : (c, k) float64
    index : (c, k, m) int64
        Refined parameters that make up a local one; -1 for none.
    weight : (c, k, m) float64
        Derivative of the local parameter with respect to each of them.
    N : (p, p), g : (p,) float64, output
        Full symmetric matrix and vector, added to.

    """
    for c in range(N_cells.shape[0]):
        for a in range(N_cells.shape[1]):
            for i in range(index.shape[2]):
                p = index[c, a, i]
                if p < 0:
                    continue
                g[p] += weight[c, a, i] * g_cells[c, a]
                for b in range(N_cells.shape[2]):
                    value = weight[c, a, i] * (N_cells[c, a, b] if b <= a else N_cells[c, b, a])
                    if value == 0.0:
                        continue
                    for j in range(index.shape[2]):
                        q = index[c, b, j]
                        if q >= 0:
                            N[p, q] += value * weight[c, b, j]
