"""Experiments are named after their images and models: equal inputs, equal names; other inputs, other names."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import spindle
from spindle.files import write_experiments, write_reflections
from spindle_lib_readers.testing.spot_images import render_spots, write_spot_sweep


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two sweeps of other pixels under one name, and a copy of the first."""
    top = tmp_path_factory.mktemp("images")
    for number in (1, 2):
        (top / str(number)).mkdir()
        write_spot_sweep(top / str(number), render_spots(seed=number)[0][:6])
    shutil.copytree(top / "1", top / "copy")
    return top


GEOMETRY = {"geometry.scan.oscillation": (0.0, 0.1), "geometry.goniometer.axis": (1.0, 0.0, 0.0)}


def names(*folders, **changes):
    files = [p for folder in folders for p in sorted(folder.glob("*.cbf"))]
    return [e.identifier for e in spindle.run("import", files=files, **GEOMETRY, **changes).experiments]


def test_equal_images_have_equal_names_wherever_they_lie(folders):
    (first,) = names(folders / "1")
    assert names(folders / "1") == [first] == names(folders / "copy")


def test_other_images_and_other_models_have_other_names(folders):
    different = [
        *names(folders / "1"),
        *names(folders / "2"),
        *names(folders / "1", **{"geometry.beam.wavelength": 1.2}),
        *names(folders / "1", **{"geometry.scan.image_range": (1, 3)}),
        *names(folders / "1", **{"geometry.convert_sequences_to_stills": True}),
    ]
    assert len(set(different)) == len(different) == 10


def test_two_sweeps_have_two_names_even_when_they_are_the_same(folders):
    both = names(folders / "1", folders / "copy")
    assert len(set(both)) == 2
    assert both == names(folders / "1", folders / "copy")


def test_lattices_of_a_repeated_run_are_the_same_bytes(folders, tmp_path):
    files = sorted((folders / "1").glob("*.cbf"))
    written = []
    for name in ("a", "b"):
        imported = spindle.run("import", files=files, **GEOMETRY)
        found = spindle.run("find_spots", imported.experiments)
        write_experiments(found.experiments, tmp_path / f"{name}.expt")
        write_reflections(found.reflections, tmp_path / f"{name}.refl")
        written.append([(tmp_path / f"{name}{end}").read_bytes() for end in (".expt", ".refl")])
    assert written[0] == written[1]
    assert len(found.reflections) > 5 and np.isfinite(found.reflections["xyzobs.px.value"]).all()
