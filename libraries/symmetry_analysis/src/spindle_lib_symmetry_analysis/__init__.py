"""What searches for symmetry share: intensities in a common reduced cell, normalised and cut; scores of operations; absences.

Import from the modules: `prepare`, `common_basis`, `normalisation`, `resolution`, `laue`, `alignment`, `absences`.
"""
