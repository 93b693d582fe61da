"""Corrections of absorption in `spindle integrate` and importers of results in `spindle import`, both of a stranger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError, ParameterError, PluginError
from spindle.files import read_reflections
from spindle.images import ImageSequence
from spindle.plugins import refresh
from spindle.table import Flag
from spindle.testing.profile import simulate_spots

TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def strangers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "trial_plugins"))
        refresh()
        yield
    refresh()


@pytest.fixture(scope="module")
def experiments():
    """Spots in memory with a profile model."""
    truth = simulate_spots(mean=300.0, n_images=8)
    model = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.15}
    experiment = replace(truth.experiments[0], profile=model)
    return truth.experiments.replace(
        0, profile=model, imageset=ImageSequence.from_arrays(experiment, truth.images.astype(np.int32)).imageset
    )


def integrate(experiments, **options):
    fixed = {"create_profile_model": False, "prediction.d_min": 3.0, "profile.fitting": False}
    return spindle.run("integrate", experiments, **{**fixed, **options})


@pytest.fixture(scope="module")
def plain(experiments):
    return integrate(experiments).reflections


def test_intensities_are_divided_by_what_the_plate_lets_through(experiments, plain):
    plate = {"apply": True, "algorithm": "plate", "plate.thickness": 0.3, "plate.mu": 2.0, "plate.sigma": 0.05}
    table = integrate(experiments, absorption_correction=[plate]).reflections
    along = np.abs(plain["s1"] @ experiments[0].beam.s0) / np.linalg.norm(plain["s1"], axis=1)
    factor = np.exp(2.0 * 0.3 / along)
    sigma = factor * 2.0 * 0.05 / along
    value, variance = plain["intensity.sum.value"], plain["intensity.sum.variance"]
    assert len(plain) > 100
    np.testing.assert_allclose(table["absorption_correction"], factor)
    np.testing.assert_allclose(table["intensity.sum.value"], factor * value)
    np.testing.assert_allclose(table["intensity.sum.variance"], factor**2 * variance + (sigma * value) ** 2)


def test_corrections_are_applied_one_after_the_other(experiments, plain):
    plates = [{"apply": True, "algorithm": "plate", "plate.thickness": t, "plate.sigma": 0.0} for t in (0.2, 0.5)]
    idle = {"apply": False, "algorithm": "plate", "plate.thickness": 9.0}
    two = integrate(experiments, absorption_correction=[plates[0], idle, plates[1]]).reflections
    one = integrate(
        experiments,
        absorption_correction=[{"apply": True, "algorithm": "plate", "plate.thickness": 0.7, "plate.sigma": 0.0}],
    ).reflections
    for name in ("intensity.sum.value", "intensity.sum.variance", "absorption_correction"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-12)
    unasked = integrate(experiments, absorption_correction=[idle]).reflections
    assert "absorption_correction" not in unasked
    np.testing.assert_array_equal(unasked["intensity.sum.value"], plain["intensity.sum.value"])


def test_a_tape_is_averaged_over_the_pixels_of_spots(experiments, plain):
    tape = {"apply": True, "fuller_kapton.kapton_thickness_mm.value": 0.5, "fuller_kapton.attenuation": 2.0}
    table = integrate(experiments, absorption_correction=[tape]).reflections
    other = integrate(
        experiments, absorption_correction=[{**tape, "fuller_kapton.within_spot_sigmas": False}]
    ).reflections
    factor, sigma = table["absorption_correction"], table["absorption_correction.sigma"]
    behind = other["absorption_correction"] > 1
    assert 0.3 < behind.mean() < 0.7
    assert np.all(other["absorption_correction.sigma"] == 0) and np.all(sigma[~behind & (factor == 1)] == 0)
    assert np.all(sigma[behind] > 0)
    near = behind & (sigma < 0.01 * factor)
    np.testing.assert_allclose(factor[near], other["absorption_correction"][near], rtol=0.01)
    np.testing.assert_allclose(table["intensity.sum.value"], factor * plain["intensity.sum.value"])
    # nothing is 30 half widths long: rays to the side of the tape leave it by its edge
    assert factor.max() < np.exp(2.0 * np.hypot(1.5875, 0.6) * 1.05)


def test_an_unknown_correction_is_told_from_those(experiments):
    with pytest.raises((ParameterError, PluginError), match="plate"):
        integrate(experiments, absorption_correction=[{"algorithm": "plat"}])


@pytest.fixture
def results(tmp_path):
    """Two files of another program."""
    header = {"n": 3, "wavelength": 0.98, "cell": [50, 60, 70, 90, 90, 90], "space_group": "P 21 21 21"}
    paths = []
    for name, wavelength in (("a.lines", 0.98), ("b.lines", 1.1)):
        rows = ["1 2 3 100 5", "0 0 2 20 4", "-1 5 2 7 3"]
        content = ["LINES 1", json.dumps(header | {"wavelength": wavelength}), *rows]
        paths.append(tmp_path / name)
        paths[-1].write_text("\n".join(content) + "\n")
    return paths


def test_files_of_another_program_become_experiments_and_reflections(results, tmp_path, monkeypatch):
    done = spindle.run("import", files=results)
    assert [e.beam.wavelength for e in done.experiments] == [0.98, 1.1]
    table = done.reflections
    assert table["id"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["intensity.sum.variance"].tolist() == [25.0, 16.0, 9.0] * 2
    assert table.has_flags(Flag.INTEGRATED_SUM).all()
    monkeypatch.chdir(tmp_path)
    from spindle.cli.main import main

    assert main(["import", *map(str, results)]) == 0
    assert len(read_reflections(tmp_path / "imported.refl")) == 6


def test_an_importer_can_be_named_and_says_what_is_not_its_own(results, tmp_path):
    assert spindle.run("import", files=results[:1], **{"importer.name": "lines"}).summary["n_reflections"] == 3
    other = tmp_path / "other.txt"
    other.write_text("something else")
    with pytest.raises(FileFormatError, match="the importer lines does not read this file"):
        spindle.run("import", files=[other], **{"importer.name": "lines"})
    with pytest.raises(FileFormatError, match="the importer lines does not read this file"):
        spindle.run("import", files=[results[0], other])
    broken = tmp_path / "broken.lines"
    broken.write_text("LINES 1\n{}\n")
    with pytest.raises(FileFormatError, match=r"broken\.lines"):
        spindle.run("import", files=[broken])
