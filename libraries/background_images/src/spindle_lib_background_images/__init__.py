"""An image of the background of a scan: sums beside spots, smoothed along rings.

Import from the modules: `sums`, `polar`, `holes`, `modelling`, `files`, `kernels`.
"""
