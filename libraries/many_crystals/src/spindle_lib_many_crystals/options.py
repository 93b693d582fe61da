"""Parameters that programs of many crystals share."""

from __future__ import annotations

from spindle.params import Choice, Float, Int, Params

__all__ = ["FilterOptions"]


class FilterOptions(Params):
    """How; None stands for what `spindle scale` has."""

    max_cycles = Int(None, min=1, max=1000, none=True, help="Most cycles.")
    max_percent_removed = Float(None, min=0, max=100, none=True, help="Most that may be removed, percent.")
    min_completeness = Float(None, min=0, max=100, none=True, help="Least completeness, percent.")
    mode = Choice(["dataset", "image_group"], default=None, none=True, help="What is removed.")
    group_size = Int(None, min=1, max=1_000_000, none=True, help="Images of a group.")
    stdcutoff = Float(None, none=True, help="Limit in standard deviations below the mean.")
