"""Spots that have no index yet: the sweeps they come from, and the longest cell edge that their distances allow.

Import from the modules (`sweeps`, `max_cell`, `params`): help pages need the parameters only.
"""
