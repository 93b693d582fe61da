"""Moving shadows, against points that are turned and projected one by one, and against rays that are asked for one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Beam, Detector, Experiment, Goniometer, ImageSet, Panel, Scan
from spindle.testing.dials import dials_python
from spindle_lib_masks.shadows import read_bodies, shadow_of

AXES = {
    "kappa": ([[1, 0, 0], [0.914, 0.279, -0.297], [1, 0, 0]], ["GON_PHI", "GON_KAPPA", "GON_OMEGA"]),
    "chi": ([[1, 0, 0], [0, 0, -1], [1, 0, 0]], ["GON_PHI", "GON_CHI", "GON_OMEGA"]),
}
SERIALS = {"mini-kappa": "60-0100", "SmarGon": "160-0001", "I23 kappa": "120-0100", "diamond anvil cell": "60-0104-1"}
KIND = {"mini-kappa": "kappa", "SmarGon": "chi", "I23 kappa": "kappa", "diamond anvil cell": "kappa"}


def experiment(name, angles=(10.0, 50.0, 0.0), how="Auto", distance=120.0, **changes):
    """Two panels above each other; images of 30 degrees."""
    panels = [
        Panel(
            fast_axis=[1, 0, 0], slow_axis=[0, -1, 0], origin=[-100.0, top, -distance], pixel_size=[0.8, 0.9], image_size=(250, 110),
            identifier=f"PILATUS, S/N {SERIALS.get(name, '')}",
        )
        for top in (100.0, 0.0)
    ]  # fmt: skip
    axes, names = AXES[KIND.get(name, "kappa")]
    given = {
        "beam": Beam([0, 0, 1], 1.0),
        "detector": Detector(panels),
        "goniometer": Goniometer.multi_axis(axes, list(angles), names, 2),
        "scan": Scan((1, 12), (0.0, 30.0)),
        "imageset": ImageSet(template="x_####.cbf", params={"dynamic_shadowing": how}),
    }
    return Experiment(**{**given, **changes})


def turned(axis, degrees, points):
    """Rodrigues' formula."""
    axis, a = np.asarray(axis, float) / np.linalg.norm(axis), np.radians(degrees)
    along = (points @ axis)[:, None] * axis
    return along + np.cos(a) * (points - along) + np.sin(a) * np.cross(axis, points)


def test_a_cone_shadows_what_is_within_its_angle():
    """The mini-kappa: every ray within 21.8 degrees of the phi axis, and none other."""
    e = experiment("mini-kappa", (10.0, 180.0, 0.0))
    shadow = shadow_of(e)
    assert shadow.names == ["mini-kappa"]
    seen = False
    for degrees in range(0, 360, 20):
        axis = np.array([[1.0, 0.0, 0.0]])
        for k, angle in ((1, 180.0), (2, degrees)):
            axis = turned(AXES["kappa"][0][k], angle, axis)
        if -axis[0, 2] < np.cos(np.radians(66)):
            continue  # only what is before the crystal is projected: all of the cone must be
        for k, polygons in enumerate(shadow.hulls(np.radians(degrees))):
            x, y = np.meshgrid(np.arange(250) + 0.5, np.arange(110) + 0.5)
            lab = e.detector.lab_coordinate_of_pixel(np.full(x.size, k), np.stack([x.ravel(), y.ravel()], axis=1))
            off = np.degrees(np.arccos(np.clip(lab @ axis[0] / np.linalg.norm(lab, axis=1), -1, 1)))
            polygon, invert = polygons[0]
            assert not invert
            inside = np.zeros(len(off), bool)
            if len(polygon):
                a, b = polygon, np.roll(polygon, -1, axis=0)
                p = np.stack([x.ravel(), y.ravel()], axis=1)[:, None]
                cross = (b[:, 0] - a[:, 0]) * (p[..., 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[..., 0] - a[:, 0])
                inside = np.all(cross >= 0, axis=1) | np.all(cross <= 0, axis=1)
            assert np.all(inside[off < 21.7]) and not inside[off > 21.9].any()
            seen |= inside.any()
    assert seen


def test_shadowed_pixels_are_those_within_the_hulls():
    shadow = shadow_of(experiment("SmarGon", (0.0, 30.0, 0.0), distance=25.0))
    total = 0
    for z in range(12):
        first, last = np.degrees(shadow.angles_of(z))
        assert (first, last) == pytest.approx((30.0 * z, 30.0 * (z + 1)))
        expected = [np.zeros((110, 250), bool) for _ in range(2)]
        x, y = np.meshgrid(np.arange(250) + 0.5, np.arange(110) + 0.5)
        for angle in (first, last):
            for k, polygons in enumerate(shadow.hulls(np.radians(angle))):
                for polygon, _ in polygons:
                    if not len(polygon):
                        continue
                    polygon = np.clip(polygon, -1e6, 1e6)
                    inside = np.ones(x.shape, bool)
                    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                        inside &= (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) >= 0
                    expected[k] |= inside
        for k, mask in enumerate(shadow.shadowed(z)):
            assert np.count_nonzero(mask != expected[k]) <= 2  # on the line
            total += np.count_nonzero(mask)
    assert total > 10_000


SCRIPT = """
import sys, json
from scitbx.array_family import flex
from dxtbx.model import MultiAxisGoniometer, Detector
from dxtbx.masking import GoniometerMaskerFactory as F
given = json.load(open(sys.argv[1]))
out = {}
for name, g in given["goniometers"].items():
    gonio = MultiAxisGoniometer(flex.vec3_double([tuple(map(float, a)) for a in g["axes"]]), flex.double(g["angles"]), flex.std_string(g["names"]), 2)
    masker = {"mini-kappa": F.mini_kappa, "SmarGon": F.smargon, "I23 kappa": F.dls_i23_kappa,
              "diamond anvil cell": lambda x: F.diamond_anvil_cell(x, 1.3264502315156905)}[name](gonio)
    out[name] = [list(masker.extrema_at_scan_angle(a)) for a in given["angles"]]
json.dump(out, open(sys.argv[2], "w"))
"""


def test_bodies_are_where_dxtbx_has_them(tmp_path):
    import json

    given = {"angles": [0.0, 37.0, 200.0], "goniometers": {}}
    for name, kind in KIND.items():
        axes, names = AXES[kind]
        given["goniometers"][name] = {"axes": axes, "angles": [10.0, 35.0, 0.0], "names": names}
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "given.json").write_text(json.dumps(given))
    dials_python("script.py", "given.json", "found.json", cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    for name, kind in KIND.items():
        axes = np.array(AXES[kind][0], float)
        axes /= np.linalg.norm(axes, axis=1)[:, None]
        parts = [body for body in read_bodies() if body.name == name]
        for angle, theirs in zip(given["angles"], found[name], strict=True):
            ours = np.concatenate([body.at(axes, np.radians([10.0, 35.0, angle])) for body in parts])
            theirs = np.array(theirs)
            away = np.linalg.norm(theirs[:, None] - ours[None], axis=2)
            assert away.min(axis=1).max() < 2e-4 and away.min(axis=0).max() < 2e-4, name


def test_openings_shadow_what_is_outside():
    masks = shadow_of(experiment("diamond anvil cell", (0.0, 0.0, 0.0), how=True)).shadowed(3)
    assert 0 < np.mean([m.mean() for m in masks]) <= 1
    assert shadow_of(experiment("diamond anvil cell")) is None


def test_which_goniometers_have_shadows():
    assert shadow_of(experiment("SmarGon", how=False)) is None
    assert shadow_of(experiment("another")) is None
    with pytest.raises(UserError, match="could be that of mini-kappa, I23 kappa"):
        shadow_of(experiment("another", how=True))
    one = replace(experiment("another", how=True), goniometer=Goniometer([1.0, 0.0, 0.0]))
    with pytest.raises(UserError, match="no shape that Spindle knows"):
        shadow_of(one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[shape]]\nname = 'a'\npoints = [[0, 0, 0], [1, 0, 0]]", "has 2 points"),
        ("[[shape]]\npoints = [[0, 0], [1, 0, 0]]", "points are"),
        ("[[shape]]\ncorners = []", "corners is not known"),
        ("nothing = 1", "holds no shape"),
        ("[[shape", "give a TOML file"),
        ("[[shape]]\naxis = 7\npoints = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]", "the goniometer has 3"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, text, message):
    path = tmp_path / "shapes.toml"
    path.write_text(text)
    images = ImageSet(template="x_####.cbf", params={"dynamic_shadowing": "Auto", "shadow": str(path)})
    with pytest.raises(UserError, match=message):
        shadow_of(experiment("another", imageset=images))
