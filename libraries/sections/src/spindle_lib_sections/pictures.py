"""Images as small pictures with the spots that were found and the reflections that were calculated on them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from spindle.errors import SpindleError
from spindle.images import ImageSequence
from spindle.models import Experiment
from spindle.report import Section
from spindle.table import INTEGRATED, Flag, ReflectionTable
from spindle_lib_pages.figures import picture
from spindle_lib_pictures.canvas import Canvas
from spindle_lib_pictures.display import bin_codes, codes_of, contrast_level, palette
from spindle_lib_selection.parts import imageset_numbers, imagesets_of_rows

from .given import Given, some_rows

__all__ = ["picture_section", "png_uri", "poorest_image"]

WIDTH, LEVELS, MOST_SPOTS = 560, 12, 600
#: Colours of calculated reflections: of one lattice or of more than there are colours the first.
LATTICES = ("#0072b2", "#009e73", "#cc79a7", "#000000")

#: Columns that marks are made of, beside that of their places.
_OF_MARKS = ("id", "imageset_id", "panel", "flags", "intensity.sum.value")
#: Panels (n,), positions (n, 2) and experiments (n,).
_Marks = tuple[np.ndarray, np.ndarray, np.ndarray]


def picture_section(given: Given, n: int = 3) -> Section:
    """The first, the poorest, some in the middle, and the last image of the first sweep; the first images of several sweeps.

    Parameters
    ----------
    given : Given
    n : int
        Number of pictures.
    """
    title, key = "Images", "images"
    if n == 0:
        return Section.missing(title, key, "Pictures were not asked for (images=0).")
    if not len(given.experiments):
        return Section.missing(title, key, "No experiments were given, which name the image files.")
    section = Section(title, key)
    trouble = ""
    poorest = poorest_image(given)
    chosen = _chosen(given, n, poorest)
    found = _Found(given, chosen)
    for k, (which, index) in enumerate(chosen):
        experiment = given.experiments[which]
        try:
            sequence = ImageSequence(experiment)
            panels = sequence.read(index)
        except (SpindleError, OSError) as error:
            trouble = str(error)
            break
        section.figures[f"image_{k}"] = _picture(found, experiment, which, index, sequence, panels)
        if which == 0 and index == poorest:
            title_ = section.figures[f"image_{k}"]["layout"]["title"]
            title_["text"] += " (fewest spots)"
    if not section.figures:
        return Section.missing(title, key, f"The images cannot be shown: {trouble}")
    kinds = {
        str(d.get("name", "")).partition(" (")[0].partition(",")[0] for f in section.figures.values() for d in f["data"]
    }
    if {"spots", "calculated"} <= kinds:
        section.text.append(
            "Circles are spots that were found, crosses where reflections were calculated to be; the strongest of each image. Every circle should "
            "hold a cross, unless there is another crystal, ice, or no spot at all."
        )
    elif "calculated" in kinds:
        section.text.append("Crosses are where reflections were calculated to be; the strongest of each image.")
    elif "spots" in kinds:
        section.text.append("Circles are spots that were found; the strongest of each image.")
    return section


def poorest_image(given: Given) -> int | None:
    """Array index of the image of the first sweep with the fewest spots; None where all are alike, or there is no sweep."""
    table = given.first("strong", "indexed", "refined", "integrated", "scaled")
    experiment = next(iter(given.experiments), None)
    if table is None or experiment is None or experiment.scan is None or experiment.is_still:
        return None
    name = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
    if name not in table:
        return None
    numbers = imageset_numbers(given.experiments)
    z = np.asarray(table.peek(name))[imagesets_of_rows(table, numbers) == numbers[0], 2]
    start, stop = experiment.scan.array_range
    z = z[np.isfinite(z) & (z >= start) & (z < stop)]
    counts = np.bincount((z - start).astype(np.int64), minlength=stop - start)
    return int(np.argmin(counts)) if counts.min() < 0.8 * np.median(counts) else None


def _chosen(given: Given, n: int, poorest: int | None) -> list[tuple[int, int]]:
    """Experiment and array index within it of the images to show."""
    first: dict[int, int] = {}
    for i, e in enumerate(given.experiments):
        if e.imageset is not None:
            first.setdefault(id(e.imageset), i)
    places = list(first.values())
    if len(places) >= n:
        return [(i, 0) for i in places[:n]]
    found = [(i, 0) for i in places[1:]]
    if places:
        try:
            count = ImageSequence(given.experiments[places[0]]).n_images
        except SpindleError:
            count = 1
        wanted = np.unique(np.linspace(0, count - 1, min(n - len(found), count)).astype(int))
        if poorest is not None and places[0] == 0 and len(wanted) > 2 and poorest < count and poorest not in wanted:
            wanted[len(wanted) // 2] = poorest
            wanted.sort()
        found = [(places[0], int(k)) for k in wanted] + found
    return found


def png_uri(codes: np.ndarray, scheme: str = "greyscale", levels: int = LEVELS) -> str:
    """A picture (rows, columns) of codes as of `spindle_lib_pictures.display` as a data URI: a PNG file of few colours."""
    from PIL import Image

    colours = palette(scheme)
    lowest, highest = 2, len(colours) - 2
    step = (highest - lowest + 1) / levels
    kind = np.where(
        codes < lowest, codes, 2 + np.minimum((codes.astype(np.int64) - lowest) / step, levels - 1).astype(np.int64)
    )
    kind = np.where(codes > highest, levels + 2, kind).astype(np.uint8)
    table = [colours[0], colours[1], *(colours[int(lowest + (i + 0.5) * step)] for i in range(levels)), colours[-1]]
    image = Image.frombytes("P", kind.shape[::-1], np.ascontiguousarray(kind).tobytes())
    image.putpalette(np.array(table, np.uint8).tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _picture(
    found: _Found, experiment: Experiment, which: int, index: int, sequence: ImageSequence, panels: list[np.ndarray]
) -> dict[str, Any]:
    canvas = Canvas(experiment.detector, experiment.beam, "image")
    level = contrast_level(panels)
    codes = canvas([codes_of(p, level) for p in panels])
    binning = max(1, -(-codes.shape[1] // WIDTH))
    uri = png_uri(bin_codes(codes, binning))
    first = experiment.scan.image_range[0] if experiment.scan is not None and not experiment.is_still else 1
    groups = []
    panel, xy, _ = found.spots(which, experiment, index)
    marks = [("spots", "circle-open", "#d55e00", panel, xy)]
    panel, xy, own = found.calculated(which, experiment, index)
    lattices = np.unique(own)
    for k, i in enumerate(lattices) if 1 < len(lattices) <= len(LATTICES) else ():
        marks.append((f"calculated, experiment {i}", "x-thin", LATTICES[k], panel[own == i], xy[own == i]))
    if len(marks) == 1:
        marks.append(("calculated", "x-thin", LATTICES[0], panel, xy))
    for name, symbol, colour, panel, xy in marks:
        if len(xy):
            places = np.einsum("nij,nj->ni", canvas.placements[panel], np.column_stack([xy, np.ones(len(xy))]))
            groups.append((name, symbol, colour, places))
    file = sequence.file_of(index)[0].replace("\\", "/").rpartition("/")[2]
    made = picture(f"Image {first + index}: {file}", uri, codes.shape[1], codes.shape[0], groups)
    made["layout"]["meta"] = {"experiment": which, "image": first + index}
    return made


class _Found:
    """What lies on the images (experiment, array index) that are drawn; where rows lie is read once for all of them."""

    def __init__(self, given: Given, chosen: list[tuple[int, int]]) -> None:
        self._numbers = imageset_numbers(given.experiments)
        self._observed = given.first("strong", "indexed", "refined", "integrated", "scaled")
        self._predicted = given.first("integrated", "scaled", "predicted", "refined", "indexed")
        self._near: dict[str, tuple[ReflectionTable, np.ndarray]] = {}
        experiments = [given.experiments[which] for which, _ in chosen]
        self._drawn = [self._numbers[which] for which, _ in chosen]
        swept = all(e.scan is not None and not e.is_still for e in experiments)
        #: Images of all sweeps, by number, that a picture is of; None where rows cannot be told by their image.
        self._frames = (
            sorted({e.scan.array_range[0] + index for e, (_, index) in zip(experiments, chosen, strict=True) if e.scan})
            if swept
            else None
        )

    def spots(self, which: int, experiment: Experiment, index: int) -> _Marks:
        """The strongest spots of an image; after integration those that were found before it."""
        return self._strongest(self._observed, "xyzobs.px.value", Flag.STRONG, which, experiment, index)

    def calculated(self, which: int, experiment: Experiment, index: int) -> _Marks:
        """The strongest calculated reflections of an image."""
        kinds = INTEGRATED | Flag.INDEXED | Flag.PREDICTED
        return self._strongest(self._predicted, "xyzcal.px", kinds, which, experiment, index)

    def _strongest(
        self, table: ReflectionTable | None, name: str, flags: int, which: int, experiment: Experiment, index: int
    ) -> _Marks:
        if table is None or name not in table:
            return np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.int64)
        if name not in self._near:
            z = table.peek(name)[:, 2]
            sets = imagesets_of_rows(table, self._numbers)
            near = np.flatnonzero(np.isin(sets, self._drawn)) if self._frames is None else _near(z, self._frames)
            others = [column for column in table if column not in (*_OF_MARKS, name)]
            self._near[name] = some_rows(table.without(*others), near), sets[near]
        table, sets = self._near[name]
        here = sets == self._numbers[which]
        if experiment.scan is not None and not experiment.is_still:
            frame, z = experiment.scan.array_range[0] + index, table[name][:, 2]
            with np.errstate(invalid="ignore"):
                here &= (z >= frame - 0.5) & (z < frame + 1.5)
        if "flags" in table:
            here &= table.has_flags(flags, all=False)
        return _strongest(table, np.flatnonzero(here), name)


def _near(z: np.ndarray, frames: list[int]) -> np.ndarray:
    """Rows (k,) whose position along the scan is within half an image of one of some images, and some others."""
    if not frames:
        return np.zeros(0, np.int64)
    low, high = frames[0] - 2, frames[-1] + 3
    wanted = np.zeros(high - low + 1, bool)
    for frame in frames:
        wanted[frame - 1 - low : frame + 2 - low] = True
    places = np.clip(np.floor(np.nan_to_num(z, nan=low)) - low, 0, high - low).astype(np.int64)
    return np.flatnonzero(wanted[places])


def _strongest(table: ReflectionTable, rows: np.ndarray, name: str) -> _Marks:
    if len(rows) > MOST_SPOTS and "intensity.sum.value" in table:
        value = np.nan_to_num(table["intensity.sum.value"][rows], nan=-np.inf)
        rows = rows[np.sort(np.argpartition(value, -MOST_SPOTS)[-MOST_SPOTS:])]
    panel = table["panel"][rows].astype(np.int64) if "panel" in table else np.zeros(len(rows), np.int64)
    return panel, table[name][rows][:, :2], table["id"][rows]
