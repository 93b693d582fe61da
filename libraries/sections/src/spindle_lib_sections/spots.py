"""Spots by image and on the detector: how many, how many of them indexed, ice rings."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Section, Table
from spindle.table import Flag, ReflectionTable, rows_by_value
from spindle_lib_ice import SPOT_WIDTH, in_intervals, ring_intervals
from spindle_lib_pages.figures import lines
from spindle_lib_selection.parts import imageset_numbers, imagesets_of_rows
from spindle_lib_verdict import Facts, facts_of_reflections, facts_of_spots

from .given import Given, only, sampled
from .images import ByImage
from .places import Maps, MapSettings, positions

__all__ = ["ice_excess", "spot_section"]

#: A ring shows when it has this many standard deviations more spots than its surroundings, and this part more.
ICE_SIGMAS, ICE_PART = 6.0, 0.25
_OF_IMAGES = ("flags", "id", "imageset_id", "xyzobs.px.value")
_NEEDED = (*_OF_IMAGES, "panel", "xyzobs.mm.value", "d", "miller_index")


def spot_section(given: Given, settings: MapSettings) -> Section:
    """Spots, from the table of the earliest step."""
    title, key = "Spots", "strong"
    table = given.first("indexed", "refined", "strong", "integrated", "scaled")
    # after integration only those are left that were indexed
    is_whole = given.first("indexed", "refined", "strong") is not None
    if table is None:
        return Section.missing(title, key, "No spots were given; add strong.refl or indexed.refl.")
    if "xyzobs.px.value" not in table:
        return Section.missing(title, key, "The reflections have no observed positions (column xyzobs.px.value).")
    whole, table = table, only(table, _OF_IMAGES)
    strong = table.has_flags(Flag.STRONG) if "flags" in table else np.ones(len(table), bool)
    if not strong.any():
        strong[:] = True
    table = table if strong.all() else table.select(strong)
    some, step = sampled(whole.without(*[name for name in whole if name not in _NEEDED]), strong)
    every = f" (every {step}th)" if step > 1 else ""
    images = ByImage(given.experiments, table, observed=True)
    indexed = _indexed(table) if is_whole else None
    curves = images.count_curves(name="spots")
    if indexed is not None:
        curves += images.count_curves(indexed, "indexed")
    section = Section(title, key)
    section.figures["spot_count_per_image"] = lines(
        f"Spots on each {images.axis}", images.axis, "number of spots", curves, yaxis={"rangemode": "tozero"}
    )
    n, counts = len(table), images.counts()
    section.values |= {"n_spots": n, "n_images": images.n_images}
    section.text.append(_said(n, counts, images))
    if indexed is not None:
        _lattices(section, table, indexed, images, given)
    panel, xy = positions(some, "xyzobs.px.value")
    maps = Maps(given.experiments, panel, xy, settings)
    if indexed is not None:
        section.figures["n_indexed_vs_xy"] = maps.counts(f"Indexed spots on the detector{every}", indexed[::step])
        if not indexed.all():
            section.figures["n_unindexed_vs_xy"] = maps.counts(f"Spots that were not indexed{every}", ~indexed[::step])
    else:
        section.figures["n_spots_vs_xy"] = maps.counts(f"Spots on the detector{every}")
    if counts.size:
        section.values["n_images_without_spots"] = int((counts == 0).sum())
    _ice(section, some, images if step == 1 else ByImage(given.experiments, some, observed=True), given)
    section.values["facts"] = _facts(given, some, len(table), indexed).as_dict()
    return section


def _facts(given: Given, table: ReflectionTable, n_spots: int, indexed: np.ndarray | None) -> Facts:
    """What the spots say about images and lattices."""
    known = Facts()
    if len(given.experiments) and "panel" in table and all(e.imageset is not None for e in given.experiments):
        known = facts_of_spots(given.experiments, table).with_more(Facts(n_spots=n_spots))
    if indexed is None:
        return known
    n_lattices = facts_of_reflections(given.experiments, table).n_lattices if len(given.experiments) else None
    return known.with_more(Facts(n_spots=n_spots, fraction_indexed=float(indexed.mean()), n_lattices=n_lattices))


def _indexed(table: ReflectionTable) -> np.ndarray | None:
    """(n,) bool: indexed spots; None before indexing."""
    if "flags" not in table:
        return None
    found = table.has_flags(Flag.INDEXED)
    return found if found.any() else None


def _said(n: int, counts: np.ndarray, images: ByImage) -> str:
    if not counts.size:
        return f"{n} spots."
    what, on = images.axis, "in" if images.axis == "sweep" else "on"
    return (
        f"{n} spots {on} {images.n_images} {what}s; {np.median(counts):.0f} {on} the median {what}, {counts.min()} {on} the poorest, "
        f"{counts.max()} {on} the richest."
    )


def _lattices(section: Section, table: ReflectionTable, indexed: np.ndarray, images: ByImage, given: Given) -> None:
    """How much each lattice explains."""
    fraction = float(indexed.mean()) if len(indexed) else 0.0
    own = np.asarray(table["id"])
    section.values |= {"n_indexed": int(indexed.sum()), "fraction_indexed": round(fraction, 4)}
    section.text.append(f"{int(indexed.sum())} of them, {100 * fraction:.1f} %, are indexed.")
    numbers, n = np.unique(own[indexed], return_counts=True)
    if len(numbers) <= 1 or len(given.experiments) > 20 or images.axis == "still":
        return
    rows = [[int(i), int(k), f"{100 * k / len(own):.1f}"] for i, k in zip(numbers, n, strict=True)]
    section.tables.append(
        Table("Indexed spots of each experiment", ["Experiment", "Spots", "% of all"], rows, "lattices")
    )
    if len(images.groups) == 1:
        curves: list[Any] = []
        for i in numbers[:12]:
            curves += images.count_curves(indexed & (own == i), f"experiment {i}")
        section.figures["indexed_per_lattice_per_image"] = lines(
            "Indexed spots of each lattice", images.axis, "number of spots", curves, yaxis={"rangemode": "tozero"}
        )


def _ice(section: Section, table: ReflectionTable, images: ByImage, given: Given) -> None:
    """Spots in the powder rings of ice, against what lies beside the rings."""
    d = _resolution(table, given)
    if d is None:
        section.text.append("Ice rings are not looked for: the resolution of spots needs experiments, or a column d.")
        return
    good = d > 0
    square = np.where(good, 1.0 / np.maximum(d, 1e-6) ** 2, -1.0)
    excess = ice_excess(square[good])
    if excess is None:
        return
    rings = ring_intervals(float(max(d[good].min(), 0.8)), SPOT_WIDTH)
    inside = good & in_intervals(square, rings)
    section.figures["ice_per_image"] = lines(
        "Spots in the rings of ice", images.axis, "number of spots", images.count_curves(inside, "in rings"),
        yaxis={"rangemode": "tozero"},
    )  # fmt: skip
    n_bins = int(np.clip(good.sum() // 10, 20, 200))
    limits = np.histogram_bin_edges(square[good], n_bins, (0.0, float(np.percentile(square[good], 99.5))))
    found, _ = np.histogram(square[good], limits)
    middle = 0.5 * (limits[1:] + limits[:-1])
    figure = lines(
        "Spots by resolution", "1/d<sup>2</sup> (1/A<sup>2</sup>)", "number of spots", [("spots", middle, found)]
    )
    figure["data"][0]["mode"] = "lines"
    figure["layout"]["shapes"] = [
        {"type": "rect", "xref": "x", "yref": "paper", "x0": float(a), "x1": float(b), "y0": 0, "y1": 1, "line": {"width": 0},
         "fillcolor": "#56b4e9", "opacity": 0.35, "layer": "below"}
        for a, b, _, _ in excess if a < limits[-1]
    ]  # fmt: skip
    section.figures["spots_by_resolution"] = figure
    rows, shown = [], 0
    for low, high, n, expected in excess:
        surplus, error = n - expected, np.sqrt(max(n + expected, 1.0))
        marked = surplus > ICE_SIGMAS * error and surplus > ICE_PART * max(expected, 1.0)
        shown += marked
        rows.append(
            [
                f"{(0.5 * (low + high)) ** -0.5:.2f}",
                int(n),
                round(expected, 1),
                round(surplus / error, 1),
                "ice" if marked else "",
            ]
        )
    if shown:
        headers = ["d (A)", "Spots in it", "Expected", "Surplus / sigma", ""]
        section.tables.append(Table("Rings of ice (blue in the figure)", headers, rows, "ice_rings"))
    else:
        strongest = max(rows, key=lambda row: row[3])
        said = (
            f"; most at {strongest[0]} A, {strongest[1]} where {strongest[2]:g} are expected"
            if strongest[3] > 0
            else ""
        )
        section.text.append(f"No ring of ice (blue in the figure) has far more spots than its surroundings{said}.")
    section.values["n_ice_rings"] = int(shown)
    section.values["fraction_in_ice_rings"] = round(float(inside.mean()), 4)


def ice_excess(squares: np.ndarray) -> list[tuple[float, float, int, float]] | None:
    """Spots in each powder ring of ice and those expected from both sides of it.

    Parameters
    ----------
    squares : (n,) float64, 1/angstrom^2
        1/d^2 of spots.

    Returns
    -------
    list of (low, high, number, expected) or None
        For rings with spots farther out, to 1.7 angstrom: limits in 1/d^2, spots inside, and those that as wide a range would hold if
        there were no ring, from the ranges beside it that no other ring covers. None where all spots are nearer to the beam than the
        first ring.
    """
    if not len(squares):
        return None
    outer = float(np.percentile(squares, 99))
    rings = ring_intervals(1.7, SPOT_WIDTH)
    ordered = np.sort(squares)
    found = []
    for low, high in rings:
        width = high - low
        if high + width > outer:
            break
        free, n = 0.0, 0
        for start in (low - 2 * width, low - width, high, high + width):
            stop = start + width
            if not np.any((rings[:, 0] < stop - 1e-9) & (rings[:, 1] > start + 1e-9)):
                free += width
                n += int(np.searchsorted(ordered, stop) - np.searchsorted(ordered, start))
        if free > 0:
            inside = int(np.searchsorted(ordered, high) - np.searchsorted(ordered, low))
            found.append((float(low), float(high), inside, n * width / free))
    return found or None


def _resolution(table: ReflectionTable, given: Given) -> np.ndarray | None:
    """Resolution (n,) of spots from where they are; 0 where it is not known."""
    models = given.experiments
    if len(models) and "panel" in table:
        panel, xy = positions(table, "xyzobs.px.value")
        known = np.isfinite(xy).all(axis=1)
        d = np.zeros(len(table))
        first = {k: next(e for e in models if e.imageset is s) for k, s in enumerate(models.unique("imageset"))}
        for number, rows in rows_by_value(imagesets_of_rows(table, imageset_numbers(models))).items():
            experiment = first.get(number, models[0])
            here = rows[known[rows] & (panel[rows] < len(experiment.detector))]
            d[here] = experiment.detector.resolution_at(panel[here], xy[here], experiment.beam.s0)
        return np.where(np.isfinite(d), d, 0.0) if d.any() else None
    if "d" in table and np.any(table["d"] > 0):
        return np.where(table["d"] > 0, table["d"], 0.0)
    return None
