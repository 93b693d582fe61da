"""Kernels: residuals of predicted centroids, their derivatives and the normal equations, in one pass over the
reflections.

Reflections that share the state of all models form a *cell* (an experiment, or a block of images of it when a model
varies with the scan, and a rigid group of panels). Derivatives are taken with respect to the local parameters of a
cell, in the order crystal, beam, goniometer, detector; the caller maps local to refined parameters.
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
    A,
    s0,
    S,
    F,
    axis,
    D,
    dA,
    ds0,
    dS,
    dD,
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
    A : (c, 3, 3), s0 : (c, 3), S, F : (c, 3, 3), axis : (c, 3) float64
        Setting matrices, beams, setting and fixed rotations and datum axes of the cells.
    D : (r, 3, 3) float64
        Inverse panel matrices.
    dA : (c, ka, 3, 3), ds0 : (c, kb, 3), dS : (c, kg, 3, 3) float64
        Derivatives of the models with respect to their local parameters.
    dD : (r, kd, 3, 3) float64
        -D (dd/dp): its product with D s1 is the derivative of D s1.
    with_gradients : bool
        False computes residuals only.
    residuals : (n, 3) float64, output
        Calculated minus observed; 0 where not predicted.
    predicted : (n,) bool, output
        False where the reflection never crosses the sphere or misses the panel's plane.
    N : (c, k, k), g : (c, k) float64, touched : (c, k) int64, output
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
    J = np.zeros((k, 3))
    M = np.zeros((3, 3))
    dr = np.zeros(3)
    half_sum = 0.0
    for i in range(hkl.shape[0]):
        c = cell[i]
        t = row[i]
        predicted[i] = False
        residuals[i, 0] = 0.0
        residuals[i, 1] = 0.0
        residuals[i, 2] = 0.0
        h, kk, l = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        ax, ay, az = axis[c, 0], axis[c, 1], axis[c, 2]
        # beam in the frame before the setting rotation
        bx = S[c, 0, 0] * s0[c, 0] + S[c, 1, 0] * s0[c, 1] + S[c, 2, 0] * s0[c, 2]
        by = S[c, 0, 1] * s0[c, 0] + S[c, 1, 1] * s0[c, 1] + S[c, 2, 1] * s0[c, 2]
        bz = S[c, 0, 2] * s0[c, 0] + S[c, 1, 2] * s0[c, 1] + S[c, 2, 2] * s0[c, 2]
        ux = A[c, 0, 0] * h + A[c, 0, 1] * kk + A[c, 0, 2] * l
        uy = A[c, 1, 0] * h + A[c, 1, 1] * kk + A[c, 1, 2] * l
        uz = A[c, 2, 0] * h + A[c, 2, 1] * kk + A[c, 2, 2] * l
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
        rx = S[c, 0, 0] * vx + S[c, 0, 1] * vy + S[c, 0, 2] * vz
        ry = S[c, 1, 0] * vx + S[c, 1, 1] * vy + S[c, 1, 2] * vz
        rz = S[c, 2, 0] * vx + S[c, 2, 1] * vy + S[c, 2, 2] * vz
        sx, sy, sz = s0[c, 0] + rx, s0[c, 1] + ry, s0[c, 2] + rz
        u = D[t, 0, 0] * sx + D[t, 0, 1] * sy + D[t, 0, 2] * sz
        v = D[t, 1, 0] * sx + D[t, 1, 1] * sy + D[t, 1, 2] * sz
        w = D[t, 2, 0] * sx + D[t, 2, 1] * sy + D[t, 2, 2] * sz
        if w <= 0.0:
            continue
        ex = S[c, 0, 0] * ax + S[c, 0, 1] * ay + S[c, 0, 2] * az
        ey = S[c, 1, 0] * ax + S[c, 1, 1] * ay + S[c, 1, 2] * az
        ez = S[c, 2, 0] * ax + S[c, 2, 1] * ay + S[c, 2, 2] * az
        Ex, Ey, Ez = ey * rz - ez * ry, ez * rx - ex * rz, ex * ry - ey * rx
        kappa = Ex * s0[c, 0] + Ey * s0[c, 1] + Ez * s0[c, 2]
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
                M[q, j] = S[c, q, 0] * qx + S[c, q, 1] * qy + S[c, q, 2] * qz
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
            du = D[t, 0, 0] * fx + D[t, 0, 1] * fy + D[t, 0, 2] * fz
            dv = D[t, 1, 0] * fx + D[t, 1, 1] * fy + D[t, 1, 2] * fz
            dw = D[t, 2, 0] * fx + D[t, 2, 1] * fy + D[t, 2, 2] * fz
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
        for a in range(k):
            j0, j1, j2 = J[a, 0], J[a, 1], J[a, 2]
            if abs(j0) > 1e-10 or abs(j1) > 1e-10 or abs(j2) > 1e-10:
                touched[c, a] += 1
            j0, j1, j2 = w0 * j0, w1 * j1, w2 * j2
            g[c, a] += j0 * r0 + j1 * r1 + j2 * r2
            for b in range(a + 1):
                N[c, a, b] += j0 * J[b, 0] + j1 * J[b, 1] + j2 * J[b, 2]
    return half_sum


@njit(nogil=True, cache=True)
def stills_normal_equations(
    hkl,
    observed,
    weights,
    cell,
    row,
    A,
    s0,
    D,
    dA,
    ds0,
    dD,
    spherical,
    with_gradients,
    residuals,
    predicted,
    N,
    g,
    touched,
):
    """Residuals of stills in x, y (mm) and delta-psi (radians) and the normal equations of every cell.

    Parameters and outputs as in `scan_normal_equations`; the third residual is delta-psi, whose observed value is 0.

    Notes
    -----
    q = A h is split into the component q_par along the beam and the length q_per across it (direction c0). Rotated
    onto the sphere it is r = -a s0/|s0| + b c0, a = |q|^2 / (2 |s0|), and delta-psi = -(atan2(a, b) + atan2(q_par,
    q_per)). With `spherical` the point is moved along s0 + q to the sphere instead; delta-psi keeps its meaning.

    """
    ka, kb, kd = dA.shape[1], ds0.shape[1], dD.shape[1]
    k = ka + kb + kd
    J = np.zeros((k, 3))
    half_sum = 0.0
    for i in range(hkl.shape[0]):
        c = cell[i]
        t = row[i]
        predicted[i] = False
        residuals[i, 0] = 0.0
        residuals[i, 1] = 0.0
        residuals[i, 2] = 0.0
        h, kk, l = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        bx, by, bz = s0[c, 0], s0[c, 1], s0[c, 2]
        nu = math.sqrt(bx * bx + by * by + bz * bz)
        hx, hy, hz = bx / nu, by / nu, bz / nu
        qx = A[c, 0, 0] * h + A[c, 0, 1] * kk + A[c, 0, 2] * l
        qy = A[c, 1, 0] * h + A[c, 1, 1] * kk + A[c, 1, 2] * l
        qz = A[c, 2, 0] * h + A[c, 2, 1] * kk + A[c, 2, 2] * l
        q_sq = qx * qx + qy * qy + qz * qz
        q_par = qx * hx + qy * hy + qz * hz
        cx, cy, cz = qx - q_par * hx, qy - q_par * hy, qz - q_par * hz
        q_per = math.sqrt(cx * cx + cy * cy + cz * cz)
        a = 0.5 * q_sq / nu
        root = q_sq - a * a
        if root <= 0.0 or q_per < 1e-12:
            continue
        cx, cy, cz = cx / q_per, cy / q_per, cz / q_per
        b = math.sqrt(root)
        if spherical:
            fx, fy, fz = bx + qx, by + qy, bz + qz
            size = math.sqrt(fx * fx + fy * fy + fz * fz)
            sx, sy, sz = nu * fx / size, nu * fy / size, nu * fz / size
        else:
            size = 1.0
            fx, fy, fz = 0.0, 0.0, 0.0
            sx, sy, sz = bx - a * hx + b * cx, by - a * hy + b * cy, bz - a * hz + b * cz
        u = D[t, 0, 0] * sx + D[t, 0, 1] * sy + D[t, 0, 2] * sz
        v = D[t, 1, 0] * sx + D[t, 1, 1] * sy + D[t, 1, 2] * sz
        w = D[t, 2, 0] * sx + D[t, 2, 1] * sy + D[t, 2, 2] * sz
        if w <= 0.0:
            continue
        inverse_w = 1.0 / w
        x, y = u * inverse_w, v * inverse_w
        predicted[i] = True
        r0, r1 = x - observed[i, 0], y - observed[i, 1]
        r2 = -(math.atan2(a, b) + math.atan2(q_par, q_per))
        residuals[i, 0] = r0
        residuals[i, 1] = r1
        residuals[i, 2] = r2
        w0, w1, w2 = weights[i, 0], weights[i, 1], weights[i, 2]
        half_sum += 0.5 * (w0 * r0 * r0 + w1 * r1 * r1 + w2 * r2 * r2)
        if not with_gradients:
            continue
        for j in range(ka + kb):
            dqx, dqy, dqz = 0.0, 0.0, 0.0
            dbx, dby, dbz = 0.0, 0.0, 0.0
            if j < ka:
                dqx = dA[c, j, 0, 0] * h + dA[c, j, 0, 1] * kk + dA[c, j, 0, 2] * l
                dqy = dA[c, j, 1, 0] * h + dA[c, j, 1, 1] * kk + dA[c, j, 1, 2] * l
                dqz = dA[c, j, 2, 0] * h + dA[c, j, 2, 1] * kk + dA[c, j, 2, 2] * l
            else:
                dbx, dby, dbz = ds0[c, j - ka, 0], ds0[c, j - ka, 1], ds0[c, j - ka, 2]
            dnu = hx * dbx + hy * dby + hz * dbz
            dhx, dhy, dhz = (dbx - hx * dnu) / nu, (dby - hy * dnu) / nu, (dbz - hz * dnu) / nu
            q_dq = qx * dqx + qy * dqy + qz * dqz
            da = q_dq / nu - a * dnu / nu
            db = (q_dq - a * da) / b
            d_par = dqx * hx + dqy * hy + dqz * hz + qx * dhx + qy * dhy + qz * dhz
            # change of the component across the beam, then of its direction
            ox = dqx - d_par * hx - q_par * dhx
            oy = dqy - d_par * hy - q_par * dhy
            oz = dqz - d_par * hz - q_par * dhz
            d_per = ox * cx + oy * cy + oz * cz
            if spherical:
                tx, ty, tz = dbx + dqx, dby + dqy, dbz + dqz
                along = (fx * tx + fy * ty + fz * tz) / (size * size)
                scale = nu / size
                tx = scale * (tx - fx * along) + dnu * fx / size
                ty = scale * (ty - fy * along) + dnu * fy / size
                tz = scale * (tz - fz * along) + dnu * fz / size
            else:
                tx = dbx - da * hx - a * dhx + db * cx + b * (ox - cx * d_per) / q_per
                ty = dby - da * hy - a * dhy + db * cy + b * (oy - cy * d_per) / q_per
                tz = dbz - da * hz - a * dhz + db * cz + b * (oz - cz * d_per) / q_per
            du = D[t, 0, 0] * tx + D[t, 0, 1] * ty + D[t, 0, 2] * tz
            dv = D[t, 1, 0] * tx + D[t, 1, 1] * ty + D[t, 1, 2] * tz
            dw = D[t, 2, 0] * tx + D[t, 2, 1] * ty + D[t, 2, 2] * tz
            J[j, 0] = (du - dw * x) * inverse_w
            J[j, 1] = (dv - dw * y) * inverse_w
            J[j, 2] = -((b * da - a * db) / q_sq + (q_per * d_par - q_par * d_per) / q_sq)
        for j in range(kd):
            du = dD[t, j, 0, 0] * u + dD[t, j, 0, 1] * v + dD[t, j, 0, 2] * w
            dv = dD[t, j, 1, 0] * u + dD[t, j, 1, 1] * v + dD[t, j, 1, 2] * w
            dw = dD[t, j, 2, 0] * u + dD[t, j, 2, 1] * v + dD[t, j, 2, 2] * w
            J[ka + kb + j, 0] = (du - dw * x) * inverse_w
            J[ka + kb + j, 1] = (dv - dw * y) * inverse_w
            J[ka + kb + j, 2] = 0.0
        for j in range(k):
            j0, j1, j2 = J[j, 0], J[j, 1], J[j, 2]
            if abs(j0) > 1e-10 or abs(j1) > 1e-10 or abs(j2) > 1e-10:
                touched[c, j] += 1
            j0, j1, j2 = w0 * j0, w1 * j1, w2 * j2
            g[c, j] += j0 * r0 + j1 * r1 + j2 * r2
            for m in range(j + 1):
                N[c, j, m] += j0 * J[m, 0] + j1 * J[m, 1] + j2 * J[m, 2]
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
