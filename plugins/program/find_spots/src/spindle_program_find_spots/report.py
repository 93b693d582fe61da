"""What the user sees: the histogram of spots per image, tables and advice."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable, rows_by_value
from spindle_lib_ice import SPOT_WIDTH, in_intervals, ring_intervals

from .spots import SpotCounts

__all__ = ["advice", "counts_table", "histogram", "image_table"]

_WIDTH = 60
_HEIGHT = 10


def histogram(
    title: str, per_image: np.ndarray, numbers: np.ndarray, width: int = _WIDTH, height: int = _HEIGHT
) -> str:
    """ASCII histogram of spot counts per image.

    Parameters
    ----------
    title : str
    per_image : (n,) int
        Spots on each image.
    numbers : (n,) int
        Image numbers, ascending.
    width, height : int
        Characters.
    """
    n = len(per_image)
    width = min(width, n)
    which = np.arange(n) * width // n
    bars = np.bincount(which, weights=per_image, minlength=width)
    highest = bars.max()
    stars = np.round(bars / highest * height).astype(int) if highest > 0 else np.zeros(width, int)
    lines = [title, f"{int(per_image.sum())} spots found on {n} images (max {int(highest)} / bin)"]
    lines += ["".join("*" if s >= level else " " for s in stars) for level in range(height, 0, -1)]
    first, last = str(numbers[0]), str(numbers[-1])
    inner = max(width - len(first) - len(last), 1)
    lines.append(f"{first}{'image'.center(inner) if inner >= 7 else ' ' * inner}{last}")
    return "\n".join(lines)


def counts_table(rows: list[tuple[str, int, int, SpotCounts, int]], params: Any) -> Table:
    """Table of what was found and why spots were dropped, one row per group of images.

    Parameters
    ----------
    rows : list of (name, images, strong pixels, counts, spots)
    params : Params
        The program's parameters.
    """
    f = params.spotfinder.filter
    optional = [
        ("Crowded", "in_crowd", f.spot_density.filter),
        ("Steep\nbackground", "on_gradient", f.background_gradient.filter),
        ("Images\nleft out", "images_left_out", any(row[3].images_left_out for row in rows)),
    ]
    extra = [(head, name) for head, name, used in optional if used]
    headers = ["Images of", "Images", "Strong\npixels", "Extracted", "Too\nsmall", "Too\nlarge", "Peak off\ncentroid"]
    headers += [head for head, _ in extra] + ["Spots"]
    cells = [
        [
            name,
            n_images,
            strong,
            c.extracted,
            c.too_small,
            c.too_large,
            c.off_centre,
            *(getattr(c, a) for _, a in extra),
            spots,
        ]
        for name, n_images, strong, c, spots in rows
    ]
    return Table("Spots found", headers, cells, key="spots_found")


def image_table(
    title: str, table: ReflectionTable, experiments: Experiments, images: list[tuple[int, int, str]]
) -> Table:
    """Spots, spots outside ice rings and total intensity of each image.

    Parameters
    ----------
    title : str
    table : ReflectionTable
    experiments : Experiments
    images : list of (experiment, array index, name)
    """
    rows = []
    z = np.floor(table["xyzobs.px.value"][:, 2]).astype(np.int64)
    is_ice = np.zeros(len(table), np.bool_)
    on_image: dict[tuple[int, int], np.ndarray] = {}
    wanted = {i for i, _, _ in images}
    for number, mine in table.rows_by_experiment().items():
        if number not in wanted:
            continue
        on_image.update(((number, k), mine[rows]) for k, rows in rows_by_value(z[mine]).items())
        e = experiments[number]
        d = e.detector.resolution_at(
            table["panel"][mine].astype(np.int64), table["xyzobs.px.value"][mine, :2], e.beam.s0
        )
        rings = ring_intervals(max(float(d.min()) * 0.99, 0.4), SPOT_WIDTH)
        is_ice[mine] = in_intervals(1.0 / d**2, rings)
    for number, index, name in images:
        mine = on_image.get((number, index), np.zeros(0, np.int64))
        clean = mine[~is_ice[mine]]
        rows.append([name, len(mine), len(clean), int(table["intensity.sum.value"][clean].sum())])
    return Table(title, ["image", "#spots", "#spots_no_ice", "total_intensity"], rows, key="per_image_statistics")


def ways_out(threshold: Any) -> tuple[str, str]:
    """What to change for a threshold to find more, and to know the gain: its own parameters where it declares them."""
    scope = f"spotfinder.threshold.{threshold.scope or threshold.name}."
    more, gain = threshold.declared("finds_more_with"), threshold.declared("gain_parameter")
    estimates = " (Auto estimates it)" if threshold.implements("wants_estimated_gain") else ""
    return (
        f"{scope}{more}" if more else f"a lower threshold (spindle help threshold.{threshold.name})",
        f"{scope}{gain}={estimates}" if gain else "the gain of the detector",
    )


def advice(
    name: str,
    is_sweep: bool,
    n_images: int,
    n_spots: int,
    n_strong: int,
    n_pixels: int,
    counts: SpotCounts,
    ways: tuple[str, str],
) -> list[str]:
    """Warnings about a group of images whose number of spots bodes ill for the next steps.

    Parameters
    ----------
    name : str
        Of the images.
    is_sweep : bool
        Rotation images, as opposed to stills.
    n_images, n_spots, n_strong : int
        Images searched, spots left, strong pixels.
    n_pixels : int
        Good pixels of an image.
    counts : SpotCounts
    ways : (str, str)
        What finds more and what takes the gain, see `ways_out`.
    """
    found = []
    lower, gain = ways
    per_image = n_spots / max(n_images, 1)
    if n_spots == 0 and counts.extracted > 0:
        found.append(
            f"no spots are left on {name} although {counts.extracted} groups of strong pixels were found: "
            f"{counts.too_small} too small, "
            f"{counts.too_large} too large, {counts.off_centre} with the peak off the centroid; try a smaller "
            "spotfinder.filter.min_spot_size, or a larger max_spot_size or max_separation"
        )
    elif n_spots == 0:
        found.append(
            f"no spots on {name}: look at an image for diffraction; try {lower} or, for a detector with less than one "
            f"count per photon, {gain}"
        )
    elif is_sweep and n_spots < 30:
        found.append(
            f"only {n_spots} spots on {name}: indexing needs some 30; try a smaller spotfinder.filter.min_spot_size or "
            f"{lower}, or index several sweeps together"
        )
    fraction = n_strong / max(n_pixels * n_images, 1)
    if fraction > 0.03:
        found.append(
            f"{100 * fraction:.1f} % of the pixels of {name} are strong: if a photon makes more than one count, give "
            f"{gain}; ice, powder rings or a shadow can be masked (spotfinder.filter.ice_rings.filter=True, d_min=, "
            "d_max=, untrusted)"
        )
    elif per_image > 5000:
        found.append(
            f"{per_image:.0f} spots per image on {name}: more than a crystal normally gives; check "
            f"{gain}, or search only some images (spotfinder.scan_range=)"
        )
    if counts.too_small > 20 * max(n_spots, 1) and counts.too_small > 1000:
        found.append(
            f"{counts.too_small} groups of strong pixels on {name} are smaller than a spot: noise, or a gain that is "
            f"not 1: give {gain}"
        )
    if counts.too_large > max(n_spots, 10):
        found.append(
            f"{counts.too_large} groups of strong pixels on {name} are larger than spotfinder.filter.max_spot_size: "
            "merged spots, rings or shadows"
        )
    return found
