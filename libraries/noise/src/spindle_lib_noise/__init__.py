"""How far pixels scatter beyond what photons make: gain and read noise of detectors, from their images.

Import from the modules: `gain`, `read_noise`, `robust_counts`, `signal` (counts of spots to expect), `windows`.
"""
