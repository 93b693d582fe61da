"""Spots and lattices in reciprocal space, on a page; import from the modules `params`, `points`, `meta`, `page`."""
