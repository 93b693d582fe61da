"""Spots: strong pixels joined in three dimensions, what spots tell about their images, and spots that have no index yet.

Import from the modules (`connected_components`, `image_quality`, `resolution_limits`, `sweeps`, `max_cell`, `params`): help pages
need the parameters only.
"""
