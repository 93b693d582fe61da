"""The most likely mosaicity, given strong spots."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from .geometry import Model, Points, Seen, seen, spread, spread_slopes
from .mosaicity import Mosaicity

__all__ = ["Rocking", "Spots", "fit_model", "joined", "log_likelihood", "weighted", "without_outliers"]

LEAST_SHARE = 1e-10
FEWEST_CENTRES = 10
LEAST_WIDTH, MOST_BLUR = 1e-3, 3.0  # of the width of spots


@dataclass(frozen=True)
class Rocking:
    """On which images spots of a crystal that turns were seen.

    Attributes
    ----------
    owner : (m,) int64
        The spot of each image.
    low, high : (m,) float64, radian
        Limits of the image, from where the spot is predicted.
    counts : (m,) float64
    """

    owner: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Spots:
    """What is known of n strong spots.

    Attributes
    ----------
    points : Points
    counts : (n,) float64
        Their weights.
    centre : (n, 2) float64, 1/angstrom
        Observed, in the frame of each point.
    shape : (n, 2, 2) float64, 1/angstrom^2
        Observed covariance about it.
    pixel : (n, 2, 2) float64, 1/angstrom^2
        Covariance that a pixel adds.
    rocking : Rocking or None
    """

    points: Points
    counts: np.ndarray
    centre: np.ndarray
    shape: np.ndarray
    pixel: np.ndarray
    rocking: Rocking | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, keep: np.ndarray) -> Spots:
        """Some of them; keep is (n,) bool."""
        rocking = self.rocking
        if rocking is not None:
            place = np.cumsum(keep) - 1
            some = keep[rocking.owner]
            rocking = Rocking(place[rocking.owner[some]], rocking.low[some], rocking.high[some], rocking.counts[some])
        return Spots(
            self.points.select(keep), self.counts[keep], self.centre[keep], self.shape[keep], self.pixel[keep], rocking
        )


def joined(parts: list[Spots]) -> Spots:
    """The spots of several tables."""
    if len(parts) == 1:
        return parts[0]

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    points = Points(*(np.concatenate([getattr(p.points, f.name) for p in parts]) for f in fields(Points)))
    first = np.cumsum([0, *(len(part) for part in parts)])
    pieces = [
        replace(p.rocking, owner=p.rocking.owner + f)
        for p, f in zip(parts, first[:-1], strict=True)
        if p.rocking is not None
    ]
    rocking = None
    if pieces:
        rocking = Rocking(*(np.concatenate([getattr(p, f.name) for p in pieces]) for f in fields(Rocking)))
    return Spots(points, together("counts"), together("centre"), together("shape"), together("pixel"), rocking)


def log_likelihood(mosaicity: Mosaicity, parameters: np.ndarray, blur: float, spots: Spots) -> tuple[float, np.ndarray]:
    """Log likelihood of a model, up to a constant, and its gradient by the parameters and the blur.

    Parameters
    ----------
    mosaicity : Mosaicity
    parameters : (p,) float64
    blur : float, 1/angstrom
    spots : Spots

    Returns
    -------
    float
        In photons.
    (p + 1,) float64

    Notes
    -----
    Photons of a still are a sample of the part of the normal distribution that is on the sphere, and of those of many reflections the
    distances to the sphere are a sample of the distribution across it, so that both are weighted with the counts. A crystal that turns
    shows the distribution across the sphere by the images on which its spots are.
    """
    points = spots.points
    widths = mosaicity.widths(parameters)
    s = spread(points, widths)
    slopes = spread_slopes(points, widths)  # (p, n, 3, 3)
    found = seen(points, s)
    c, normal, turning = spots.counts, found.normal, points.turning
    covariance = found.covariance + blur**2 * np.eye(2) + spots.pixel
    away = spots.centre - found.mean
    second = spots.shape + away[:, :, None] * away[:, None, :]
    inverse = np.linalg.inv(covariance)
    _, log_det = np.linalg.slogdet(covariance)
    value = -0.5 * c @ (log_det + np.einsum("nij,nji->n", inverse, second))
    # d value / d covariance and d mean
    by_covariance = -0.5 * c[:, None, None] * (inverse - inverse @ second @ inverse)
    by_mean = c[:, None] * np.einsum("nij,nj->ni", inverse, away)
    d_mean, d_covariance = _slopes(points, s, slopes, found)
    gradient = np.einsum("nij,pnij->p", by_covariance, d_covariance) + np.einsum("ni,pni->p", by_mean, d_mean)
    d_normal = slopes[:, :, 2, 2]
    still = ~turning
    if still.any():
        square = points.distance[still] ** 2 / normal[still]
        value += float(-0.5 * c[still] @ (np.log(normal[still]) + square))
        gradient += d_normal[:, still] @ (-0.5 * c[still] / normal[still] * (1.0 - square))
    if spots.rocking is not None and len(spots.rocking.owner):
        own = spots.rocking
        speed = np.abs(points.velocity[own.owner, 2]) / np.sqrt(normal[own.owner])
        low, high = own.low * speed, own.high * speed
        share = np.maximum(ndtr(high) - ndtr(low), LEAST_SHARE)
        # of what was recorded on these images together
        total = np.maximum(np.bincount(own.owner, share, len(spots)), LEAST_SHARE)
        recorded = np.bincount(own.owner, own.counts, len(spots))
        weight = np.where(recorded > 0, c / np.maximum(recorded, 1e-9), 0.0)
        n = own.counts * weight[own.owner]
        value += float(n @ np.log(share)) - float((recorded * weight) @ np.log(total))
        by_share = n / share - (recorded * weight / total)[own.owner]
        density = (high * np.exp(-0.5 * high**2) - low * np.exp(-0.5 * low**2)) / np.sqrt(2.0 * np.pi)
        by_normal = by_share * density * -0.5 / normal[own.owner]
        gradient += d_normal @ np.bincount(own.owner, by_normal, len(spots))
    by_blur = 2.0 * blur * float(np.einsum("nii->", by_covariance))
    return float(value), np.append(gradient, by_blur)


def _slopes(points: Points, s: np.ndarray, slopes: np.ndarray, found: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives (p, n, 2) of the means and (p, n, 2, 2) of the covariances."""
    normal = s[:, 2, 2]
    lean = s[:, :2, 2] / normal[:, None]
    d_lean = (slopes[:, :, :2, 2] - lean * slopes[:, :, 2, 2, None]) / normal[:, None]
    d_mean = d_lean * points.distance[:, None]
    cross = slopes[:, :, :2, 2][..., :, None] * lean[:, None, :]
    outer = lean[:, :, None] * lean[:, None, :]
    d_momentary = slopes[:, :, :2, :2] - cross - cross.swapaxes(2, 3) + outer * slopes[:, :, 2, 2][..., None, None]
    if not points.turning.any():
        return d_mean, d_momentary
    drift = found.drift
    moved = d_lean[..., :, None] * drift[:, None, :]
    d_swept = (moved + moved.swapaxes(2, 3)) * normal[:, None, None]
    d_swept = d_swept + drift[:, :, None] * drift[:, None, :] * slopes[:, :, 2, 2][..., None, None]
    return d_mean, d_momentary + np.where(points.turning[:, None, None], d_swept, 0.0)


def fit_model(
    mosaicity: Mosaicity, spots: Spots, start: Model | None, max_iter: int, tolerance: float, widest: float
) -> tuple[Model, float]:
    """The most likely model.

    Parameters
    ----------
    mosaicity : Mosaicity
    spots : Spots
    start : Model or None
        Where to begin; None begins with a sphere.
    max_iter : int
    tolerance : float
        Gain of the log likelihood, in photons, below which it is at an end.
    widest : float, 1/angstrom
        What widths may be.

    Returns
    -------
    Model
    float
        Log likelihood.
    """
    if not len(spots):
        raise ValueError("no spots")
    length = float(np.median(np.linalg.norm(spots.points.r, axis=1)))
    measured = spots.shape - spots.pixel
    per_axis = float(np.average(0.5 * np.einsum("nii->n", measured), weights=spots.counts))
    whole = float(np.average(0.5 * np.einsum("nii->n", spots.shape), weights=spots.counts))
    width = float(np.sqrt(max(per_axis, 0.04 * whole)))
    scale = np.append(np.where(mosaicity.angular, width / length, width), width)
    if start is None:
        begin = np.append(mosaicity.start(np.sqrt(0.5) * width, length), np.sqrt(0.5) * width)
    else:
        begin = np.append(start.parameters, start.blur)
    top = widest / np.where(mosaicity.angular, length, 1.0) / scale[:-1]
    lows = np.append(np.where(mosaicity.diagonal, LEAST_WIDTH, -top), 0.0)
    highs = np.append(top, MOST_BLUR)
    photons = float(spots.counts.sum())
    share = 0.0 if start is None else start.beam_share
    observed = spots
    if share:
        beside = np.column_stack([np.zeros(len(spots)), share * spots.points.turn])
        spots = replace(spots, centre=spots.centre - beside)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_likelihood(mosaicity, x[:-1] * scale[:-1], float(x[-1] * scale[-1]), spots)
        return -value / photons, -gradient * scale / photons

    found = minimize(
        loss, np.clip(begin / scale, lows, highs), jac=True, method="L-BFGS-B", bounds=list(zip(lows, highs, strict=True)),
        options={"maxiter": max_iter, "ftol": tolerance / photons, "gtol": 1e-7},
    )  # fmt: skip
    model = Model(mosaicity, found.x[:-1] * scale[:-1], float(found.x[-1] * scale[-1]))
    return replace(model, beam_share=beam_share(observed, model)), -float(found.fun) * photons


def beam_share(spots: Spots, model: Model) -> float:
    """The `Model.beam_share` that the centres of spots of a still show; 0 for crystals that turn.

    A beam that diverges by d (rms) meets points that are off the sphere by the angle psi with rays turned by psi d^2 / (d^2 + m^2), where m is the
    spread of blocks: so much the spot moves. What the centres show is drawn towards 0 by as much as it is uncertain.
    """
    turn = spots.points.turn
    if len(spots) < FEWEST_CENTRES or not turn.any():
        return 0.0
    away = (spots.centre - model.seen(spots.points).mean)[:, 1]
    w = spots.counts / spots.counts.sum()
    turn, away = turn - w @ turn, away - w @ away
    square = w @ turn**2
    slope = float(w @ (turn * away) / square)
    left = np.abs(away - slope * turn)
    keep = left <= 4.0 * 1.4826 * np.median(left)
    w = w * keep
    square = w @ turn**2
    slope = float(w @ (turn * away) / square)
    variance = float(w**2 @ (turn * (away - slope * turn)) ** 2) / square**2
    return float(np.clip(slope * slope**2 / (slope**2 + variance), -1.0, 1.0)) if slope else 0.0


def without_outliers(spots: Spots, model: Model, probability: float) -> np.ndarray:
    """(n,) bool: spots whose centres lie where a normal distribution has the centres of so many (0 to 1).

    The distribution is that of the spots themselves, from medians, so that few wrong ones do not matter.
    """
    away = spots.centre - model.seen(spots.points).mean
    away = away - np.median(away, axis=0)
    spread_of = 1.4826 * np.median(np.abs(away), axis=0)
    square = np.sum((away / np.maximum(spread_of, 1e-12)) ** 2, axis=1)
    return np.asarray(square < -2.0 * np.log(max(1.0 - probability, 1e-12)))


def capped(counts: np.ndarray) -> np.ndarray:
    """Counts no larger than Q3 + 1.5 (Q3 - Q1), so that no single spot decides."""
    low, high = np.quantile(counts, [0.25, 0.75])
    return np.asarray(np.minimum(counts, high + 1.5 * (high - low)))


def weighted(spots: Spots) -> Spots:
    """The spots with capped weights."""
    return replace(spots, counts=capped(spots.counts))
