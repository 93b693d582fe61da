"""`spindle slice_sequence`: which images, models and reflections come out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_program_slice_sequence.program import Piece, blocks, without_multiples

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Experiments, ImageSet
from spindle.table import ReflectionTable
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment


def sweep(number=0):
    """Images 1 to 40 of 0.5 degrees with a crystal that varies."""
    one = rotation_experiment(40)
    points = one.crystal.A * (1 + 1e-4 * np.arange(41.0))[:, None, None]
    return replace(
        one, identifier=f"sweep {number}", imageset=ImageSet(template=f"s{number}_###.cbf", image_range=(1, 40)),
        crystal=replace(one.crystal, A_at_scan_points=points),
    )  # fmt: skip


def rows(experiments=1):
    """A reflection in the middle of each image of each experiment, one between two images, and one of no experiment."""
    n = 40
    ids = np.repeat(np.arange(experiments), n)
    z = np.tile(np.arange(n) + 0.5, experiments)
    ids, z = np.append(ids, [0, -1]), np.append(z, [20.0, 20.0])
    position = np.stack([z * 0, z * 0, z], axis=1)
    names = {k: f"sweep {k}" for k in range(experiments)}
    return ReflectionTable({"id": ids, "imageset_id": np.maximum(ids, 0), "xyzobs.px.value": position}, names)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments([sweep()]), "one.expt")
    write_reflections(rows(), "one.refl")
    return ["slice_sequence", "one.expt", "one.refl"]


class TestSlice(ProgramContract):
    name = "slice_sequence"
    parameters = {"image_range": "11,20"}

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([sweep()]), reflections=[rows()])


def test_one_range_keeps_models_and_reflections_of_its_images(files):
    assert main([*files, "image_range=21,30"]) == 0
    (one,) = read_experiments("one_21_30.expt")
    assert one.scan.image_range == one.imageset.image_range == (21, 30)
    assert one.identifier != "sweep 0"
    assert one.scan.oscillation_deg[0] == pytest.approx(
        sweep().scan.oscillation_deg[0] + 20 * sweep().scan.oscillation_deg[1]
    )
    assert np.allclose(one.crystal.A_at_scan_points, sweep().crystal.A_at_scan_points[20:31], atol=1e-12)
    found = read_reflections("one_21_30.refl")
    assert found["xyzobs.px.value"][:, 2].tolist() == [*np.arange(20.5, 30), 20.0]


def test_pieces_can_be_put_together_again(files):
    for images in ("1,20", "21,40"):
        assert main([*files, f"image_range={images}"]) == 0
    names = [f"one_{a}.{kind}" for kind in ("expt", "refl") for a in ("1_20", "21_40")]
    assert main(["combine_experiments", *names[:2], *reversed(names[2:])]) == 0
    combined, table = read_experiments("combined.expt"), read_reflections("combined.refl")
    assert [e.scan.image_range for e in combined] == [(1, 20), (21, 40)]
    for number, (first, last) in enumerate([(1, 20), (21, 40)]):
        z = table["xyzobs.px.value"][table["id"] == number, 2]
        assert len(z) >= 20 and z.min() >= first - 1 and z.max() <= last


def test_the_whole_sweep_keeps_its_name(files):
    assert main([*files, "image_range=1,40"]) == 0
    assert read_experiments("one_1_40.expt")[0].identifier == "sweep 0"


def test_one_image(files):
    assert main([*files, "image_range=40,40"]) == 0
    (one,) = read_experiments("one_40_40.expt")
    assert one.scan.n_images == 1 and len(one.crystal.A_at_scan_points) == 2 and not one.is_still
    assert len(read_reflections("one_40_40.refl")) == 1


def test_blocks_are_new_experiments(files):
    width = sweep().scan.oscillation_deg[1]
    assert main([*files, f"block_size={13 * width}"]) == 0
    cut = read_experiments("one_sliced.expt")
    assert [e.scan.image_range for e in cut] == [(1, 13), (14, 26), (27, 40)]
    assert len({e.identifier for e in cut}) == 3 and len(cut.unique("detector")) == 1
    found = read_reflections("one_sliced.refl")
    assert np.bincount(found["id"]).tolist() == [13, 14, 14] and found.identifiers == cut.identifiers


def test_blocks_fit_as_well_as_they_can():
    assert blocks(Piece(0, 1, 100), 1.0, 33.0) == [(0, 1, 33), (0, 34, 66), (0, 67, 100)]
    assert len(blocks(Piece(0, 1, 10), 1.0, 0.1)) == 10 and len(blocks(Piece(0, 1, 10), 1.0, 1e9)) == 1
    with pytest.raises(ParameterError, match=r"images of 0 deg"):
        blocks(Piece(0, 1, 10), 0.0, 5.0)


def test_multiples_are_left_out():
    assert without_multiples(Piece(0, 1, 10), 4) == [(0, 1, 3), (0, 5, 7), (0, 9, 10)]
    assert without_multiples(Piece(0, 4, 4), 4) == [] and without_multiples(Piece(0, 2, 2), 4) == [(0, 2, 2)]


def test_several_pieces_of_one_experiment_and_ranges_of_several(files):
    assert main([*files, "image_range=1,10", "image_range=31,40"]) == 0
    assert [e.scan.image_range for e in read_experiments("one_sliced.expt")] == [(1, 10), (31, 40)]
    two = Experiments([sweep(0), sweep(1)])
    result = spindle.run("slice_sequence", two, rows(2), image_range=[(1, 10), (5, 6)])
    assert [e.scan.image_range for e in result.experiments] == [(1, 10), (5, 6)]
    assert np.bincount(result.reflections["id"]).tolist() == [10, 2]
    assert len({e.identifier for e in result.experiments} | {"sweep 0", "sweep 1"}) == 4
    assert result.reflections.identifiers == result.experiments.identifiers
    assert len(spindle.run("slice_sequence", two, image_range="3,4").experiments) == 2


def test_files_are_called_as_wanted_and_experiments_alone_are_cut(files):
    assert main([*files[:2], "image_range=1,4", "output.experiments_filename=cut.expt"]) == 0
    assert read_experiments("cut.expt")[0].scan.n_images == 4 and not Path("one_1_4.refl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which images?"),
        (["image_range=0,4"], "experiment 0 has the images 1 to 40"),
        (["image_range=30,41"], "experiment 0 has the images 1 to 40"),
        (["image_range=9,4"], "give a first and a last"),
        (["image_range=1,4", "image_range=1,4"], "given twice"),
        (["block_size=0"], "a size above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_words(files, capsys, words, message):
    assert main([*files, *words]) == 2
    assert message in capsys.readouterr().err


def test_stills_and_wrong_numbers_of_ranges_are_refused():
    with pytest.raises(ParameterError, match="is a still"):
        spindle.run("slice_sequence", Experiments([replace(sweep(), scan=None)]), image_range="1,2")
    with pytest.raises(ParameterError, match="3 ranges are given for 2 experiments"):
        spindle.run("slice_sequence", Experiments([sweep(0), sweep(1)]), image_range=[(1, 2), (2, 3), (3, 4)])
