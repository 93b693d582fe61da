"""`spindle generate_mask` and `spindle apply_mask`: masks with known pixels, and what later steps make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments, write_experiments
from spindle.files.maps import read_mask, write_mask
from spindle.images import ImageSequence
from spindle.models import Beam, Detector, Experiment, Experiments, Panel
from spindle.params import Assignment
from spindle.params.resolve import build
from spindle_lib_masks.rules import MaskingParams, generate_masks
from spindle_lib_masks.shadows import shadow_of
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

PIXELS = np.full((40, 60), 5, np.int32)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def imported(here):
    """Experiments of three images with a gap of -1, a dead pixel of -2 and one overload."""
    files = []
    for i in range(3):
        pixels = PIXELS.copy()
        pixels[:, 30:33] = -1
        pixels[7, 9] = -2
        pixels[20, i] = 2_000_000
        header = mini_cbf_header(Start_angle=f"{0.5 * i} deg.")
        files.append(write_mini_cbf(here / f"t_{i + 1:04d}.cbf", pixels, header))
    experiments = spindle.run("import", files=files).experiments
    write_experiments(experiments, "imported.expt")
    return experiments


def panels_of(path, experiments):
    return read_mask(path, experiments[0].detector)


def test_masks_are_written_counted_and_attached(imported, capsys):
    words = ["generate_mask", "imported.expt", "border=2", "untrusted.rectangle=10,20,5,15", "d_min=0.1"]
    assert main([*words, "output.experiments=masked.expt"]) == 0
    expected = np.zeros((40, 60), np.bool_)
    expected[2:-2, 2:-2] = True
    expected[5:15, 10:20] = False
    (good,) = panels_of("pixels.npz", imported)
    assert np.array_equal(good, expected)
    text = capsys.readouterr().out
    assert "untrusted[0]" in text and "Warning: d_min masks no pixel" in text
    assert "spindle find_spots masked.expt" in text
    assert np.array_equal(ImageSequence(read_experiments("masked.expt")[0]).mask(), expected)


def test_a_second_mask_is_joined_with_the_first(imported):
    assert main(["generate_mask", "imported.expt", "border=2", "output.experiments=masked.expt"]) == 0
    assert main(["generate_mask", "masked.expt", "untrusted.pixel=20,30", "output.mask=more.h5"]) == 0
    (good,) = panels_of("more.h5", imported)
    assert not good[20, 30] and not good[0, 0] and good.sum() == 36 * 56 - 1


def test_what_the_images_say_is_bad_may_be_written_down(imported):
    assert main(["generate_mask", "imported.expt", "use_trusted_range=True"]) == 0
    (good,) = panels_of("pixels.npz", imported)
    expected = np.ones((40, 60), np.bool_)
    expected[:, 30:33] = False
    expected[7, 9] = False
    assert np.array_equal(good, expected)  # the overload is on another pixel of each image


def test_images_in_place_of_experiments(imported):
    result = spindle.run("generate_mask", files=["t_0001.cbf"], border=1)
    assert result.summary["n_masked"] == [2 * 60 + 2 * 38]
    assert list(result.files) == ["pixels.npz"]
    assert result.experiments is None


def test_several_sets_of_images_get_numbered_masks(here, imported):
    other = spindle.run("import", files=[write_mini_cbf(here / "u_0001.cbf", PIXELS[:20])]).experiments
    write_experiments(Experiments([*imported, *other]), "two.expt")
    assert main(["generate_mask", "two.expt", "border=3", "output.experiments=masked.expt"]) == 0
    assert panels_of("pixels_1.npz", imported)[0].shape == (40, 60)
    assert panels_of("pixels_2.npz", other)[0].shape == (20, 60)
    assert [e.imageset.mask for e in read_experiments("masked.expt")] == [
        str(here / "pixels_1.npz"), str(here / "pixels_2.npz")
    ]  # fmt: skip


def test_a_mask_that_leaves_nothing_is_left_out_among_several(here, imported, capsys):
    small = write_mini_cbf(here / "u_0001.cbf", PIXELS[:20])
    other = spindle.run("import", files=[small]).experiments
    both = Experiments([*other, *imported])
    write_experiments(both, "two.expt")
    assert main(["generate_mask", "two.expt", "border=10", "output.experiments=masked.expt"]) == 0
    text = capsys.readouterr().out
    assert "Warning: every pixel of the detector is masked (by border) in pixels_1.npz" in text
    assert not (here / "pixels_1.npz").exists()
    assert [e.imageset.mask for e in read_experiments("masked.expt")] == [None, str(here / "pixels_2.npz")]
    result = spindle.run("generate_mask", both, border=10)
    assert list(result.files) == ["pixels_2.npz"] and result.summary["fraction"][0] == 1.0
    assert "output.experiments=masked.expt" in result.next_step
    with pytest.raises(ParameterError, match=r"every pixel.*in pixels_2\.npz"):
        spindle.run("generate_mask", both, border=20)


def test_each_panel_has_its_rules(capsys):
    panel = Panel(
        fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-2, 2, -100), pixel_size=(0.1, 0.1), image_size=(40, 20)
    )
    detector = Detector([replace(panel, name=f"p{i}", origin=(5 * i, 2, -100)) for i in range(3)])
    experiments = Experiments([Experiment(Beam(direction=(0, 0, 1), wavelength=1.0), detector)])
    write_experiments(experiments, "three.expt")
    with open("rules.phil", "w") as stream:
        stream.write("untrusted { panel = 1 }\nuntrusted { panel = 2\n circle = 10 10 3\n }\n")
    assert main(["generate_mask", "three.expt", "rules.phil"]) == 0
    masks = panels_of("pixels.npz", experiments)
    assert [int((~m).sum()) for m in masks] == [0, 800, 25]
    assert "| all   | 3 panels |" in capsys.readouterr().out
    with pytest.raises(ParameterError, match="have no images to which a mask could belong"):
        spindle.run("generate_mask", experiments, border=1, output__experiments="masked.expt")


SHAPES = [
    "untrusted.circle=10,10,3",
    "untrusted.rectangle=0,5,0,5",
    "untrusted.pixel=1,2",
    "untrusted.polygon=0,0,9,0,9,9",
]


def three_panels():
    panel = Panel(
        fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-2, 2, -100), pixel_size=(0.1, 0.1), image_size=(40, 20)
    )
    detector = Detector([replace(panel, name=f"p{i}", origin=(5 * i, 2, -100)) for i in range(3)])
    return Experiments([Experiment(Beam(direction=(0, 0, 1), wavelength=1.0), detector)])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_names_its_panel_where_there_are_several(shape, capsys):
    experiments = three_panels()
    write_experiments(experiments, "three.expt")
    assert main(["generate_mask", "three.expt", shape]) == 2
    assert "the detector has 3 panels: say which one with untrusted.panel= (0 to 2)" in capsys.readouterr().err
    assert main(["generate_mask", "three.expt", "untrusted.panel=2", shape]) == 0
    masks = panels_of("pixels.npz", experiments)
    assert masks[0].all() and masks[1].all() and not masks[2].all()
    # The spot finder has the same rules.
    params = build(MaskingParams, [Assignment(*shape.split("="))])
    with pytest.raises(ParameterError, match=r"spotfinder\.filter\.untrusted\.panel= \(0 to 2\)"):
        generate_masks(params, experiments[0].detector, experiments[0].beam, "spotfinder.filter.")


def test_mask_files_are_joined(imported, capsys):
    one, two = np.ones((40, 60), np.bool_), np.ones((40, 60), np.bool_)
    one[3, :], two[:, 4] = False, False
    write_mask("backstop.mask", [one])
    write_mask("shadow.h5", [two])
    assert main(["generate_mask", "backstop.mask", "shadow.h5"]) == 0
    assert np.array_equal(panels_of("pixels.npz", imported)[0], one & two)
    text = capsys.readouterr().out
    assert "backstop.mask" in text and "spindle apply_mask <experiments> pixels.npz" in text
    # With experiments: joined with the rules, and attached.
    words = ["imported.expt", "backstop.mask", "shadow.h5", "untrusted.pixel=20,30", "output.experiments=masked.expt"]
    assert main(["generate_mask", *words]) == 0
    both = one & two
    both[20, 30] = False
    assert np.array_equal(ImageSequence(read_experiments("masked.expt")[0]).mask(), both)
    assert main(["generate_mask", *words]) == 0  # again: the mask that it attaches is its own output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.npz", "other.npz"], "other.npz 2 of 20 x 40"),
        (["a.npz", "border=2"], "border needs the detector"),
        (["a.npz", "untrusted.pixel=1,1"], "untrusted"),
        (["a.npz", "output.experiments=b.expt"], "there are no experiments"),
        (["a.npz", "none.h5"], "every pixel of the detector is masked"),
        (["imported.expt", "other.npz"], "has 2 arrays of 20 x 40"),
        (["pickle.mask"], "Python pickle"),
    ],
)
def test_masks_that_cannot_be_joined(imported, here, words, message, capsys):
    write_mask("a.npz", [np.ones((40, 60), np.bool_)])
    write_mask("none.h5", [np.zeros((40, 60), np.bool_)])
    write_mask("other.npz", [np.ones((20, 40), np.bool_)] * 2)
    (here / "pickle.mask").write_bytes(b"\x80\x02(dials")
    assert main(["generate_mask", *words]) == 2
    assert message in capsys.readouterr().err


def test_shadows_and_hot_pixels_are_found(here):
    rng = np.random.default_rng(3)
    files = []
    for i in range(12):
        pixels = rng.poisson(20.0, (80, 90)).astype(np.int32)
        pixels[30:40, 60:75] = rng.poisson(1.0, (10, 15))
        pixels[70, 10] = 3000
        header = mini_cbf_header(Start_angle=f"{i} deg.", Angle_increment="1.0 deg.", Beam_xy="(45, 40) pixels")
        files.append(write_mini_cbf(here / f"t_{i + 1:04d}.cbf", pixels, header))
    experiments = spindle.run("import", files=files).experiments
    result = spindle.run("generate_mask", experiments, automatic_mask=True)
    result.files["pixels.npz"](here / "pixels.npz")
    (good,) = panels_of("pixels.npz", experiments)
    expected = np.ones_like(good)
    expected[30:40, 60:75] = False
    expected[70, 10] = False
    assert not good[31:39, 61:74].any() and not good[70, 10]
    assert (good != expected).sum() < 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["border=30"], "every pixel of the detector is masked (by border) in pixels.npz"),
        (["untrusted.polygon=1,2,3,4"], "at least three corners"),
        (["untrusted.panel=4"], "the detector has 1 panels"),
        (["output.mask=no/pixels.npz"], "the folder no does not exist"),
        (["t_0001.cbf"], "not both"),
        (["output.mask=None"], "a mask needs a file"),
    ],
)
def test_wrong_requests_are_errors(imported, words, message, capsys):
    assert main(["generate_mask", "imported.expt", *words]) == 2
    assert message in capsys.readouterr().err


def test_other_suffixes_are_explained(imported, capsys):
    assert main(["generate_mask", "imported.expt", "border=1", "output.mask=pixels.mask"]) == 0
    assert "pixels.mask is written as .npz" in capsys.readouterr().out
    assert panels_of("pixels.mask", imported)[0].sum() == 38 * 58


def test_masks_are_attached(here, imported, capsys):
    good = np.ones((40, 60), np.bool_)
    good[3, 4:7] = False
    write_mask(here / "mine.npz", [good])
    assert main(["apply_mask", "imported.expt", "mine.npz"]) == 0
    text = capsys.readouterr().out
    assert "mine.npz" in text and "Next: spindle find_spots masked.expt" in text
    masked = read_experiments("masked.expt")[0]
    assert masked.imageset.mask == str(here / "mine.npz")
    assert np.array_equal(ImageSequence(masked).mask(), good)
    again = spindle.run("apply_mask", read_experiments("masked.expt"), input__mask="mine.npz")
    assert again.tables[0].column("note") == ["replaces mine.npz"]


def test_experiments_that_share_images_keep_sharing(here, imported):
    write_mask(here / "mine.npz", [np.eye(40, 60) == 0])
    two = Experiments([imported[0], replace(imported[0], identifier="other")])
    result = spindle.run("apply_mask", two, files=["mine.npz"])
    assert result.experiments[0].imageset is result.experiments[1].imageset


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.ones((60, 40), np.bool_)], "transposed"),
        ([np.ones((40, 60), np.bool_)] * 2, "the mask has 2 arrays"),
        ([np.zeros((40, 60), np.bool_)], "leaves no pixel"),
        ([np.full((40, 60), 3)], "not True and False"),
    ],
)
def test_masks_that_do_not_fit_are_errors(imported, arrays, message):
    np.savez("bad.npz", *arrays)
    with pytest.raises(UserError, match=message):
        spindle.run("apply_mask", imported, files=["bad.npz"])


def test_numbers_of_masks_that_do_not_fit_are_errors(here, imported):
    write_mask(here / "a.npz", [np.ones((40, 60), np.bool_)])
    with pytest.raises(ParameterError, match="2 masks for 1 sets"):
        spindle.run("apply_mask", imported, files=["a.npz", "a.npz"])
    with pytest.raises(ParameterError, match="no mask"):
        spindle.run("apply_mask", imported)
    with pytest.raises(ParameterError, match="give an experiment file"):
        spindle.run("apply_mask", files=["a.npz"])
    with pytest.raises(UserError, match=r"gone\.npz"):
        spindle.run("apply_mask", imported, input__mask="gone.npz")


def test_shadows_of_the_goniometer_are_drawn_over_the_scan(here, imported, capsys):
    """A rod that turns with the crystal: behind each image lies another shadow, and the mask has them all, or what they share."""
    corners = [[1.0, -5.0, -100.0], [4.0, -5.0, -100.0], [1.0, -1.5, -100.0], [4.0, -1.5, -100.0]]
    (here / "rod.toml").write_text(f'[[shape]]\nname = "rod"\naxis = 0\npoints = {corners}\n')
    files = sorted(here.glob("t_*.cbf"))
    experiments = spindle.run("import", files=files, **{"format.shadow": "rod.toml"}).experiments
    write_experiments(experiments, "shadowed.expt")
    shadow = shadow_of(experiments[0])
    each = [shadow.shadowed(z)[0] for z in range(3)]
    union, common = np.logical_or.reduce(each), np.logical_and.reduce(each)
    assert 0 < common.sum() < union.sum() < union.size / 2
    for when, dark in (("ever", union), ("always", common)):
        assert main(["generate_mask", "shadowed.expt", f"goniometer_shadow={when}"]) == 0
        assert np.array_equal(panels_of("pixels.npz", experiments)[0], ~dark)
    capsys.readouterr()
    assert main(["show", "shadowed.expt"]) == 0
    text = capsys.readouterr().out
    assert "Shadows of the goniometer: rod" in text
    for z in range(3):
        assert f"image {z + 1}: {100 * each[z].mean():.2f} % of the detector" in text
    assert main(["generate_mask", "imported.expt", "goniometer_shadow=ever"]) == 2
    assert "format.shadow=FILE" in capsys.readouterr().err
