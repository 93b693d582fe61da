"""Virtual datasets: which frames of which datasets an image is made of.

HDF5 fills images whose source file is missing with zeros and says nothing, and it decodes under its lock; so sources
are opened one by one here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spindle.errors import HeaderError

from .hdf import get
from .layout import external_dataset

# What HDF5 gives for the count of a selection without end.
_UNLIMITED = 1 << 62
# Longer ones are left to HDF5, which keeps no list of the indices.
_LONGEST_AXIS = 1 << 24

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Frames of a virtual dataset that come from one source.

    Attributes
    ----------
    source : Dataset
    frames, source_frames : (n,) int64
    box, source_box : tuple of slice
        Part of the image, and of the source's frames.
    """

    source: h5py.Dataset
    frames: np.ndarray
    source_frames: np.ndarray
    box: Box
    source_box: Box


def mappings(dataset: h5py.Dataset, opened: Callable[[str, str], h5py.Dataset] | None = None) -> list[Mapping] | None:
    """All mappings of a virtual dataset; None when one is of a kind that only HDF5 can follow.

    Raises
    ------
    FileFormatError
        If a source file or dataset does not exist.
    """
    found = []
    for item in dataset.virtual_sources():
        if "%b" in item.file_name or "%b" in item.dset_name:
            return None
        source = (opened or (lambda f, d: source_dataset(dataset, f, d)))(item.file_name, item.dset_name)
        target = _selection(item.vspace, dataset.shape)
        origin = _selection(item.src_space, source.shape)
        if target is None or origin is None or len(target) != len(origin):
            return None
        box, source_box = _box(target), _box(origin)
        if box is None or source_box is None:
            return None
        count = min(len(target[0]), len(origin[0]))
        found.append(Mapping(source, target[0][:count], origin[0][:count], box, source_box))
    return found


def source_dataset(dataset: h5py.Dataset, filename: str, path: str) -> h5py.Dataset:
    """The dataset that a mapping names; "." is the same file."""
    where = f"{dataset.name} (virtual)"
    if filename == ".":
        node = get(dataset.file, path)
        if isinstance(node, h5py.Dataset):
            return node
        raise HeaderError(dataset.file.filename, where, f"its source {path} in the same file", None, "copy it again")
    return external_dataset(where, Path(dataset.file.filename), filename, path)


def _selection(space: Any, shape: tuple[int, ...]) -> list[np.ndarray] | None:
    """Indices along each axis of a regular selection; None for others."""
    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return None if max(shape) > _LONGEST_AXIS else [np.arange(n) for n in shape]
    if kind != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    axes = []
    for start, stride, count, block, size in zip(*space.get_regular_hyperslab(), shape, strict=True):
        if size > _LONGEST_AXIS:
            return None
        if count >= _UNLIMITED or block >= _UNLIMITED:
            count, block = (1, size - start) if block >= _UNLIMITED else (-(-(size - start) // stride), block)
        indices = (start + stride * np.arange(count)[:, None] + np.arange(block)[None, :]).ravel()
        axes.append(indices[indices < size])
    return axes


def _box(selection: Sequence[np.ndarray]) -> Box | None:
    """The slices of a selection behind its first axis, None where the indices of one do not follow each other."""
    found = [_block(indices) for indices in selection[1:]]
    slices = tuple(s for s in found if s is not None)
    return slices if len(slices) == len(found) else None


def _block(indices: np.ndarray) -> slice | None:
    """Indices that follow each other as a slice."""
    if not len(indices) or indices[-1] - indices[0] != len(indices) - 1:
        return None
    return slice(int(indices[0]), int(indices[-1]) + 1)
