"""Work on all observations in pieces that depend on the data alone: workers share them, and the result does not depend on how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import Observations
from .kernels import expect_intensities, reject_outliers
from .sums import Map, blocks_of

if TYPE_CHECKING:
    from .layout import Layout

__all__ = [
    "PIECE",
    "bundles_of",
    "expected_intensities",
    "fill_rows",
    "fill_scales",
    "find_outliers",
    "pieces_of",
    "slices_of",
]

#: Observations of a piece.
PIECE = 2**16
#: Some rows of a data set: its number, the first row and the one after the last.
Rows = tuple[int, int, int]


def pieces_of(sizes: Iterable[int]) -> list[list[Rows]]:
    """Rows of data sets of so many observations: small sets together, large ones in parts of about `PIECE` each."""
    pieces: list[list[Rows]] = []
    held = 0
    for k, n in enumerate(int(s) for s in sizes):
        parts = max(1, -(-n // PIECE))
        for i in range(parts):
            first, last = n * i // parts, n * (i + 1) // parts
            if not pieces or held + last - first > PIECE:
                pieces.append([])
                held = 0
            pieces[-1].append((k, first, last))
            held += last - first
    return pieces


def bundles_of(sizes: Iterable[int]) -> list[list[int]]:
    """Numbers of data sets, each of them whole, that have about `PIECE` observations together."""
    bundles: list[list[int]] = []
    held = 0
    for k, n in enumerate(int(s) for s in sizes):
        if not bundles or held + n > PIECE:
            bundles.append([])
            held = 0
        bundles[-1].append(k)
        held += n
    return bundles


def slices_of(n: int) -> list[slice]:
    """All of n rows, in parts of about `PIECE` each."""
    parts = max(1, -(-n // PIECE))
    return [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def fill_rows(function: Callable[[Any], np.ndarray], parts: Iterable[Any], out: np.ndarray, run: Map) -> None:
    """Set ``out[part] = function(part)`` of all parts, slices or indices of rows."""

    def fill(part: Any) -> None:
        out[part] = function(part)

    for _ in run(fill, parts):
        pass


def fill_scales(
    layout: Layout, parameters: np.ndarray, places: Callable[[Rows], Any], sizes: Iterable[int], g: np.ndarray, run: Map
) -> None:
    """Put the inverse scale factors of some rows of each data set where `places` says."""

    def fill(piece: list[Rows]) -> None:
        for k, first, last in piece:
            if last > first:
                g[places((k, first, last))] = layout.scales(k, parameters, slice(first, last))

    for _ in run(fill, pieces_of(sizes)):
        pass


def expected_intensities(
    obs: Observations,
    variance: np.ndarray,
    run: Map,
    more: tuple[np.ndarray, np.ndarray] | None = None,
    others_only: bool = False,
) -> np.ndarray:
    """(n,) float64: g <I> of every observation from those of its reflection that are no outliers.

    Parameters
    ----------
    obs : Observations
    variance : (n,) float64
        Positive; the weights are its inverse.
    run
        Applies a function to items.
    more : ((m,), (m,)) float64, optional
        What else adds to sum w g I and sum w g^2 of each reflection.
    others_only : bool
        Leave out the observation itself.

    Notes
    -----
    Where there is nothing to tell, the intensity itself is expected, or, of others, NaN.
    """
    groups, out = obs.groups, np.empty(len(obs))
    top, bottom = more if more is not None else (np.zeros(0), np.zeros(0))

    def expect(block: tuple[int, int]) -> None:
        expect_intensities(
            groups.order, groups.offsets, *block, obs.intensity, variance, obs.g, obs.outlier, top, bottom, others_only,
            out,
        )  # fmt: skip

    for _ in run(expect, blocks_of(groups.offsets)):
        pass
    return out


def find_outliers(
    offsets: np.ndarray,
    order: np.ndarray | None,
    intensity: np.ndarray,
    weight: np.ndarray,
    g: np.ndarray,
    z_max: float,
    leave_one_out: bool,
    run: Map,
) -> np.ndarray:
    """(n,) bool: see `kernels.reject_outliers`; observations are sorted by reflection, or `order` sorts them."""
    rejected = np.zeros(len(intensity), bool)

    def reject(block: tuple[int, int]) -> None:
        first, last = block
        begin, end = int(offsets[first]), int(offsets[last])
        rows = slice(begin, end) if order is None else order[begin:end]
        found = np.zeros(end - begin, bool)
        reject_outliers(
            offsets[first : last + 1] - begin, intensity[rows], weight[rows], g[rows], z_max, leave_one_out, found
        )
        rejected[rows] = found

    for _ in run(reject, blocks_of(offsets)):
        pass
    return rejected
