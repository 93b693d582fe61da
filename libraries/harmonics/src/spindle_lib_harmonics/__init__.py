"""Absorption surfaces of spherical harmonics; import from `surface` and `kernels`."""
