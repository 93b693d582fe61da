"""Correlations between data sets, and coordinates that explain them.

Import from the modules: `pairs`, `coordinates`, `options`.
"""
