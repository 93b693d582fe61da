"""Photon tracing: every Bragg photon and every background count of a block of images.

Random numbers are drawn from streams that belong to a reflection or to an image, never to a thread, so that the images
are the same for any number of workers and any size of block.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from .random_kernels import MASK_16, U16, draw, poisson, start_stream, uniform

__all__ = ["draw_background", "read_out", "trace_reflections"]

# Bits of the pixel state
LIVE = 1  # the pixel counts
OPEN = 2  # no beamstop in front of it


@numba.njit(nogil=True, cache=True)
def draw_background(images, first_frame, seed, expected, frame_scale, state_of_pixel, hot_pixels, hot_rate):
    """Add Poisson counts of the background to a block of images.

    Parameters
    ----------
    images : (m, ny, nx) int32
        Images ``first_frame`` .. ``first_frame + m - 1``; counts are added.
    seed : int
    expected : (ny, nx) float32, counts
        Expected background of one image at scale 1.
    frame_scale : (n,) float64
        Scale of every image of the sweep.
    state_of_pixel : (ny, nx) uint8
        Bits LIVE and OPEN.
    hot_pixels : (h, 2) int64
        y, x of pixels that count by themselves.
    hot_rate : (h,) float64, counts
        Their mean count per image.
    """
    n_frames, ny, nx = images.shape
    state = np.empty(2, np.uint64)
    for f in range(n_frames):
        frame = first_frame + f
        start_stream(state, seed, 1, frame)
        scale = frame_scale[frame]
        for y in range(ny):
            for x in range(nx):
                if state_of_pixel[y, x] & LIVE:
                    images[f, y, x] += poisson(state, expected[y, x] * scale)
        for h in range(hot_pixels.shape[0]):
            images[f, hot_pixels[h, 0], hot_pixels[h, 1]] += poisson(state, hot_rate[h])


@numba.njit(nogil=True, cache=True)
def read_out(images, first_frame, seed, gain, offset, noise, highest, state_of_pixel, normals):
    """Turn photons into the counts of an integrating detector, in place: gain x photons + offset + noise, rounded.

    Parameters
    ----------
    images : (m, ny, nx) int32
        Photons of images ``first_frame`` .. ``first_frame + m - 1``.
    seed : int
    gain : float, counts per photon
    offset, noise : float, counts
        Mean and standard deviation of a pixel without photons.
    highest : int
        Counts beyond are cut.
    state_of_pixel : (ny, nx) uint8
        Pixels that are not LIVE stay as they are.
    normals : (65536,) float32
        Quantiles of the normal distribution.
    """
    n_frames, ny, nx = images.shape
    state = np.empty(2, np.uint64)
    for f in range(n_frames):
        start_stream(state, seed, 3, first_frame + f)
        for y in range(ny):
            for x in range(nx):
                if state_of_pixel[y, x] & LIVE:
                    value = gain * images[f, y, x] + offset + noise * normals[draw(state) & MASK_16]
                    images[f, y, x] = min(highest, math.floor(value + 0.5))


@numba.njit(nogil=True, cache=True)
def trace_reflections(
    images,
    first_frame,
    seed,
    rows,
    home,
    q,
    phi,
    entering,
    window,
    photons,
    d,
    frame_scale,
    frame_b,
    frame_shift,
    beam,
    axis,
    spread,
    panel_of,
    panels,
    panel_box,
    pixel_size,
    sensor,
    point_spread,
    scan,
    still,
    normals,
    state_of_pixel,
    tape,
    n_all,
    n_live,
    position,
    spread_e,
):
    """Trace the Bragg photons of some reflections into a block of images.

    A photon gets a mosaic block (two rotations about axes normal to q), an incident direction and a wavelength; the
    rotation angle at which that block diffracts follows exactly; it leaves from a point of the illuminated crystal and
    is absorbed at an exponential depth in the sensor.

    Parameters
    ----------
    images : (m, ny, nx) int32
        Images ``first_frame`` .. ``first_frame + m - 1``.
    rows : (k,) int64
        Reflections to trace.
    home : (n,) bool
        Reflections whose statistics are to be taken in this call (each in exactly one block).
    q : (n, 3) float64, 1/angstrom
        Reciprocal vectors at rotation angle 0.
    phi : (n,) float64, rad
        Rotation angle of diffraction.
    entering : (n,) bool
        The point enters the Ewald sphere.
    window : (n,) float64, images
        Photons further from phi than this are not traced.
    photons : (n,) float64
        Expected photons at frame scale 1.
    d : (n,) float64, angstrom
    frame_scale, frame_b : (f,) float64
        Scale and B factor (angstrom^2) of every image.
    frame_shift : (f, 2) float64, px
        Movement of the pattern along fast and slow.
    beam : (7,) float64
        Unit vector of the beam (source to sample), wavelength, sigma of divergence (rad), relative sigma of the
        wavelength, sigma of the illuminated volume (mm).
    axis : (3,) float64
        Rotation axis.
    spread : float, rad
        Sigma of the mosaic rotations.
    panel_of : (n,) int64
        The panel that the central ray of each reflection meets or comes nearest to.
    panels : (p, 3, 3) float64, mm
        Rows fast, slow, origin of each panel.
    panel_box : (p, 4) int64
        First pixel of each in the image and pixels, fast and slow.
    pixel_size : float, mm
    sensor : (2,) float64
        Absorption coefficient (1/mm), 0 for what is stopped at the surface, and thickness (mm).
    point_spread : (3,) float64
        How far the detector moves a photon, standard deviation (px) along fast and along slow; the fraction of photons that it moves
        by another, and that (px).
    scan : (2,) float64, rad
        Start angle and width of an image.
    still : (n,) or (0,) int64
        The image of each reflection where images are stills; the block of a photon is then turned about e1, the axis across q and the
        beam, to where it diffracts, and the photon is kept with the probability of that turn relative to none.
    normals : (65536,) float32
        Quantiles of the normal distribution.
    state_of_pixel : (ny, nx) uint8
    tape : (ny, nx) or (0, 0) float32
        Share of the photons towards each pixel that come through; others are stopped.
    n_all, n_live : (n,) int64
        Photons that reached the detector plane; photons counted.
    position : (n, 3) float64
        Sum of x, y (px of the reflection's panel) and z (images) over n_all photons.
    spread_e : (n, 3) float64
        Sum of squares of the Kabsch coordinates e1, e2, e3 (rad) over n_all photons.
    """
    n_block = images.shape[0]
    n_frames = frame_scale.shape[0]
    state = np.empty(2, np.uint64)
    g = np.empty(8, np.float64)
    largest_scale = frame_scale.max()
    b0, b1, b2 = beam[0], beam[1], beam[2]
    wavelength, divergence, bandpass, source = beam[3], beam[4], beam[5], beam[6]
    m0, m1, m2 = axis[0], axis[1], axis[2]
    # two directions across the beam
    if abs(b0) < 0.9:
        u0, u1, u2 = 0.0, b2, -b1
    else:
        u0, u1, u2 = -b2, 0.0, b0
    norm = math.sqrt(u0 * u0 + u1 * u1 + u2 * u2)
    u0, u1, u2 = u0 / norm, u1 / norm, u2 / norm
    w0, w1, w2 = b1 * u2 - b2 * u1, b2 * u0 - b0 * u2, b0 * u1 - b1 * u0
    n_panels = panels.shape[0]
    spreads = point_spread[0] > 0.0 or point_spread[1] > 0.0
    for j in range(rows.shape[0]):
        i = rows[j]
        start_stream(state, seed, 2, i)
        n_photons = poisson(state, photons[i] * largest_scale)
        b_factor = 0.5 / (d[i] * d[i])
        q0, q1, q2 = q[i, 0], q[i, 1], q[i, 2]
        # two directions across q
        length = math.sqrt(q0 * q0 + q1 * q1 + q2 * q2)
        if abs(q0) < 0.8 * length:
            a0, a1, a2 = 0.0, q2, -q1
        else:
            a0, a1, a2 = -q2, 0.0, q0
        norm = math.sqrt(a0 * a0 + a1 * a1 + a2 * a2) / length
        a0, a1, a2 = a0 / norm, a1 / norm, a2 / norm
        c0, c1, c2 = (q1 * a2 - q2 * a1) / length, (q2 * a0 - q0 * a2) / length, (q0 * a1 - q1 * a0) / length
        at_rest = still.shape[0] > 0
        z_centre = still[i] + 0.5 if at_rest else (phi[i] - scan[0]) / scan[1]
        # Kabsch frame of the central ray
        cosine, sine = math.cos(phi[i]), math.sin(phi[i])
        along = m0 * q0 + m1 * q1 + m2 * q2
        r0 = along * m0 * (1 - cosine) + cosine * q0 + sine * (m1 * q2 - m2 * q1)
        r1 = along * m1 * (1 - cosine) + cosine * q1 + sine * (m2 * q0 - m0 * q2)
        r2 = along * m2 * (1 - cosine) + cosine * q2 + sine * (m0 * q1 - m1 * q0)
        t0, t1, t2 = b0 + r0 * wavelength, b1 + r1 * wavelength, b2 + r2 * wavelength
        e10, e11, e12 = t1 * b2 - t2 * b1, t2 * b0 - t0 * b2, t0 * b1 - t1 * b0
        norm = math.sqrt(e10 * e10 + e11 * e11 + e12 * e12)
        e10, e11, e12 = e10 / norm, e11 / norm, e12 / norm
        e20, e21, e22 = t1 * e12 - t2 * e11, t2 * e10 - t0 * e12, t0 * e11 - t1 * e10
        zeta = 1.0 if at_rest else m0 * e10 + m1 * e11 + m2 * e12
        if at_rest:  # a, what a turn about e1 does to q, and c, along e1
            c0, c1, c2 = length * e10, length * e11, length * e12
            a0, a1, a2 = e11 * q2 - e12 * q1, e12 * q0 - e10 * q2, e10 * q1 - e11 * q0
        for _ in range(n_photons):
            for quad in range(2):
                bits = draw(state)
                for piece in range(4):
                    g[4 * quad + piece] = normals[bits & MASK_16]
                    bits >>= U16
            # mosaic block: q turned, its length kept to second order
            block_x, block_y = spread * g[0], spread * g[1]
            # incident beam
            x, y = divergence * g[2], divergence * g[3]
            k = (1.0 - bandpass * g[4]) / wavelength
            shrink = 1.0 - 0.5 * (x * x + y * y)
            i0 = k * (shrink * b0 + x * u0 + y * w0)
            i1 = k * (shrink * b1 + x * u1 + y * w1)
            i2 = k * (shrink * b2 + x * u2 + y * w2)
            likely = 1.0
            if at_rest:
                # |i + p| = |i| fixes the turn about e1, which is small
                i_q, i_a, i_c = i0 * q0 + i1 * q1 + i2 * q2, i0 * a0 + i1 * a1 + i2 * a2, i0 * c0 + i1 * c1 + i2 * c2
                block_x = 0.0
                for _ in range(3):
                    shrink = 1.0 - 0.5 * (block_x * block_x + block_y * block_y)
                    block_x = -(shrink * i_q + block_y * i_c + 0.5 * length * length) / i_a
                likely = math.exp(-0.5 * (block_x / spread) ** 2)
            shrink = 1.0 - 0.5 * (block_x * block_x + block_y * block_y)
            p0 = shrink * q0 + block_x * a0 + block_y * c0
            p1 = shrink * q1 + block_x * a1 + block_y * c1
            p2 = shrink * q2 + block_x * a2 + block_y * c2
            # |i + R(angle) p| = |i|:  A cos + B sin + C = 0
            along = m0 * p0 + m1 * p1 + m2 * p2
            v0, v1, v2 = m1 * p2 - m2 * p1, m2 * p0 - m0 * p2, m0 * p1 - m1 * p0
            angle, z = 0.0, z_centre
            if not at_rest:
                i_axis = i0 * m0 + i1 * m1 + i2 * m2
                cos_part = i0 * p0 + i1 * p1 + i2 * p2 - along * i_axis
                sin_part = i0 * v0 + i1 * v1 + i2 * v2
                constant = along * i_axis + 0.5 * (p0 * p0 + p1 * p1 + p2 * p2)
                amplitude = math.sqrt(cos_part * cos_part + sin_part * sin_part)
                if abs(constant) >= amplitude:
                    continue  # this block never diffracts this ray
                angle = math.acos(-constant / amplitude)
                angle = math.atan2(sin_part, cos_part) + (angle if entering[i] else -angle)
                angle += 2.0 * math.pi * math.floor((phi[i] - angle) / (2.0 * math.pi) + 0.5)
                z = (angle - scan[0]) / scan[1]
                if abs(z - z_centre) > window[i]:
                    continue
            frame = math.floor(z)
            nearest = min(max(frame, 0), n_frames - 1)
            weight = likely * frame_scale[nearest] * math.exp(-frame_b[nearest] * b_factor)
            # one draw for both: does the photon exist at this scale, and how deep does it go
            u = uniform(state) * largest_scale
            if u >= weight:
                continue
            u /= weight
            cosine, sine = math.cos(angle), math.sin(angle)
            t0 = i0 + along * m0 * (1 - cosine) + cosine * p0 + sine * v0
            t1 = i1 + along * m1 * (1 - cosine) + cosine * p1 + sine * v1
            t2 = i2 + along * m2 * (1 - cosine) + cosine * p2 + sine * v2
            t0, t1, t2 = t0 / k, t1 / k, t2 / k
            # origin of the ray: an isotropic Gaussian volume, of which only what lies across the ray matters
            x0 = source * (g[5] * e10 + g[6] * e20)
            x1 = source * (g[5] * e11 + g[6] * e21)
            x2 = source * (g[5] * e12 + g[6] * e22)
            moved_x, moved_y = 0.0, 0.0
            if spreads:
                width = point_spread[2] if uniform(state) < point_spread[1] else point_spread[0]
                bits = draw(state)
                moved_x = width * normals[bits & MASK_16]
                moved_y = width * normals[(bits >> U16) & MASK_16]
            # the panel of the central ray says where the spot is; photons that miss it may meet another
            px, py, column, row, met = 0.0, 0.0, -1, -1, False
            for attempt in range(n_panels):
                own = attempt == 0
                k_panel = panel_of[i] if own else attempt - 1 if attempt <= panel_of[i] else attempt
                panel = panels[k_panel]
                f0, f1, f2 = panel[0, 0], panel[0, 1], panel[0, 2]
                l0, l1, l2 = panel[1, 0], panel[1, 1], panel[1, 2]
                n0, n1, n2 = f1 * l2 - f2 * l1, f2 * l0 - f0 * l2, f0 * l1 - f1 * l0
                o0, o1, o2 = panel[2, 0], panel[2, 1], panel[2, 2]
                distance = o0 * n0 + o1 * n1 + o2 * n2
                toward = t0 * n0 + t1 * n1 + t2 * n2
                if toward * distance <= 0.0:
                    if own:
                        break
                    continue
                path = (distance - (x0 * n0 + x1 * n1 + x2 * n2)) / toward
                full = sensor[1] / abs(toward)
                if sensor[0] > 0.0:
                    path += -math.log(1.0 - u * (1.0 - math.exp(-sensor[0] * full))) / sensor[0]
                y0, y1, y2 = x0 + path * t0 - o0, x1 + path * t1 - o1, x2 + path * t2 - o2
                x = (y0 * f0 + y1 * f1 + y2 * f2) / pixel_size + frame_shift[nearest, 0] + moved_x
                y = (y0 * l0 + y1 * l1 + y2 * l2) / pixel_size + frame_shift[nearest, 1] + moved_y
                if own:
                    px, py, met = x, y, True
                on_x, on_y = math.floor(x), math.floor(y)
                if 0 <= on_x < panel_box[k_panel, 2] and 0 <= on_y < panel_box[k_panel, 3]:
                    column, row = on_x + panel_box[k_panel, 0], on_y + panel_box[k_panel, 1]
                    break
            if not met:
                continue
            counted = False
            if 0 <= frame < n_frames and column >= 0:
                counted = state_of_pixel[row, column] == LIVE | OPEN
                if tape.shape[0] > 0 and counted and tape[row, column] < 1.0:
                    counted = uniform(state) < tape[row, column]
                if counted and first_frame <= frame < first_frame + n_block:
                    images[frame - first_frame, row, column] += 1
            if home[i]:
                n_all[i] += 1
                n_live[i] += counted
                position[i, 0] += px
                position[i, 1] += py
                position[i, 2] += z
                # Kabsch coordinates, |s1| = 1
                x, y = t0 * e10 + t1 * e11 + t2 * e12, t0 * e20 + t1 * e21 + t2 * e22
                spread_e[i, 0] += x * x
                spread_e[i, 1] += y * y
                spread_e[i, 2] += block_x**2 if at_rest else (zeta * (angle - phi[i])) ** 2
