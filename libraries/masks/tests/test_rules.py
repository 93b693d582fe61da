"""Masks that users ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import ParameterError
from spindle.models import Detector
from spindle.params.resolve import make
from spindle.testing.threshold import threshold_beam, threshold_panel
from spindle_lib_masks.rules import MaskingParams, generate_masks, masked_by_rule, resolution_map

DETECTOR = Detector([threshold_panel(120, 80)])
BEAM = threshold_beam()


def masks(**values):
    return generate_masks(make(MaskingParams, **values), DETECTOR, BEAM)


def test_nothing_asked_for_is_no_mask():
    assert masks() is None


def test_border_is_masked():
    (good,) = masks(border=3)
    assert good[3:-3, 3:-3].all()
    assert good.sum() == (120 - 6) * (80 - 6)


def test_resolution_is_that_of_braggs_law():
    # Flat detector at 100 mm, 0.172 mm pixels, beam in the middle, 1 angstrom: d = 1 / (2 sin(atan(r / 100) / 2)).
    d = resolution_map(DETECTOR, 0, BEAM)
    y, x = np.mgrid[:80, :120]
    r = 0.172 * np.hypot(x + 0.5 - 60, y + 0.5 - 40)
    assert np.allclose(d, 1 / (2 * np.sin(np.arctan(r / 100) / 2)), rtol=1e-9)


def test_resolution_limits():
    d = resolution_map(DETECTOR, 0, BEAM)
    assert np.array_equal(masks(d_min=15)[0], d > 15)
    assert np.array_equal(masks(d_max=40)[0], d < 40)
    assert np.array_equal(
        masks(resolution_range=[(20, 15), (40, 50)])[0], ~(((d >= 15) & (d <= 20)) | ((d >= 40) & (d <= 50)))
    )


def test_masks_of_an_equal_detector_are_the_same_and_may_be_changed(monkeypatch):
    first = masks(d_min=15)
    first[0][:] = False
    twin = Detector([threshold_panel(120, 80)])
    monkeypatch.setattr("spindle_lib_masks.rules.resolution_map", None)  # nothing is computed again
    (again,) = generate_masks(make(MaskingParams, d_min=15), twin, threshold_beam())
    assert again.any()
    monkeypatch.undo()
    (farther,) = generate_masks(make(MaskingParams, d_min=15), twin, replace(BEAM, wavelength=1.1))
    assert farther.sum() > again.sum()


def test_untrusted_shapes():
    params = MaskingParams()
    shape = type(params._scopes["untrusted"])
    good = np.ones((80, 120), np.bool_)

    def mask_of(**values):
        return generate_masks(params.changed(untrusted=[shape(**values)]), DETECTOR, BEAM)[0]

    good[20:30, 5:10] = False
    assert np.array_equal(mask_of(rectangle=(5, 10, 20, 30)), good)
    assert np.array_equal(mask_of(polygon=(5, 20, 10, 20, 10, 30, 5, 30)), good)
    assert np.argwhere(~mask_of(pixel=(7, 11))).tolist() == [[7, 11]]
    circle = ~mask_of(circle=(50, 40, 10))
    assert abs(circle.sum() - np.pi * 100) < 10
    assert np.argwhere(circle).mean(axis=0) == pytest.approx([40, 50])
    with pytest.raises(ParameterError, match="mask every pixel"):
        mask_of(panel=0)
    with pytest.raises(ParameterError, match="panel=3: the detector has 1 panels"):
        mask_of(panel=3)
    with pytest.raises(ParameterError, match="order is x0,x1,y0,y1"):
        mask_of(rectangle=(10, 5, 20, 30))


def test_ice_rings_are_masked():
    d = resolution_map(DETECTOR, 0, BEAM)
    # A cell whose (100) ring at 20 angstrom lies on this detector.
    (good,) = masks(
        **{
            "ice_rings.filter": True,
            "ice_rings.unit_cell": (20, 20, 20, 90, 90, 90),
            "ice_rings.space_group": "P1",
            "ice_rings.width": 2e-4,
            "ice_rings.d_min": 17,
        }
    )
    assert np.array_equal(good, np.abs(1 / d**2 - 1 / 400) >= 1e-4)


def test_each_rule_tells_what_it_masks():
    params = make(MaskingParams, border=3, d_min=15, resolution_range=[(20, 15), (40, 50)])
    found = {rule: masked for rule, _, masked in masked_by_rule(params, DETECTOR, BEAM)}
    assert list(found) == ["border", "d_min", "resolution_range[0]", "resolution_range[1]"]
    d = resolution_map(DETECTOR, 0, BEAM)
    assert np.array_equal(found["resolution_range[1]"], (d >= 40) & (d <= 50))
    together = np.logical_or.reduce(list(found.values()))
    assert np.array_equal(generate_masks(params, DETECTOR, BEAM)[0], ~together)


def test_border_wider_than_a_panel_masks_all_of_it():
    with pytest.raises(ParameterError, match="mask every pixel"):
        masks(border=40)
