"""`spindle estimate_gain` on images whose gain is known."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_estimate_gain.dispersion import median_dispersion

import spindle
from spindle.cli.main import main
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments
from spindle.files.maps import read_map
from spindle.images import ImageSequence
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

SHAPE = (210, 300)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(folder, gain=1.0, mean=30.0, n=3, gap=False, spots=0, name="t"):
    """Experiments of Poisson images, each photon of which makes `gain` counts."""
    rng = np.random.default_rng(11)
    files = []
    for i in range(n):
        photons = rng.poisson(mean, SHAPE)
        for y, x in rng.integers(0, 200, (spots, 2)):
            photons[y : y + 3, x : x + 3] += rng.poisson(20 * mean, photons[y : y + 3, x : x + 3].shape)
        pixels = np.rint(gain * photons).astype(np.int32)
        if gap:
            pixels[:, 140:150] = -1
        header = mini_cbf_header(Start_angle=f"{0.5 * i} deg.")
        files.append(write_mini_cbf(folder / f"{name}_{i + 1:04d}.cbf", pixels, header))
    return spindle.run("import", files=files).experiments


@pytest.mark.parametrize("gain", [1.0, 2.5, 20.0])
def test_gain_of_poisson_counts_is_found_within_its_uncertainty(here, gain):
    summary = spindle.run("estimate_gain", imported(here, gain), max_images=3).summary
    assert summary["gain"][0] == pytest.approx(gain, rel=0.02)
    assert abs(summary["gain"][0] - gain) < 4 * summary["uncertainty"][0]
    assert summary["uncertainty"][0] < 0.03 * gain


def test_spots_and_gaps_bias_the_median_only(here):
    summary = spindle.run("estimate_gain", imported(here, 3.0, gap=True, spots=300), max_images=3).summary
    assert summary["gain"][0] == pytest.approx(3.0, abs=0.1)
    assert all(m > 3.3 for m in summary["median_dispersion"][0])
    edges = spindle.run(
        "estimate_gain", imported(here, 3.0, gap=True, name="u"), kernel_size=(30, 30), max_images=3
    ).summary
    assert edges["gain"][0] == pytest.approx(3.0, abs=0.15)
    assert edges["median_dispersion"][0] == [1.0] * 3  # most windows of that size touch an edge or the gap


def test_median_counts_cut_windows_as_one(here):
    images = ImageSequence(imported(here, 4.0, n=1)[0])
    found = median_dispersion(images, 0, (20, 20))
    inside = (210 - 40) * (300 - 40)
    assert inside / (210 * 300) < 0.75 and found.quartiles[0] == 1.0
    assert found.quartiles[1] == pytest.approx(4.0, abs=0.2)
    assert median_dispersion(images, 0, (3, 3)).gain == pytest.approx(4.0, abs=0.1)


def test_report_says_what_to_do(here, capsys):
    write_experiments(imported(here, 2.5), "imported.expt")
    assert main(["estimate_gain", "imported.expt", "max_images=2", "output.gain_map=gain.npz"]) == 0
    text = capsys.readouterr().out
    assert "Estimated gain: 2.5" in text and "t_0003.cbf" in text and "lookup.gain=gain.npz" in text
    experiments = imported(here, 2.5)
    (values,) = read_map("gain.npz", experiments[0].detector, "gain")
    assert values.mean() == pytest.approx(2.5, abs=0.1)
    assert main(["estimate_gain", "t_0001.cbf"]) == 0
    assert "Next: spindle import t_0001.cbf geometry.detector.panel.gain=2.5" in capsys.readouterr().out


def test_a_known_gain_needs_no_action(here):
    assert spindle.run("estimate_gain", imported(here)).next_step == "spindle find_spots <images>"


def test_a_gain_on_which_windows_disagree_is_not_proposed(here):
    experiments = imported(here, 2.5, spots=500, n=1)
    result = spindle.run("estimate_gain", experiments, output__gain_map="gain.npz")
    assert result.summary["gain"][0] > 2.4 and list(result.files) == ["gain.npz"]
    assert result.next_step == "spindle find_spots <images>"


def test_each_set_of_images_has_its_gain(here):
    one, two = imported(here, 1.0), imported(here, 2.0, name="u")
    result = spindle.run("estimate_gain", type(one)([*one, *two]), output__gain_map="gain.h5")
    assert result.summary["gain"] == pytest.approx([1.0, 2.0], rel=0.03)
    assert list(result.files) == ["gain_1.h5", "gain_2.h5"]


def test_images_without_counts_are_an_error(here):
    with pytest.raises(UserError, match="the gain cannot be estimated"):
        spindle.run("estimate_gain", imported(here, mean=0.0, n=1))
    with pytest.raises(ParameterError, match="no images"):
        spindle.run("estimate_gain")
