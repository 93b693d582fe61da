"""Kernel of stills: residuals, their derivatives and the normal equations, in one pass over the reflections."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


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

    Parameters and outputs as in `kernels.scan_normal_equations`; the third residual is delta-psi, whose observed value is 0.

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
