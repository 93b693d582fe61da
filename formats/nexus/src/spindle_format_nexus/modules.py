"""Modules of a detector: which part of the image they are and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from spindle.errors import fault

from .hdf import factor, fault_at, find_class, get, numbers
from .layout import Entry
from .transformations import TO_LAB, Axis, follow, joined, read_axis, unit_vector

Region = tuple[int | slice, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """Laboratory frame of a module: unit vectors, outer corner of the first pixel in mm."""

    fast: np.ndarray
    slow: np.ndarray
    origin: np.ndarray


@dataclass(frozen=True, slots=True)
class Module:
    """One NXdetector_module.

    Attributes
    ----------
    name : str
        Its path.
    start, size : tuple of int
        Part of the image, in the order of its axes (slow before fast).
    pixel_size : (float, float), mm
        Fast, slow.
    fast, slow : (3,) float64
        Directions in their own frames, NeXus.
    fast_chain, slow_chain, origin_chain : list of Axis
        What they stand on, the nearest first.
    """

    name: str
    start: tuple[int, ...]
    size: tuple[int, ...]
    pixel_size: tuple[float, float]
    fast: np.ndarray
    slow: np.ndarray
    fast_chain: list[Axis]
    slow_chain: list[Axis]
    origin_chain: list[Axis]

    def frame(self, image: int) -> Frame:
        """Frame at an image (0-based)."""
        fast = joined(self.fast_chain, image)[:3, :3] @ self.fast
        slow = joined(self.slow_chain, image)[:3, :3] @ self.slow
        origin = joined(self.origin_chain, image)[:3, 3]
        return Frame(TO_LAB @ fast + 0.0, TO_LAB @ slow + 0.0, TO_LAB @ origin + 0.0)

    @property
    def region(self) -> Region:
        """Index of the module's pixels in the image: a (slow, fast) array."""
        parts: list[int | slice] = [slice(a, a + n) for a, n in zip(self.start, self.size, strict=True)]
        return (*self.start[:-2], *parts[-2:])

    def moving(self) -> list[Axis]:
        """Axes that have a value for each image."""
        chains = (*self.fast_chain, *self.slow_chain, *self.origin_chain)
        return [a for a in chains if len(a.values) > 1 and np.ptp(a.values) > 0]


def read_modules(entry: Entry, shape: tuple[int, ...], notes: list[str]) -> list[Module]:
    """All modules of an entry's detector; [] when the file describes none.

    Parameters
    ----------
    entry : Entry
    shape : tuple of int
        Of an image: (slow, fast) or (module, slow, fast).
    notes : list of str
        Filled.

    Raises
    ------
    FileFormatError
        If a module is incomplete, stands on nothing, or is no part of the image.
    """
    groups = find_class(entry.detector, "NXdetector_module")
    modules = []
    for number, group in enumerate(groups):
        vectors = [get(group, f"{name}_pixel_direction") for name in ("fast", "slow")]
        for name, node in zip(("fast", "slow"), vectors, strict=True):
            if not isinstance(node, h5py.Dataset):
                found = ", ".join(group) or None
                raise fault_at(group, f"{name}_pixel_direction", found, "add it")
        start, size = _hyperslab(group, number, len(groups), shape, notes)
        pixel, directions = [], []
        for node in vectors:
            length = float(numbers(node)[0]) * factor(node, "length") if node.size else 0.0
            if not 0 < abs(length) < np.inf:
                raise fault_at(node, "the size of a pixel", f"{length:g}" if node.size else None, "write it there")
            pixel.append(abs(length))
            directions.append(unit_vector(node) * np.sign(length))
        chains = [follow(node, f"module {group.name}", notes) for node in vectors]
        offset = get(group, "module_offset")
        if isinstance(offset, h5py.Dataset):
            origin_chain = [read_axis(offset), *follow(offset, f"module {group.name}", notes)]
        else:
            origin_chain = chains[0]
        fast, slow = directions
        fast_chain, slow_chain = chains
        modules.append(
            Module(group.name, start, size, (pixel[0], pixel[1]), fast, slow, fast_chain, slow_chain, origin_chain)
        )
    return modules


def _hyperslab(
    group: h5py.Group, number: int, n_modules: int, shape: tuple[int, ...], notes: list[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Part of the image that a module is."""
    values = []
    for name in ("data_origin", "data_size"):
        node = get(group, name)
        is_there = isinstance(node, h5py.Dataset)
        if is_there and not np.all(np.isfinite(numbers(node))):
            raise fault_at(node, "whole numbers", numbers(node).tolist(), "write them there")
        values.append(tuple(int(v) for v in numbers(node)) if is_there else None)
    start, size = values
    if start is None or size is None:
        if len(shape) == 3 and n_modules == shape[0]:
            return (number, 0, 0), (1, *shape[1:])
        if n_modules == 1 and len(shape) == 2:
            return (0, 0), shape
        found = None if start is None and size is None else "one of them"
        raise fault_at(group, f"data_origin and data_size of each of the {n_modules} modules", found, "add them")
    text_shape = " x ".join(map(str, shape))
    if n_modules == 1 and len(shape) == 2 and size != shape and size == shape[::-1] and not any(start):
        notes.append(
            fault(
                f"{group.name}/data_size",
                f"the shape of the images, {text_shape} (slow x fast)",
                f"{size[0]} x {size[1]} (slow and fast are swapped)",
                "the shape of the images is taken; if these are turned set geometry.detector.panel.fast_axis= and "
                "slow_axis=",
            )
        )
        return start, shape
    is_inside = (
        len(start) == len(size) == len(shape)
        and all(a >= 0 and n > 0 and a + n <= m for a, n, m in zip(start, size, shape, strict=True))
        and all(n == 1 for n in size[:-2])
    )
    if not is_inside:
        raise fault_at(
            group,
            f"data_origin and data_size (slow before fast) within the image of {text_shape} pixels",
            f"data_origin {', '.join(map(str, start))} and data_size {', '.join(map(str, size))}",
            "correct them (are slow and fast swapped?)",
        )
    return start, size
