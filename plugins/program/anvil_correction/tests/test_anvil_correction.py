"""Anvils, against rays that are followed point by point through a cell that is turned as points are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import SpindleError
from spindle.models import Experiments, Goniometer
from spindle.table import Flag
from spindle.testing import PluginContract
from spindle.testing.exporter import integrated_data

MU = 1.3396 * 3.51 / 10  # 1/mm of diamond at 1 A: NIST, 1.3396 cm^2/g
NORMAL, THICKNESS, GAP = np.array([0.05, 0.1, 1.0]), 1.2, 0.3
KINDS = ("sum", "prf")


class TestAnvilCorrection(PluginContract):
    slot = "program"
    name = "anvil_correction"


@pytest.fixture
def data():
    """Two experiments, one on a kappa goniometer; rows of each, some of them not integrated one way or the other."""
    experiments, table = integrated_data()
    experiments = Experiments([replace(e, identifier=name) for e, name in zip([experiments[0]] * 2, "ab", strict=True)])
    axes = [[1.0, 0.0, 0.0], [0.9, 0.3, -0.3], [1.0, 0.0, 0.0]]
    kappa = Goniometer.multi_axis(axes, [20.0, -35.0, 0.0], ["phi", "kappa", "omega"], 2)
    experiments = experiments.replace(1, goniometer=kappa)
    table = table.select(np.arange(0, len(table), 12))
    table.identifiers = {}
    table["id"] = (np.arange(len(table)) % 2).astype(np.int32)
    table["xyzobs.mm.value"] = table["xyzcal.mm"].copy()
    table["xyzobs.mm.value"][:, 2] += 0.01
    flags = table["flags"].copy()
    flags[::5] &= np.uint64(~int(Flag.INTEGRATED_SUM) & 0xFFFFFFFF)
    flags[::7] &= np.uint64(~int(Flag.INTEGRATED_PRF) & 0xFFFFFFFF)
    table["flags"] = flags
    return experiments, table


def correct(data, **changes):
    usual = {"anvil.normal": (0.05, 0.1, 1.0), "anvil.thickness": THICKNESS}
    return spindle.run("anvil_correction", data[0], data[1], **{**usual, **changes})


def followed(experiment, s1, phi):
    """Length of both beams inside two plates, from points along them that are turned back into the cell; nan where it is long."""
    back = experiment.goniometer.rotation(phi).T
    normal, s0 = NORMAL / np.linalg.norm(NORMAL), experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    step = 0.002
    t = np.arange(0.5 * step, 20.0, step)[:, None]
    total = 0.0
    for way in (-s0, s1 / np.linalg.norm(s1)):
        away = np.abs((t * way) @ back.T @ normal)
        if away[-1] < GAP + THICKNESS:
            return np.nan
        total += step * np.count_nonzero((away >= GAP) & (away <= GAP + THICKNESS))
    return total


def test_intensities_are_multiplied_by_what_rays_meet(data):
    experiments, before = data
    result = correct(data)
    after = result.reflections
    ways = np.array([
        followed(experiments[i], s1, phi)
        for i, s1, phi in zip(before["id"], before["s1"], before["xyzobs.mm.value"][:, 2], strict=True)
    ])  # fmt: skip
    good = np.isfinite(ways)
    assert good.sum() > 40 and np.ptp(ways[good]) > 0.2
    expected = np.exp(MU * ways)
    for kind, flag in zip(KINDS, (Flag.INTEGRATED_SUM, Flag.INTEGRATED_PRF), strict=True):
        done = before.has_flags(flag)
        for column, power in (("value", 1), ("variance", 2)):
            ratio = after[f"intensity.{kind}.{column}"] / before[f"intensity.{kind}.{column}"]
            np.testing.assert_allclose(ratio[done & good], expected[done & good] ** power, rtol=2 * MU * 0.005)
            assert np.all(ratio[~done] == 1)
    assert result.summary["n_corrected"] == np.count_nonzero(
        before.has_flags(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF, all=False)
    )


def test_every_parameter_counts(data):
    usual = np.log(correct(data).reflections["anvil_correction"])
    some = usual > 0
    thick = np.log(correct(data, **{"anvil.thickness": 2 * THICKNESS}).reflections["anvil_correction"])
    np.testing.assert_allclose(thick[some], 2 * usual[some])
    light = np.log(correct(data, **{"anvil.density": 1755}).reflections["anvil_correction"])
    np.testing.assert_allclose(light[some], usual[some] / 2)
    given = np.log(correct(data, **{"anvil.attenuation": 3 * MU}).reflections["anvil_correction"])
    np.testing.assert_allclose(given[some], 3 * usual[some], rtol=2e-4)
    # sapphire at 1 A: (2 x 26.982 x 13.93 + 3 x 15.999 x 3.19) / 101.96 cm^2/g
    sapphire = np.log(
        correct(data, **{"anvil.material": "Al2O3", "anvil.density": 3980}).reflections["anvil_correction"]
    )
    assert np.median(sapphire[some] / usual[some]) == pytest.approx(8.874 * 3.98 / (1.3396 * 3.51), rel=0.01)
    turned = correct(data, **{"anvil.normal": (0.0, -0.1, -1.0)}).reflections["anvil_correction"]
    assert np.any(np.abs(np.log(turned[some]) - usual[some]) > 1e-3)


def test_beams_along_the_anvils_are_flagged_and_left(data):
    experiments, before = data
    before["s1"] = before["s1"].copy()
    back = experiments[0].goniometer.rotation(before["xyzobs.mm.value"][0, 2])
    before["s1"][0] = back @ np.cross(NORMAL, [1.0, 0.0, 0.0])
    after = correct(data)
    assert after.summary["n_along_anvils"] == 1
    assert after.reflections.has_flags(Flag.EXCLUDED_FOR_SCALING).tolist() == [True] + [False] * (len(before) - 1)
    for kind in KINDS:
        assert after.reflections[f"intensity.{kind}.value"][0] == before[f"intensity.{kind}.value"][0]


def test_nothing_is_corrected_twice(data):
    once = correct(data).reflections
    with pytest.raises(SpindleError, match="corrected already"):
        correct((data[0], once))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"anvil.normal": (0.0, 0.0, 0.0)}, "has a direction"),
        ({"anvil.thickness": 5000.0}, "less than a millionth"),
        ({"anvil.material": "Q3"}, "is no formula|no attenuation"),
    ],
)
def test_what_cannot_be_is_refused(data, changes, text):
    with pytest.raises(SpindleError, match=text):
        correct(data, **changes)


def test_other_probes_are_refused(data):
    beam = replace(data[0][0].beam, probe="neutron")
    with pytest.raises(SpindleError, match="experiment 0 is of neutrons"):
        correct((Experiments([replace(e, beam=beam) for e in data[0]]), data[1]))
