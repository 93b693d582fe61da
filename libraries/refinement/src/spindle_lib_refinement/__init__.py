"""What programs that refine share: parameters, short refinements of candidates, and whether the geometry ran away.

Import from the modules (`params`, `varying_models`, `short_refinement`, `index_offset`, `geometry_drift`, `metric`): help
pages need the parameters only.
"""
