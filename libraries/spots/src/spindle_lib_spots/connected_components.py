"""Strong pixels of a series of images, gathered into connected components while the images pass by.

Pixels that share a face (left and right, above and below, and the same pixel of the next image) belong together. Only
components that reach the latest image are kept open, so memory depends on what is alive at once and not on the number
of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

__all__ = ["ComponentStream", "Components", "fill_shoeboxes", "label_pixels", "strong_list"]

# Images that are gathered before they are linked, and pixels at which they are linked even earlier.
_IMAGES_PER_BLOCK = 16
_PIXELS_PER_BLOCK = 2_000_000


@njit(nogil=True, cache=True)
def strong_list(words, strong, index):
    """List the marked pixels of a flat image.

    Parameters
    ----------
    words : (n // 8,) uint64
        `strong` seen as words, so that eight unmarked pixels cost one comparison.
    strong : (n,) uint8
        0 or 1.
    index : (capacity,) int32
        Receives the positions of the marked pixels, ascending.

    Returns
    -------
    int
        Number of marked pixels; more than the capacity when they did not fit.
    """
    n = 0
    capacity = index.shape[0]
    for w in range(words.shape[0]):
        if words[w] != 0:
            for k in range(8 * w, 8 * w + 8):
                if strong[k] != 0:
                    if n < capacity:
                        index[n] = k
                    n += 1
    for k in range(8 * words.shape[0], strong.shape[0]):
        if strong[k] != 0:
            if n < capacity:
                index[n] = k
            n += 1
    return n


@njit(nogil=True, cache=True)
def _root(parent, p):
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@njit(nogil=True, cache=True)
def label_pixels(starts, frames, index, width, is_linked, label):
    """Label the connected components of pixels listed image by image.

    Parameters
    ----------
    starts : (n_frames + 1,) int64
        Image f owns pixels starts[f]:starts[f + 1].
    frames : (n_frames,) int64
        Ascending numbers of the images; only neighbours in number are linked.
    index : (n,) int32
        Position y * width + x of each pixel, ascending within an image.
    width : int
        Pixels in a row.
    is_linked : bool
        Whether pixels of neighbouring images are joined (3D) or not (2D).
    label : (n,) int64
        Result: 0, 1, ... in the order of the components' first pixels.

    Returns
    -------
    int
        Number of components.
    """
    # The root of a component is its first pixel, as the smaller root wins.
    for p in range(index.shape[0]):
        label[p] = p
    for f in range(starts.shape[0] - 1):
        above = starts[f]
        before = starts[f]
        has_before = is_linked and f > 0 and frames[f - 1] == frames[f] - 1
        if has_before:
            before = starts[f - 1]
        for p in range(starts[f], starts[f + 1]):
            a = p
            if p > starts[f] and index[p - 1] == index[p] - 1 and index[p] % width != 0:
                a = _root(label, p - 1)
                label[p] = a
            while index[above] < index[p] - width:
                above += 1
            if index[above] == index[p] - width:
                b = _root(label, above)
                if b < a:
                    label[a] = b
                    a = b
                else:
                    label[b] = a
            if has_before:
                while before < starts[f] and index[before] < index[p]:
                    before += 1
                if before < starts[f] and index[before] == index[p]:
                    b = _root(label, before)
                    if b < a:
                        label[a] = b
                    else:
                        label[b] = a
    # Roots come before their members: one pass renumbers.
    n = 0
    for p in range(index.shape[0]):
        if label[p] == p:
            label[p] = n
            n += 1
        else:
            label[p] = label[label[p]]
    return n


@njit(nogil=True, cache=True)
def _measure(starts, frames, index, width, label, size, first, bbox):
    """Size, first pixel (frame, position) and half-open bounding box of each component."""
    size[:] = 0
    for f in range(starts.shape[0] - 1):
        z = frames[f]
        for p in range(starts[f], starts[f + 1]):
            c = label[p]
            y = index[p] // width
            x = index[p] - y * width
            if size[c] == 0:
                first[c, 0] = z
                first[c, 1] = index[p]
                bbox[c, 0] = x
                bbox[c, 1] = x + 1
                bbox[c, 2] = y
                bbox[c, 3] = y + 1
                bbox[c, 4] = z
                bbox[c, 5] = z + 1
            size[c] += 1
            bbox[c, 0] = min(bbox[c, 0], x)
            bbox[c, 1] = max(bbox[c, 1], x + 1)
            bbox[c, 2] = min(bbox[c, 2], y)
            bbox[c, 3] = max(bbox[c, 3], y + 1)
            bbox[c, 5] = max(bbox[c, 5], z + 1)


@njit(nogil=True, cache=True)
def fill_shoeboxes(starts, frames, index, value, width, label, target, bbox, offsets, code, data, mask):
    """Write pixels into the shoeboxes of their components.

    Parameters
    ----------
    starts, frames, index, width, label
        As for `label_pixels`.
    value : (n,) float32
        Pixel values.
    target : (n_components,) int64
        Shoebox of each component, -1 for none.
    bbox : (m, 6) int32
    offsets : (m + 1,) int64
    code : int
        Mask bits of these pixels.
    data : (p,) float32
    mask : (p,) uint8
        Pixels of all shoeboxes, z, y, x; others are left alone.
    """
    for f in range(starts.shape[0] - 1):
        z = frames[f]
        for p in range(starts[f], starts[f + 1]):
            s = target[label[p]]
            if s < 0:
                continue
            y = index[p] // width
            x = index[p] - y * width
            nx = bbox[s, 1] - bbox[s, 0]
            ny = bbox[s, 3] - bbox[s, 2]
            at = offsets[s] + ((z - bbox[s, 4]) * ny + (y - bbox[s, 2])) * nx + (x - bbox[s, 0])
            data[at] = value[p]
            mask[at] = code


@dataclass(slots=True)
class Components:
    """Finished components with their pixels.

    Attributes
    ----------
    starts, frames, index, value, label
        Pixels, see `label_pixels`; labels below 0 belong to no component.
    size : (n,) int64
        Pixels of each component.
    first : (n, 2) int64
        Image and position of the first pixel of each.
    bbox : (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open.
    """

    starts: np.ndarray
    frames: np.ndarray
    index: np.ndarray
    value: np.ndarray
    label: np.ndarray
    size: np.ndarray
    first: np.ndarray
    bbox: np.ndarray

    def __len__(self) -> int:
        return len(self.size)


class ComponentStream:
    """Connected components of images that arrive in order.

    Parameters
    ----------
    width : int
        Pixels in a row of the image.
    is_linked : bool
        Whether pixels of neighbouring images are joined (3D) or not (2D).
    """

    def __init__(self, width: int, is_linked: bool = True) -> None:
        self.width = width
        self.is_linked = is_linked
        self._frames: list[int] = []
        self._index: list[np.ndarray] = []
        self._value: list[np.ndarray] = []
        self._n_new = 0
        self._n_pixels = 0

    def add(self, frame: int, index: np.ndarray, value: np.ndarray) -> Components | None:
        """Add the pixels of the next image; returns components that have ended, from time to time.

        Parameters
        ----------
        frame : int
            Number of the image, larger than all before.
        index : (n,) int32
            Positions of its pixels, ascending.
        value : (n,) float32
            Their values.
        """
        self._frames.append(frame)
        self._index.append(index)
        self._value.append(value)
        self._n_new += 1
        self._n_pixels += len(index)
        if self._n_new < _IMAGES_PER_BLOCK and self._n_pixels < _PIXELS_PER_BLOCK:
            return None
        return self._link(False)

    def finish(self) -> Components:
        """All components that are still open."""
        return self._link(True)

    def _link(self, is_end: bool) -> Components:
        frames = np.array(self._frames, dtype=np.int64)
        lengths = [len(i) for i in self._index]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.concatenate(self._index) if self._index else np.empty(0, np.int32)
        value = np.concatenate(self._value) if self._value else np.empty(0, np.float32)
        label = np.empty(len(index), np.int64)
        n = label_pixels(starts, frames, index, self.width, self.is_linked, label)
        size = np.empty(n, np.int64)
        first = np.empty((n, 2), np.int64)
        bbox = np.empty((n, 6), np.int32)
        _measure(starts, frames, index, self.width, label, size, first, bbox)
        self._frames, self._index, self._value, self._n_new, self._n_pixels = [], [], [], 0, 0
        if is_end or not self.is_linked or not len(frames):
            return Components(starts, frames, index, value, label, size, first, bbox)
        is_open = bbox[:, 5] == frames[-1] + 1
        waits = is_open[label]
        for f in range(len(frames)):
            part = slice(starts[f], starts[f + 1])
            keep = waits[part]
            if keep.any():
                self._frames.append(int(frames[f]))
                self._index.append(index[part][keep])
                self._value.append(value[part][keep])
                self._n_pixels += int(keep.sum())
        # Renumber the finished ones; pixels of open ones get a label that no table knows.
        number = np.cumsum(~is_open) - 1
        number[is_open] = -1
        return Components(starts, frames, index, value, number[label], size[~is_open], first[~is_open], bbox[~is_open])
