"""Cell, orientation and beam at the points of a scan.

The functions are in the modules `curves` and `turns`.
"""
