"""`spindle stereographic_projection`: places from trigonometry, symmetry mates, frames, several crystals, files, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_program_stereographic_projection.poles import equivalent_planes, planes_up_to, smallest_difference

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments, Goniometer, Scan
from spindle.symmetry import rotations
from spindle.testing import PluginContract
from spindle.testing.refinement_problems import rotation_experiment

X, Y, Z = np.eye(3)


class TestStereographicProjectionPlugin(PluginContract):
    slot = "program"
    name = "stereographic_projection"


def sweep_of(crystal, identifier="a", **changes):
    """Rotation about x, beam along -z."""
    return replace(rotation_experiment(5), crystal=crystal, identifier=identifier, **changes)


CUBIC = Crystal.from_cell((50.0, 50.0, 50.0, 90, 90, 90), None, "P 4 3 2")
HEXAGONAL = Crystal.from_cell((50.0, 50.0, 80.0, 90, 90, 120), None, "P 6")


def project(tmp_path, experiments, **params):
    given = Experiments(experiments if isinstance(experiments, list) else [experiments])
    names = {"plot.filename": None, **{k.replace("__", "."): v for k, v in params.items()}}
    result = spindle.run("stereographic_projection", given, **names)
    for name, write in result.files.items():
        write(tmp_path / Path(name).name)
    return result


def places(tmp_path, experiments, **params):
    """x, y by (crystal, h, k, l)."""
    project(tmp_path, experiments, **params)
    lines = (tmp_path / "projections.txt").read_text().splitlines()
    assert lines[0] == "crystal h k l x y"
    rows = [line.split() for line in lines[1:]]
    return {tuple(map(int, r[:4])): (float(r[4]), float(r[5])) for r in rows}


def test_directions_in_the_laboratory(tmp_path):
    """A cubic crystal along the axes: a* is the rotation axis and up, c* is the beam, b* to one side; 45 degrees is tan 22.5."""
    found = places(
        tmp_path, sweep_of(CUBIC), hkl=[(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (2, 0, 2)], expand_to_p1=False
    )
    t = np.tan(np.radians(22.5))
    assert found[1, 1, 0, 0] == pytest.approx((0, 1), abs=1e-6)
    assert found[1, 0, 0, 1] == pytest.approx((0, 0), abs=1e-6)
    assert found[1, 0, 1, 0] == pytest.approx((-1, 0), abs=1e-6)
    assert np.abs(found[1, 1, 0, 1]) == pytest.approx((0, t), abs=1e-6)
    assert len(found) == 4, "2 0 2 is 1 0 1"


def test_the_goniometer_turns_the_crystal(tmp_path):
    """Fixed rotation and setting rotation count, too; a turn of 90 degrees about x takes b* into the beam."""
    sweep = sweep_of(CUBIC, scan=Scan((1, 5), (30.0, 1.0)))
    found = places(tmp_path, sweep, hkl=[(0, 1, 0)], expand_to_p1=False, phi_angle=90)
    assert found[1, 0, 1, 0] == pytest.approx((0, 0), abs=1e-6)
    found = places(tmp_path, sweep, hkl=[(0, 0, 1)], expand_to_p1=False, use_starting_angle=True)
    assert np.hypot(*found[1, 0, 0, 1]) == pytest.approx(np.tan(np.radians(15)), abs=1e-6)
    tilted = replace(sweep, goniometer=Goniometer(X, fixed_rotation=rotation_matrix(X, np.pi / 2)))
    found = places(tmp_path, tilted, hkl=[(0, 1, 0)], expand_to_p1=False)
    assert found[1, 0, 1, 0] == pytest.approx((0, 0), abs=1e-6)
    still = replace(sweep, goniometer=None, scan=None)
    assert places(tmp_path, still, hkl=[(0, 0, 1)], expand_to_p1=False)[1, 0, 0, 1] == pytest.approx((0, 0), abs=1e-6)


def test_symmetry_mates_without_opposite_ones():
    assert equivalent_planes([(-1, 0, 0)], CUBIC, True, False).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert equivalent_planes([(1, 0, 0)], HEXAGONAL, True, False).tolist() == [[0, 1, 0], [1, -1, 0], [1, 0, 0]]
    monoclinic = Crystal.from_cell((40, 50, 60, 90, 100, 90), None, "P 1 c 1")
    mates = {tuple(h) for h in equivalent_planes([(1, 2, 3)], monoclinic, True, False).tolist()}
    assert mates == {(1, 2, 3), (1, -2, 3)}, "the mirror followed by the inversion"
    assert equivalent_planes([(0, 2, 0), (0, 0, 3), (4, 0, 2)], CUBIC, False, False).tolist() == [
        [0, 0, 1],
        [0, 1, 0],
        [2, 0, 1],
    ]
    screw = Crystal.from_cell((40, 50, 60, 90, 90, 90), None, "P 21 21 21")
    assert equivalent_planes([(3, 0, 0), (2, 0, 0), (1, 1, 0)], screw, False, True).tolist() == [[1, 0, 0], [1, 1, 0]]
    assert len(planes_up_to(2)) == 62


def test_the_crystal_frame_looks_along_a_lattice_vector(tmp_path):
    """Seen along [001], c* of a monoclinic crystal is off the centre by beta - 90; along [100] of a hexagonal one 1 0 0 is by 30."""
    monoclinic = Crystal.from_cell((40, 50, 60, 90, 100, 90), rotation_matrix(Y, 1.0), "P 2")
    found = places(tmp_path, sweep_of(monoclinic), hkl=[(0, 0, 1), (0, 1, 0)], frame="crystal", expand_to_p1=False)
    assert np.hypot(*found[1, 0, 0, 1]) == pytest.approx(np.tan(np.radians(5)), abs=1e-6)
    assert np.hypot(*found[1, 0, 1, 0]) == pytest.approx(1.0, abs=1e-6)
    found = places(
        tmp_path, sweep_of(HEXAGONAL), hkl=[(1, 0, 0)], frame="crystal", plane_normal=(1, 0, 0), expand_to_p1=False
    )
    assert np.hypot(*found[1, 1, 0, 0]) == pytest.approx(np.tan(np.radians(15)), abs=1e-6)


def test_other_crystals_are_turned_by_the_least_difference(tmp_path):
    """Two descriptions of one orientation by symmetry fall on each other; a turn of 4 degrees stays one."""
    U = rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7)
    first = Crystal(A=U @ HEXAGONAL.B, hall=HEXAGONAL.hall)
    turned = rotation_matrix(U @ np.array([0.0, 0.6, 0.8]), np.radians(4)) @ U
    six = rotations(HEXAGONAL.space_group)[1]
    same, other = (Crystal(A=V @ HEXAGONAL.B @ six.T, hall=HEXAGONAL.hall) for V in (U, turned))
    np.testing.assert_allclose(smallest_difference(first, same), np.eye(3), atol=1e-12)
    expected = rotation_matrix(np.array([0.0, 0.6, 0.8]), np.radians(4))
    np.testing.assert_allclose(smallest_difference(first, other), expected, atol=1e-12)
    found = places(
        tmp_path, [sweep_of(first), sweep_of(same, "b"), sweep_of(other, "c")], hkl=[(0, 0, 1)], frame="crystal"
    )
    assert found[1, 0, 0, 1] == pytest.approx((0, 0), abs=1e-6)
    assert found[2, 0, 0, 1] == pytest.approx((0, 0), abs=1e-6)
    assert np.hypot(*found[3, 0, 0, 1]) == pytest.approx(np.tan(0.5 * np.arccos(expected[2, 2])), abs=1e-6)


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_pictures(tmp_path, suffix):
    sweeps = [sweep_of(CUBIC), sweep_of(HEXAGONAL, "b")]
    name = str(tmp_path / f"a.{suffix}")
    project(
        tmp_path,
        sweeps,
        hkl=[(1, 0, 0), (1, 1, 1)],
        plot__filename=name,
        plot__label_indices=True,
        plot__labels=("one", "two"),
    )
    assert (tmp_path / f"a.{suffix}").read_bytes()[:4] == (b"\x89PNG" if suffix == "png" else b"%PDF")


def test_colours_and_densities(tmp_path):
    from spindle_program_stereographic_projection.picture import _colours

    sweeps = Experiments([sweep_of(CUBIC), sweep_of(CUBIC, "b"), sweep_of(CUBIC, "c")])
    plot = type("Plot", (), {"colours": ("red", "blue"), "colour_map": None})
    assert _colours(3, sweeps, plot) == ["red", "blue", "red"]
    plot = type("Plot", (), {"colours": None, "colour_map": "viridis"})
    by_turn = _colours(3, sweeps, plot)
    assert by_turn[0] != by_turn[1] != by_turn[2]
    late = replace(sweeps[0], scan=Scan((1, 5), (0.0, 1.0), epochs=np.full(5, 100.0)))
    assert _colours(3, Experiments([late, *sweeps[1:]]), plot) == [by_turn[2], by_turn[0], by_turn[0]]
    project(tmp_path, list(sweeps), hkl_limit=2, plot__gridsize=20, plot__filename=str(tmp_path / "b.png"))
    assert (tmp_path / "b.png").stat().st_size > 10_000


def test_the_json_file_is_a_figure(tmp_path):
    import plotly.graph_objects as go

    project(tmp_path, [sweep_of(CUBIC), sweep_of(CUBIC, "b")], hkl=[(1, 0, 0)], json__filename=str(tmp_path / "a.json"))
    content = json.loads((tmp_path / "a.json").read_text())
    figure = go.Figure(content)
    assert len(figure.data) == 3 and len(figure.data[0].x) == 3
    assert figure.data[1].hovertext[0].startswith("crystal 2: ")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give either hkl="),
        ({"hkl": [(1, 0, 0)], "hkl_limit": 2}, "give either hkl="),
        ({"hkl": [(0, 0, 0)]}, "is no plane"),
        ({"hkl": [(1, 0, 0)], "plot__labels": ("a", "b")}, "2 names for 1 crystals"),
        ({"hkl": [(1, 0, 0)], "frame": "crystal", "phi_angle": 3}, "leave them out with frame=crystal"),
        ({"hkl": [(1, 0, 0)], "plane_normal": (1, 0, 0)}, "is for frame=crystal"),
        ({"hkl": [(1, 0, 0)], "frame": "crystal", "plane_normal": (0, 0, 0)}, "no direction"),
        ({"hkl": [(1, 0, 0)], "save_coordinates": False}, "nothing to write"),
        ({"hkl": [(1, 0, 0)], "plot__filename": "a.gif"}, "figures are saved as"),
        ({"hkl": [(1, 0, 0)], "plot__filename": "a.png", "plot__colours": ("rod",)}, "no colour"),
        ({"hkl": [(1, 0, 0)], "plot__filename": "a.png", "plot__colour_map": "sky"}, "no such map"),
        (
            {"hkl": [(1, 0, 0)], "plot__filename": "a.png", "plot__colour_map": "jet", "plot__colours": ("red",)},
            "one of them",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, params, words):
    with pytest.raises(UserError, match=words):
        project(tmp_path, sweep_of(CUBIC), **params)


def test_inputs_that_do_not_do_are_refused(tmp_path):
    with pytest.raises(UserError, match="give experiments"):
        spindle.run("stereographic_projection", hkl=[(1, 0, 0)])
    with pytest.raises(UserError, match="has no crystal"):
        project(tmp_path, sweep_of(None), hkl=[(1, 0, 0)])
    screw = Crystal.from_cell((40, 50, 60, 90, 90, 90), None, "P 21 21 21")
    with pytest.raises(UserError, match="absent by symmetry"):
        project(tmp_path, sweep_of(screw), hkl=[(1, 0, 0)], eliminate_sys_absent=True)
