"""Experiments cut to some of their images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.files import experiments_from_dict, experiments_to_dict
from spindle.models import Experiments, ImageSet, named_by_images, renamed, sliced
from spindle.testing.refiner import rotation_experiment


@pytest.fixture(scope="module")
def varying():
    """Images 1 to 10, everything that can vary with them varies; and another experiment with the same models."""
    one = rotation_experiment(10)
    scale = 1.0 + 1e-3 * np.arange(11)
    scan = replace(
        one.scan, exposure_times=np.arange(10.0), epochs=np.arange(10.0) + 100, valid_image_ranges={"a": [[1, 3], [6, 10]]},
        extra={"properties": {"oscillation": [0.0], "temperature": list(range(10))}},
    )  # fmt: skip
    covariances = np.arange(11.0)[:, None] * np.ones(81)
    first = replace(
        one, identifier="a", scan=scan,
        beam=replace(one.beam, s0_at_scan_points=one.beam.s0 * scale[:, None]),
        goniometer=replace(one.goniometer, setting_rotation_at_scan_points=np.tile(np.eye(3), (11, 1, 1))),
        crystal=replace(
            one.crystal, A_at_scan_points=one.crystal.A * scale[:, None, None],
            extra={"B_covariance_at_scan_points": covariances.ravel().tolist()},
        ),
        profile={"__id__": "gaussian_rs", "sigma_b": list(range(10)), "sigma_m": 0.1},
        imageset=ImageSet(template="x.h5", image_range=(1, 10), single_file_indices=tuple(range(10))),
    )  # fmt: skip
    return Experiments([first, replace(first, identifier="b")])


def test_everything_is_cut_to_the_same_images(varying):
    one, whole = sliced(varying, [(4, 6), None])
    assert whole is varying[1]
    assert one.scan.image_range == (4, 6) and one.scan.exposure_times.tolist() == [3, 4, 5]
    assert one.scan.epochs.tolist() == [103, 104, 105]
    assert np.isclose(one.scan.oscillation_deg[0], 3 * varying[0].scan.oscillation_deg[1])
    assert one.scan.valid_image_ranges == {"a": [[6, 6]]}
    assert one.scan.extra["properties"]["temperature"] == [3, 4, 5]
    assert np.array_equal(one.crystal.A_at_scan_points, varying[0].crystal.A_at_scan_points[3:7])
    assert np.array_equal(one.beam.s0_at_scan_points, varying[0].beam.s0_at_scan_points[3:7])
    assert len(one.goniometer.setting_rotation_at_scan_points) == 4
    assert np.unique(one.crystal.extra["B_covariance_at_scan_points"]).tolist() == [3, 4, 5, 6]
    assert one.profile["sigma_b"] == [3, 4, 5] and one.profile["sigma_m"] == 0.1
    assert one.imageset.image_range == (4, 6) and one.imageset.single_file_indices == (3, 4, 5)
    assert one.imageset.file_of_image(4) == ("x.h5", 3)


def test_what_is_shared_stays_shared(varying):
    one, two = sliced(varying, [(2, 5), (2, 5)])
    for name in ("scan", "crystal", "beam", "goniometer", "imageset", "profile", "detector"):
        assert getattr(one, name) is getattr(two, name)
    other, _ = sliced(varying, [(2, 5), (3, 6)])
    assert other.crystal is not one.crystal


def test_a_single_image_keeps_its_width_in_files(varying):
    (one,) = sliced(varying[:1], [(7, 7)])
    (back,) = experiments_from_dict(experiments_to_dict(Experiments([one])))
    assert back.scan.oscillation_deg == pytest.approx(one.scan.oscillation_deg) and not back.is_still
    assert len(back.crystal.A_at_scan_points) == 2


def test_images_that_are_not_there_are_refused(varying):
    with pytest.raises(ModelError, match="images 5 to 11 are not within"):
        sliced(varying, [(5, 11), None])
    with pytest.raises(ModelError, match="has no scan"):
        sliced([replace(varying[0], scan=None)], [(1, 2)])


def test_pieces_are_called_after_their_images_and_the_whole_keeps_its_name(varying):
    cut = named_by_images(sliced(varying, [(4, 8), (4, 8)]), varying)
    assert len({"a", "b", *(e.identifier for e in cut)}) == 4 and cut[0].scan is cut[1].scan
    assert cut[0].scan.valid_image_ranges == {cut[0].identifier: [[6, 8]]}
    again = named_by_images(sliced(varying[:1], [(4, 8)]), varying[:1])
    assert again[0].identifier == cut[0].identifier
    other = named_by_images(sliced(varying[:1], [(1, 3)]), varying[:1])
    assert other[0].identifier not in (cut[0].identifier, "a")
    assert named_by_images(sliced(varying, [(1, 10), None]), varying).identifiers == varying.identifiers
    nameless = renamed(varying, ["", ""])
    assert len(set(named_by_images(sliced(nameless, [(1, 2), (1, 2)]), nameless).identifiers.values())) == 2


def test_valid_images_follow_new_names(varying):
    both = renamed(varying, ["b", "c"])
    assert both.identifiers == {0: "b", 1: "c"} and both[0].scan is both[1].scan
    assert both[0].scan.valid_image_ranges == {"b": [[1, 3], [6, 10]]}
    assert renamed(varying, ["a", "b"])[0] is varying[0]
