"""Twinning, pseudo-translation and wrong centring from the statistics of merged intensities.

The functions are in the modules `intensities`, `moments`, `laws`, `translation`, `agreement` and `diagnosis`.
"""
