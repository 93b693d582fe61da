"""What thresholds by the index of dispersion share, whatever computes them.

Import from the modules: `params` (parameters, checked), `windows` (kernels), `global_threshold`.
"""
