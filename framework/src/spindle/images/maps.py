"""Files with one number for each pixel of a detector: masks and maps; `spindle.files.maps` tells their layout."""

from __future__ import annotations

from spindle.files.maps import MAPS, read_map, read_mask, write_map, write_mask

__all__ = ["MAPS", "read_map", "read_mask", "write_map", "write_mask"]
