"""Gaussian-weighted smoothing of a few values along a coordinate; import from `smoother`."""
