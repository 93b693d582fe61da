"""Smooth functions of one coordinate, held as a few values; import from `smoother`."""
