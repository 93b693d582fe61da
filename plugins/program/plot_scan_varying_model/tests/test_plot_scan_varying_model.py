"""`spindle plot_scan_varying_model`: turns about any axes, known changes, bars, what is static, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments
from spindle.testing import PluginContract
from spindle.testing.refinement_problems import rotation_experiment
from spindle_lib_model_curves.turns import orientations, three_turns
from spindle_lib_refinement.metric import cell_deviations

X, Y, Z = np.eye(3)


class TestPlotScanVaryingModelPlugin(PluginContract):
    slot = "program"
    name = "plot_scan_varying_model"


def moving(n=30, turns=(0.5, 0.0, 0.0), stretch=0.01):
    """A crystal that turns about the axes of the laboratory (degrees over the scan) while a and b grow; its beam moves, too."""
    sweep = rotation_experiment(n)
    matrices = []
    for t in np.linspace(0, 1, n + 1):
        grown = Crystal.from_cell((58 * (1 + stretch * t), 58 * (1 + stretch * t), 41, 90, 90, 90), None, "P 4").B
        turn = np.eye(3)
        for axis, angle in zip(np.eye(3), turns, strict=True):
            turn = rotation_matrix(axis, np.radians(angle) * t) @ turn
        matrices.append(turn @ sweep.crystal.U @ grown)
    return replace(sweep, crystal=replace(sweep.crystal, A_at_scan_points=np.array(matrices)))


def draw(experiments, **params):
    given = Experiments(experiments if isinstance(experiments, list) else [experiments])
    return spindle.run("plot_scan_varying_model", given, **{k.replace("__", "."): v for k, v in params.items()})


def table(result, key):
    return next(t for t in result.tables if t.key == key)


@pytest.mark.parametrize(
    "axes", [(X, Y, Z), (Z, X, Z), (X, Y, X), (np.array([0.6, 0.8, 0]), Z, np.array([0, 0.6, 0.8]))]
)
def test_three_turns_make_up_the_rotation(axes):
    rng = np.random.default_rng(1)
    angles = rng.uniform(-0.9, 0.9, (50, 3))
    Q = np.array(
        [rotation_matrix(axes[2], c) @ rotation_matrix(axes[1], b) @ rotation_matrix(axes[0], a) for a, b, c in angles]
    )
    found = three_turns(Q, *axes)
    again = np.array(
        [rotation_matrix(axes[2], c) @ rotation_matrix(axes[1], b) @ rotation_matrix(axes[0], a) for a, b, c in found]
    )
    np.testing.assert_allclose(again, Q, atol=1e-12)
    if np.array_equal(axes, (X, Y, Z)):
        np.testing.assert_allclose(found, angles, atol=1e-12)


def test_axes_that_do_not_reach_everything_give_no_number():
    slanted = np.array([np.sqrt(0.99), 0.1, 0.0])
    with pytest.raises(ValueError, match="parallel"):
        three_turns(np.eye(3)[None], X, X, Z)
    assert np.isnan(three_turns(rotation_matrix(Z, 1.5)[None], X, slanted, X)).any()


def test_orientations_are_those_of_the_crystals():
    crystal = Crystal.from_cell((40.0, 45.0, 52.0, 81.0, 96.0, 107.0), rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7))
    np.testing.assert_allclose(orientations(crystal.A[None])[0], crystal.U, atol=1e-12)


def test_changes_are_those_that_were_made():
    result = draw(moving(turns=(0.3, -0.2, 0.7)), output__debug=True)
    row = dict(zip(table(result, "model_ranges").headers, table(result, "model_ranges").rows[0], strict=True))
    assert float(row["a (%)"]) == pytest.approx(0.995, abs=0.002) and float(row["c (%)"]) == 0
    assert [float(row[f"phi{i} (deg)"]) for i in (1, 2, 3)] == [0.3, 0.2, 0.7]
    values = table(result, "values_phi1_0")
    assert [float(v) for v in values.rows[-1]] == pytest.approx([30.0, 0.3, -0.2, 0.7], abs=1e-6)
    assert [float(v) for v in table(result, "values_a_0").rows[0][1:4]] == pytest.approx([58, 58, 41], abs=1e-5)
    absolute = draw(moving(), orientation_decomposition__relative_to_static_orientation=False, output__debug=True)
    assert abs(float(table(absolute, "values_phi1_0").rows[0][1])) > 5


def test_the_path_of_the_beam():
    sweep = rotation_experiment(20)
    points = np.array([rotation_matrix(Y, 1e-3 * t) @ sweep.beam.s0 for t in np.linspace(0, 1, 21)])
    result = draw(replace(sweep, beam=replace(sweep.beam, s0_at_scan_points=points)), output__debug=True)
    assert [Path(f).name for f in result.files] == ["beam_centre.png"]
    row = table(result, "beam_ranges").rows[0]
    assert float(row[2]) == pytest.approx(110 * np.tan(1e-3) / 0.2, abs=1e-3) and float(row[3]) == 0


def test_deviations_from_the_covariance_of_B():
    """Of 4000 disturbed B; volume and angles included."""
    B = Crystal.from_cell((40.0, 45.0, 52.0, 81.0, 96.0, 107.0)).B
    rng = np.random.default_rng(0)
    root = np.tril(rng.normal(size=(9, 9))) * 2e-6
    cells = []
    for noise in rng.normal(size=(4000, 9)):
        crystal = Crystal(A=B + (root @ noise).reshape(3, 3))
        cells.append([*crystal.cell, crystal.volume])
    np.testing.assert_allclose(cell_deviations(B, root @ root.T), np.std(cells, axis=0), rtol=0.06)


@pytest.mark.parametrize("kind", ["png", "pdf"])
@pytest.mark.sampled(2)
def test_files(tmp_path, kind):
    one = moving(45)
    covariance = np.tile(np.eye(9) * 1e-14, (46, 1, 1)).reshape(46, 81).tolist()
    with_sd = replace(one, crystal=replace(one.crystal, extra={"B_covariance_at_scan_points": covariance}))
    beam = replace(one.beam, s0_at_scan_points=np.tile(one.beam.s0, (46, 1)))
    other = replace(moving(20, stretch=-0.005), identifier="other")
    result = draw(
        [replace(with_sd, beam=beam), rotation_experiment(5), other],
        output__format=kind,
        output__directory=str(tmp_path),
    )
    assert sorted(Path(f).name for f in result.files) == [
        f"{n}.{kind}" for n in ("beam_centre", "orientation", "unit_cell")
    ]
    for name, write in result.files.items():
        assert Path(name).parent == tmp_path / "scan-varying_model"
        path = tmp_path / Path(name).name
        write(path)
        first = path.read_bytes()
        assert first[:4] == (b"\x89PNG" if kind == "png" else b"%PDF")
        if path.stem == "beam_centre":
            write(path)
            assert path.read_bytes() == first, "equal figures are equal files"


def test_what_is_static_is_named_or_refused(caplog):
    static = rotation_experiment(5)
    with pytest.raises(UserError, match="no model of the experiments varies"):
        draw(static)
    with caplog.at_level("INFO"):
        draw([static, moving(10)])
    assert "experiments 0 (1 of 2)" in caplog.text
    draw(moving(10, turns=(0, 5.0, 0)))
    assert "turns by 5.0 degrees" in caplog.text


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match="give experiments"):
        spindle.run("plot_scan_varying_model")
    with pytest.raises(UserError, match="an axis has a length"):
        draw(moving(5), orientation_decomposition__e2=(0, 0, 0))
    with pytest.raises(UserError, match="parallel to the first"):
        draw(moving(5), orientation_decomposition__e2=(1, 0, 0))
    with pytest.raises(UserError, match="cannot be reached"):
        draw(
            moving(5, turns=(0, 0, 60)),
            orientation_decomposition__e2=(1, 0.1, 0),
            orientation_decomposition__e3=(1, 0, 0),
        )
    short = moving(5)
    short = replace(short, crystal=replace(short.crystal, A_at_scan_points=short.crystal.A_at_scan_points[:4]))
    with pytest.raises(UserError, match="has 4 scan points"):
        draw(short)
