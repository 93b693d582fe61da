"""Experiments from images on the way, for programs that take images or experiments.

Import from the modules: `experiments`, `params`, `comparing` (whether two models are the same within tolerances).
"""
