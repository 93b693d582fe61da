"""Loops over stills and their observations: post-refinement of scale, B, orientation and width of each crystal."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Parameters of a still: ln of its scale, B, rotations about two axes across the beam (radians), ln of its width.
N_PARAMETERS = 5


@njit(nogil=True, cache=True)
def excitation(q, s0, e1, e2, r1, r2, out):
    """Distance of a turned reciprocal-lattice point from the Ewald sphere and its derivatives by both rotations.

    Parameters
    ----------
    q : (3,) float64, 1/angstrom
    s0, e1, e2 : (3,) float64
        The beam, 1/angstrom, and two unit vectors across it.
    r1, r2 : float, radians
        Rotation about r1 e1 + r2 e2; exact to the second order.
    out : (3,) float64
        Output: |s0 + q'| - |s0|, its derivatives.
    """
    w0 = r1 * e1[0] + r2 * e2[0]
    w1 = r1 * e1[1] + r2 * e2[1]
    w2 = r1 * e1[2] + r2 * e2[2]
    a0 = w1 * q[2] - w2 * q[1]
    a1 = w2 * q[0] - w0 * q[2]
    a2 = w0 * q[1] - w1 * q[0]
    x = q[0] + a0 + 0.5 * (w1 * a2 - w2 * a1)
    y = q[1] + a1 + 0.5 * (w2 * a0 - w0 * a2)
    z = q[2] + a2 + 0.5 * (w0 * a1 - w1 * a0)
    u, v, w = s0[0] + x, s0[1] + y, s0[2] + z
    length = np.sqrt(u * u + v * v + w * w)
    out[0] = length - np.sqrt(s0[0] * s0[0] + s0[1] * s0[1] + s0[2] * s0[2])
    out[1] = (u * (e1[1] * z - e1[2] * y) + v * (e1[2] * x - e1[0] * z) + w * (e1[0] * y - e1[1] * x)) / length
    out[2] = (u * (e2[1] * z - e2[2] * y) + v * (e2[2] * x - e2[0] * z) + w * (e2[0] * y - e2[1] * x)) / length


@njit(nogil=True, cache=True)
def factors(q, x, reach, given, s0, e1, e2, p, g, partiality, slopes):
    """Inverse scale factors of the observations of one still, and the derivatives of their logarithms.

    Parameters
    ----------
    q : (n, 3) float64
        Reciprocal-lattice points as indexed.
    x : (n,) float64
        1 / (2 d^2).
    reach : (n,) float64
        What the width is multiplied by: |q| cos theta for an angular spread, 1 for the size of the points.
    given : (n,) float64
        Partialities to take as they are; 0 for those of the model.
    s0, e1, e2 : (3,) float64
    p : (5,) float64
    g : (n,) float64
        Output: K exp(B x) times the partiality.
    partiality : (n,) float64
        Output: exp(-(excitation error / width)^2 / 2).
    slopes : (n, 5) float64
        Output.
    """
    found = np.empty(3)
    width = np.exp(p[4])
    for i in range(len(x)):
        if given[i] > 0.0:
            partiality[i] = given[i]
            g[i] = np.exp(p[0] + p[1] * x[i]) * given[i]
            slopes[i, 0] = 1.0
            slopes[i, 1] = x[i]
            slopes[i, 2:] = 0.0
            continue
        excitation(q[i], s0, e1, e2, p[2], p[3], found)
        sigma = width * reach[i]
        t = found[0] / sigma
        partiality[i] = np.exp(-0.5 * t * t)
        g[i] = np.exp(p[0] + p[1] * x[i]) * partiality[i]
        slopes[i, 0] = 1.0
        slopes[i, 1] = x[i]
        slopes[i, 2] = -t / sigma * found[1]
        slopes[i, 3] = -t / sigma * found[2]
        slopes[i, 4] = t * t


@njit(nogil=True, cache=True)
def _cost(value, weight, reference, g, p, middle, hold):
    total = 0.0
    for i in range(len(value)):
        r = value[i] - g[i] * reference[i]
        total += weight[i] * r * r
    for a in range(N_PARAMETERS):
        total += hold[a] * (p[a] - middle[a]) ** 2
    return total


@njit(nogil=True, cache=True)
def _normal(value, weight, reference, g, slopes, p, middle, hold, free, matrix, push):
    """Gauss-Newton equations; parameters that are not free keep their values."""
    matrix[:, :] = 0.0
    push[:] = 0.0
    for i in range(len(value)):
        expected = g[i] * reference[i]
        w = weight[i] * expected
        r = value[i] - expected
        for a in range(N_PARAMETERS):
            ua = w * slopes[i, a]
            push[a] += ua * r
            for b in range(a, N_PARAMETERS):
                matrix[a, b] += ua * expected * slopes[i, b]
    for a in range(N_PARAMETERS):
        matrix[a, a] += hold[a]
        push[a] -= hold[a] * (p[a] - middle[a])
        for b in range(a):
            matrix[a, b] = matrix[b, a]
    for a in range(N_PARAMETERS):
        if not free[a]:
            matrix[a, :] = 0.0
            matrix[:, a] = 0.0
            matrix[a, a] = 1.0
            push[a] = 0.0


@njit(nogil=True, cache=True)
def refine_stills(
    offsets,
    q,
    x,
    reach,
    given,
    value,
    weight,
    reference,
    s0,
    e1,
    e2,
    free,
    middle,
    hold,
    steps,
    parameters,
    g,
    partiality,
    spread,
    errors,
):
    """Refine each still against reference intensities by Levenberg-Marquardt steps.

    Parameters
    ----------
    offsets : (m + 1,) int64
        Run of observations of each still.
    q : (n, 3), x, reach, given, value, weight, reference : (n,) float64
        Points, 1 / (2 d^2), reach of the width, given partialities, observed intensities, their weights (0 for none), what they are compared with.
    s0, e1, e2 : (m, 3) float64
    free : (5,) bool
    middle, hold : (m, 5), (5,) float64
        Where parameters are drawn to, and how strongly (1 / variance).
    steps : int
        Most steps; 0 evaluates only.
    parameters : (m, 5) float64
        Changed in place.
    g, partiality : (n,) float64
        Output.
    spread : (n,) float64
        Output: variance of ln g from the errors of the parameters.
    errors : (m, 5) float64
        Output: variances of the parameters.
    """
    matrix, push = np.empty((N_PARAMETERS, N_PARAMETERS)), np.empty(N_PARAMETERS)
    longest = 0
    for k in range(len(offsets) - 1):
        longest = max(longest, offsets[k + 1] - offsets[k])
    slopes = np.empty((longest, N_PARAMETERS))
    for k in range(len(offsets) - 1):
        begin, end = offsets[k], offsets[k + 1]
        n = end - begin
        if n == 0:
            continue
        v, w, t = value[begin:end], weight[begin:end], reference[begin:end]
        part, here = partiality[begin:end], g[begin:end]
        p = parameters[k].copy()
        factors(
            q[begin:end], x[begin:end], reach[begin:end], given[begin:end], s0[k], e1[k], e2[k], p, here, part, slopes
        )
        cost = _cost(v, w, t, here, p, middle[k], hold)
        damping = 1e-3
        for _ in range(steps):
            _normal(v, w, t, here, slopes, p, middle[k], hold, free, matrix, push)
            better = False
            for _ in range(8):
                damped = matrix.copy()
                for a in range(N_PARAMETERS):
                    damped[a, a] *= 1.0 + damping
                    damped[a, a] += 1e-300
                trial = p + np.linalg.solve(damped, push)
                factors(
                    q[begin:end],
                    x[begin:end],
                    reach[begin:end],
                    given[begin:end],
                    s0[k],
                    e1[k],
                    e2[k],
                    trial,
                    here,
                    part,
                    slopes,
                )
                new = _cost(v, w, t, here, trial, middle[k], hold)
                if np.isfinite(new) and new <= cost:
                    better = True
                    break
                damping *= 10.0
            if not better:
                break
            gain = cost - new
            p, cost = trial, new
            damping = max(damping * 0.1, 1e-9)
            if gain < 1e-4 * cost:
                break
        factors(
            q[begin:end], x[begin:end], reach[begin:end], given[begin:end], s0[k], e1[k], e2[k], p, here, part, slopes
        )
        parameters[k] = p
        _normal(v, w, t, here, slopes, p, middle[k], hold, free, matrix, push)
        for a in range(N_PARAMETERS):
            matrix[a, a] *= 1.0 + 1e-12
            matrix[a, a] += 1e-300
        inverse = np.linalg.inv(matrix)
        for a in range(N_PARAMETERS):
            if not free[a]:
                inverse[a, a] = 0.0
            errors[k, a] = inverse[a, a]
        for i in range(n):
            total = 0.0
            for a in range(N_PARAMETERS):
                for b in range(N_PARAMETERS):
                    total += slopes[i, a] * inverse[a, b] * slopes[i, b]
            spread[begin + i] = total
