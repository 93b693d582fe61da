"""Parameters that programs share which work on spots without index."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, Int, Params


class MaxCellParams(Params, level=1):
    """How max_cell is estimated from neighbouring spots."""

    filter_ice = Bool(True, level=1, help="Leave out spots on powder rings of hexagonal ice.")
    filter_overlaps = Bool(True, level=1, help="Leave out spots whose boxes overlap.")
    overlaps_border = Int(0, min=0, max=1000, none=True, level=1, help="Pixels by which boxes are grown before.")
    multiplier = Float(1.3, min=0, level=2, help="Safety factor on the estimate.")
    step_size = Float(45, min=0, none=True, level=2, units="deg", help="Neighbours are sought within so much rotation.")
    nearest_neighbor_percentile = Float(
        None,
        min=0,
        max=1,
        none=True,
        level=2,
        help="Take this percentile of the distances instead of their histogram.",
    )
    histogram_binning = Choice(
        ["linear", "log"], default="log", level=1, help="Slots equal in length or in its logarithm."
    )
    nn_per_bin = Int(5, min=1, max=100_000, none=True, level=1, help="Mean number of distances per slot.")
    max_height_fraction = Float(
        0.25,
        min=0,
        max=1,
        level=2,
        help="The last slot higher than this fraction of the highest sets the estimate.",
    )
