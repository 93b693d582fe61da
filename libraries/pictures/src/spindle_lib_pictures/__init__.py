"""From pixels to pictures; import from the modules `display`, `canvas`, `local_statistics`, `figures`, `kernels`."""
