"""First-party programs that read images, in the contract that strangers' programs have to pass."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.contracts import ProgramInputs
from spindle.files import write_mask
from spindle.testing.program import ProgramContract
from spindle_lib_readers.testing.mini_cbf import write_sweep
from spindle_lib_readers.testing.spot_images import render_spots, write_spot_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Experiments whose images hold spots, and the files of the images."""
    folder = tmp_path_factory.mktemp("sweep")
    images, _ = render_spots()
    experiments = write_spot_sweep(folder, images[:4])
    return experiments, sorted(folder.glob("*.cbf"))


@pytest.fixture(scope="module")
def spots(sweep):
    """The spots that find_spots finds."""
    return spindle.run("find_spots", sweep[0]).reflections


class _Experiments(ProgramContract):
    @pytest.fixture
    def inputs(self, sweep):
        return ProgramInputs(experiments=sweep[0])


class TestFindSpots(_Experiments):
    name = "find_spots"


class TestEstimateGain(_Experiments):
    name = "estimate_gain"


class TestGenerateMask(_Experiments):
    name = "generate_mask"
    parameters = {"border": "2"}


class TestExportBitmaps(_Experiments):
    name = "export_bitmaps"


class TestSearchBeamPosition(_Experiments):
    name = "search_beam_position"
    parameters = {"method": "midpoint"}


class TestApplyMask(ProgramContract):
    name = "apply_mask"

    @pytest.fixture
    def inputs(self, sweep, tmp_path):
        (panel,) = sweep[0][0].detector
        mask = np.ones(panel.image_size[::-1], bool)
        write_mask(tmp_path / "mask.npz", [mask])
        return ProgramInputs(experiments=sweep[0], files=[tmp_path / "mask.npz"])


class TestSpotCountsPerImage(ProgramContract):
    name = "spot_counts_per_image"

    @pytest.fixture
    def inputs(self, sweep, spots):
        return ProgramInputs(experiments=sweep[0], reflections=[spots])


class _Files(ProgramContract):
    @pytest.fixture
    def inputs(self, sweep):
        return ProgramInputs(files=sweep[1])


class TestImport(_Files):
    name = "import"


class TestMergeCbf(ProgramContract):
    name = "merge_cbf"
    parameters = {"merge_n_images": "2"}

    @pytest.fixture
    def inputs(self, tmp_path):
        (tmp_path / "images").mkdir()
        return ProgramInputs(files=write_sweep(tmp_path / "images"))


class TestSimulate(ProgramContract):
    name = "simulate"
    needs_inputs = False
    parameters = {"n_images": "2", "detector.image_size": "120,100", "output.overwrite": "True"}


class TestSimulateNexus(ProgramContract):
    name = "simulate"
    needs_inputs = False
    parameters = {**TestSimulate.parameters, "output.format": "nexus"}
