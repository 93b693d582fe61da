"""The first-party indexing methods pass the contract that strangers' methods have to pass."""

from __future__ import annotations

from spindle.testing.crystal_indexing import CrystalIndexingContract
from spindle.testing.indexing import IndexingContract


class TestFft3d(IndexingContract):
    """`Fft3dIndexing`."""

    name = "fft3d"


class TestFft3dOnASmallGrid(IndexingContract):
    """`Fft3dIndexing` with other parameters."""

    name = "fft3d"
    parameters = {"reciprocal_space_grid.n_points": 150, "rmsd_cutoff": 12.0}


class TestRealSpaceGridSearch(IndexingContract):
    """`RealSpaceGridSearchIndexing`."""

    name = "real_space_grid_search"


class TestFft1d(IndexingContract):
    """`Fft1dIndexing`."""

    name = "fft1d"


class TestLowResSpotMatch(CrystalIndexingContract):
    """`LowResSpotMatchIndexing`."""

    name = "low_res_spot_match"


class TestLowResSpotMatchOfQuads(CrystalIndexingContract):
    """`LowResSpotMatchIndexing` with other parameters."""

    name = "low_res_spot_match"
    parameters = {"search_depth": "quads", "bootstrap_crystal": True, "candidate_spots.n_spots": 14}
