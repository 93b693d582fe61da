"""Files with one number for each pixel of a detector: masks and maps of gain, pedestal and distortion.

One layout in two containers. A .npz file holds the arrays ``panel_0``, ``panel_1``, ... in the order of the detector's
panels; an HDF5 file (.h5, .hdf5) holds data sets of the same names in its root. Each array is (slow, fast). In a mask
True is good. Arrays of other names are taken in the order of the file (.npz) or of the numbers in their names (HDF5), so
that ``numpy.savez("mask.npz", *arrays)`` makes a mask file too.

=========  =============================================================================================
mask       bool; True where a pixel may be used
gain       float; counts per photon, divides the pixel values; a pixel without a positive gain is not used
pedestal   float; counts that are subtracted from the pixel values before the division
dx, dy     float, pixels; added to the position where a ray meets the panel to get where it is seen
=========  =============================================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import FileFormatError, ShapeError
from spindle.regular import open_regular, unreadable

if TYPE_CHECKING:
    from spindle.models import Detector, Experiments, Panel

__all__ = ["DIALS_SCRIPT", "MAPS", "is_map_file", "read_map", "read_mask", "write_map", "write_mask"]

MOST_PIXELS = 1 << 28
# A file that does not fit the detector is read, to say what is in it, unless it is so many times larger.
MOST_TIMES = 16
LARGEST_VALUE = 16  # bytes of the largest kind of number, a complex one
MAPS = ("gain", "pedestal", "dx", "dy")

# Converts between DIALS's pickles and our files; run by the Python of DIALS.
DIALS_SCRIPT = Path(__file__).parent / "for_dials" / "dials_mask_to_npz.py"

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK"
_LAYOUT = "a .npz or .h5 file with one (slow, fast) array per panel, named panel_0, panel_1, ..."
# Python pickles: protocol 2 and later begin with 0x80, protocol 0 with a mark and an opcode.
_PICKLE = re.compile(rb"\x80|\((dp|lp|tp|c)|c[\w.]+\n")


def read_mask(path: str | os.PathLike[str], detector: Iterable[Panel] | None) -> list[np.ndarray]:
    """Read the mask of each panel.

    Parameters
    ----------
    path : path
        See the module for the layout.
    detector : Detector or other iterable of Panel, or None
        What the arrays have to fit; None takes them as they are.

    Returns
    -------
    list of (slow, fast) bool
        True is good.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of another kind (a Python pickle, for example), or if its arrays are not masks
        or do not fit the panels.
    """
    masks = _read(Path(path), "mask", detector)
    for number, mask in enumerate(masks):
        if mask.dtype == np.bool_:
            continue
        if mask.dtype.kind not in "ui" or (mask.size and (mask.min() < 0 or mask.max() > 1)):
            raise FileFormatError(
                f"{path}: the array of panel {number} is {mask.dtype}, not True and False; a mask has True where a "
                "pixel is good"
            )
        masks[number] = mask.astype(np.bool_)
    return masks


def read_map(path: str | os.PathLike[str], detector: Iterable[Panel], quantity: str) -> list[np.ndarray]:
    """Read the map of a quantity on each panel.

    Parameters
    ----------
    path : path
        See the module for the layout.
    detector : Detector or other iterable of Panel
        What the arrays have to fit.
    quantity : "gain", "pedestal", "dx" or "dy"

    Returns
    -------
    list of (slow, fast) float64
        For "gain" and "pedestal", a pixel may hold no number (or a gain that is not positive); it is not to be used.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of another kind, if its arrays do not fit the panels, or if it holds nothing
        that can be used.
    """
    maps = _read(Path(path), f"{quantity} map", detector)
    for number, values in enumerate(maps):
        if values.dtype.kind not in "fui":
            raise FileFormatError(
                f"{path}: the array of panel {number} is {values.dtype}; a {quantity} map holds numbers"
            )
        maps[number] = values = values.astype(np.float64)
        usable = np.isfinite(values)
        if quantity == "gain":
            usable &= values > 0
        if not usable.any() or (quantity in ("dx", "dy") and not usable.all()):
            bad = f"{np.count_nonzero(~usable)} of {values.size} values of panel {number} are not "
            raise FileFormatError(f"{path}: {bad}{'positive ' if quantity == 'gain' else ''}numbers; repair the map")
    return maps


def is_map_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds an array per panel, or is a pickle of such; HDF5 files with groups hold images."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as stream:
            head = stream.read(256)
        if not head.startswith(_HDF5_MAGIC):
            return head.startswith(_ZIP_MAGIC) or bool(_PICKLE.match(head))
        import h5py

        with h5py.File(path, "r") as file:
            return bool(file) and all(isinstance(file.get(name), h5py.Dataset) for name in file)
    except (OSError, KeyError, RuntimeError):
        return False


def write_mask(path: str | os.PathLike[str], masks: Sequence[np.ndarray]) -> None:
    """Write the mask of each panel, to HDF5 if the name ends in .h5 or .hdf5, else to .npz whatever the name.

    Parameters
    ----------
    path : path
    masks : sequence of (slow, fast) bool
        One per panel, True is good.

    Raises
    ------
    spindle.errors.ShapeError
        If an array is not two-dimensional.
    """
    _write(Path(path), [np.asarray(m, dtype=np.bool_) for m in masks])


def write_map(path: str | os.PathLike[str], maps: Sequence[np.ndarray]) -> None:
    """Write the map of a quantity on each panel (float64); as `write_mask`."""
    _write(Path(path), [np.asarray(m, dtype=np.float64) for m in maps])


@dataclass(frozen=True, eq=False)
class _DistortionFiles:
    """The files dx and dy of a detector, read when the first of its panels asks for them."""

    dx: str | None
    dy: str | None
    detector: Detector

    @cached_property
    def maps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        read = [
            read_map(path, self.detector, name)
            if path
            else [np.zeros((p.image_size[1], p.image_size[0])) for p in self.detector]
            for name, path in (("dx", self.dx), ("dy", self.dy))
        ]
        return list(zip(*read, strict=True))

    def of_panel(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self.maps[number]


def with_distortion(experiments: Experiments) -> Experiments:
    """Experiments whose detectors know the distortion maps that their image sets name.

    The files are read when a position is converted between pixels and mm for the first time. Detectors of image sets
    without distortion maps stay the same objects.
    """
    from spindle.models import Distortion, Experiments

    known: dict[tuple[int, str | None, str | None], Detector] = {}
    items = []
    for experiment in experiments:
        images, detector = experiment.imageset, experiment.detector
        if images is not None and (images.dx or images.dy):
            key = (id(detector), images.dx, images.dy)
            if key not in known:
                files = _DistortionFiles(images.dx, images.dy, detector)
                name = f"dx={images.dx} dy={images.dy}"
                known[key] = detector.replace_panels(
                    [
                        replace(p, distortion=Distortion(partial(files.of_panel, i), name))
                        for i, p in enumerate(detector)
                    ]
                )
            experiment = replace(experiment, detector=known[key])
        items.append(experiment)
    return Experiments(items) if known else experiments


def _write(path: Path, arrays: Sequence[np.ndarray]) -> None:
    if not arrays or any(a.ndim != 2 for a in arrays):
        raise ShapeError(f"one (slow, fast) array per panel is needed, not {[a.shape for a in arrays]}")
    named = {f"panel_{number}": array for number, array in enumerate(arrays)}
    if path.suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path, "w") as file:
            for name, array in named.items():
                file.create_dataset(name, data=array, compression="gzip", compression_opts=1, shuffle=True)
        return
    with path.open("wb") as stream:  # savez adds .npz to names
        np.savez_compressed(stream, **named)  # type: ignore[arg-type]


def _read(path: Path, what: str, detector: Iterable[Panel] | None) -> list[np.ndarray]:
    """Arrays of all panels of a file, their number and shapes checked against those of the detector, if there is one."""
    path = Path(os.path.expanduser(path))
    remedy = f"give the {what} that belongs to the detector"
    try:
        with open_regular(path, remedy) as stream:
            head = stream.read(256)
    except OSError as error:
        raise unreadable(path, error, remedy) from error
    if _PICKLE.match(head):
        raise FileFormatError(
            f"{path}: this is a Python pickle, as DIALS writes its masks and maps, and pickles can run any program. Convert "
            f"it where DIALS is installed: dials.python {DIALS_SCRIPT} {path} {path.with_suffix('.npz').name}; then give "
            f"{path.with_suffix('.npz').name} (spindle apply_mask experiments.expt {path.with_suffix('.npz').name} attaches "
            "a mask)"
        )
    if not head.startswith((_ZIP_MAGIC, _HDF5_MAGIC)):
        raise FileFormatError(f"{path}: not a {what}: {_LAYOUT}")
    try:
        panels = None if detector is None else list(detector)
        named = (_read_hdf5 if head.startswith(_HDF5_MAGIC) else _read_npz)(path, _most_pixels(panels))
    except FileFormatError:
        raise
    except Exception as error:  # numpy, zipfile and h5py each have errors of their own for damaged files
        raise FileFormatError(f"{path}: the {what} is damaged ({error}); write it again") from error
    if all(_number(name) is not None for name in named):
        named = dict(sorted(named.items(), key=lambda item: _number(item[0]) or 0))
    found = [a.shape for a in named.values()]
    if panels is None:
        if not found or any(len(shape) != 2 for shape in found):
            raise FileFormatError(f"{path}: the {what} has {_listed(found)}, not (slow, fast) arrays; {_LAYOUT}")
        return list(named.values())
    shapes = [(p.image_size[1], p.image_size[0]) for p in panels]
    if found != shapes:
        turned = " (the arrays seem to be transposed)" if found == [s[::-1] for s in shapes] else ""
        raise FileFormatError(
            f"{path}: the {what} has {_listed(found)}, the detector needs {_listed(shapes)} (slow, fast){turned}"
        )
    return list(named.values())


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    """ "2 arrays of 100 x 120" or, where they differ, each."""
    if not shapes:
        return "no arrays"
    texts = [" x ".join(map(str, s)) or "a single number" for s in shapes]
    if len(set(texts)) == 1:
        return f"{len(texts)} array{'s' if len(texts) > 1 else ''} of {texts[0]}"
    return f"{len(texts)} arrays of {', '.join(texts[:8])}{' ...' if len(texts) > 8 else ''}"


def _number(name: str) -> int | None:
    """The number at the end of a name."""
    found = re.search(r"(\d+)$", name)
    return int(found.group(1)) if found else None


def _read_npz(path: Path, most: int) -> dict[str, np.ndarray]:
    # np.load leaves a damaged file open that it opened itself.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        _check_sizes(path, _announced_npz(archive), most)
        return {name: np.asarray(archive[name]) for name in archive.files}


def _announced_npz(archive: np.lib.npyio.NpzFile) -> Iterator[tuple[str, int, int]]:
    """Names of the arrays of an archive, how many values their headers announce, and the bytes of each value."""
    assert archive.zip is not None
    for member in archive.zip.infolist():
        with archive.zip.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        yield member.filename.removesuffix(".npy"), int(np.prod(shape, dtype=object)), dtype.itemsize


def _read_hdf5(path: Path, most: int) -> dict[str, np.ndarray]:
    import h5py

    with h5py.File(path, "r") as file:
        found = {}
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise FileFormatError(f"{path}: {name} is a link; write the array itself into this file")
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise FileFormatError(f"{path}: the values of {name} are in other files; write them into this one")
                found[name] = item
        announced = ((name, item.size or 0, item.dtype.itemsize) for name, item in found.items())
        _check_sizes(path, announced, most)
        return {name: np.asarray(item[()]) for name, item in found.items()}


def _most_pixels(panels: Sequence[Panel] | None) -> int:
    """How many values a file may hold."""
    if panels is None:
        return MOST_PIXELS
    pixels = sum(p.image_size[0] * p.image_size[1] for p in panels)
    return min(MOST_TIMES * pixels, MOST_PIXELS)


def _check_sizes(path: Path, announced: Iterable[tuple[str, int, int]], most: int) -> None:
    """Raise FileFormatError for arrays that are larger than any panel or detector, before memory is taken for them."""
    total = 0
    for name, size, width in announced:
        if size > MOST_PIXELS:
            raise FileFormatError(f"{path}: the array {name} has {size} values, no panel more than {MOST_PIXELS}")
        if width > LARGEST_VALUE:
            raise FileFormatError(f"{path}: the array {name} has values of {width} bytes, no numbers")
        total += size
        if total > most:
            raise FileFormatError(
                f"{path}: the arrays have more than {most} values, far more than the detector; give the file that belongs to it"
            )
