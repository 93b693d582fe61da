"""A detector as a whole whose panels also move in their own planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner
from spindle_refiner_centroid.detector_groups import detector_groups

from spindle.models import Detector, Experiments
from spindle.testing.refiner import rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings


def quarters(moved_px=((0.0, 0.0, 0.0),) * 4):
    """An experiment whose detector is four panels, each moved along fast and slow (px) and turned about its middle (mrad)."""
    experiment = rotation_experiment()
    panel = experiment.detector[0]
    panels = []
    for (x, y), (dx, dy, turn) in zip([(0, 0), (310, 0), (0, 310), (310, 310)], moved_px, strict=True):
        size = panel.pixel_size
        f, s = panel.fast_axis, panel.slow_axis
        fast, slow = (
            np.cos(1e-3 * turn) * f + np.sin(1e-3 * turn) * s,
            np.cos(1e-3 * turn) * s - np.sin(1e-3 * turn) * f,
        )
        middle = panel.origin + size[0] * (x + 145 + dx) * f + size[1] * (y + 145 + dy) * s
        origin = middle - 145 * size[0] * fast - 145 * size[1] * slow
        panels.append(replace(panel, image_size=(290, 290), fast_axis=fast, slow_axis=slow, origin=origin))
    return replace(experiment, detector=Detector(tuple(panels)))


def test_derivatives_are_those_of_finite_differences():
    experiment = quarters(((0.3, 0.1, 1.0), (0, 0, 0), (-0.2, 0.4, -2.0), (0.1, 0, 0)))
    rng = np.random.default_rng(4)
    for k, (panels, parameters) in enumerate(detector_groups(experiment.detector, experiment.beam.s0, "modules", 0)):
        assert panels.tolist() == [k]
        np.testing.assert_allclose(
            parameters.compose(parameters.initial[None])[0][0, 0], experiment.detector.d[k], atol=1e-9
        )
        values = parameters.initial + rng.normal(0, 2.0, 9)
        derivative = parameters.compose(values[None])[1][0, 0]
        for j in range(9):
            step = np.zeros(9)
            step[j] = 1e-4
            up, down = (parameters.compose((values + sign * step)[None])[0][0, 0] for sign in (1, -1))
            np.testing.assert_allclose(derivative[j], (up - down) / 2e-4, atol=1e-7)


def test_panels_come_to_their_places_while_all_else_is_refined():
    moved = ((0.4, -0.3, 1.0), (-0.5, 0.2, -1.5), (0.1, 0.4, 0.5), (-0.2, -0.3, 2.0))
    truth = quarters(moved)
    given = replace(quarters(), crystal=truth.crystal)
    exact = spots_of(truth, 2.5)
    settings = plain_settings(parameterisation__detector__panels="modules", reflections__outlier__algorithm=None)
    result = CentroidRefiner().refine(Experiments([given]), exact, settings, False, "refinement")
    names = result.parameter_names
    assert sum("Panel" in name for name in names) == 9, "one of four panels is what the others are told from"
    assert names.count("Detector1Dist") == 1
    seen = result.reflections["xyzcal.px"] - exact["xyzobs.px.value"]
    assert np.abs(seen[:, :2]).max() < 2e-3
    normal = result.experiments[0].detector[0].normal
    for panel in result.experiments[0].detector:
        np.testing.assert_allclose(panel.normal, normal, atol=1e-9)


@pytest.mark.parametrize("held", [None, ("Panel2(Move|Turn)",)])
def test_fix_list_says_which_panel_stays(held):
    settings = plain_settings(
        parameterisation__detector__panels="modules", parameterisation__detector__fix_list=held,
        reflections__outlier__algorithm=None,
    )  # fmt: skip
    experiment = quarters()
    result = CentroidRefiner().refine(
        Experiments([experiment]), spots_of(experiment, 3.0), settings, False, "refinement"
    )
    own = {name[len("Detector1Panel") :][0] for name in result.parameter_names if "Panel" in name}
    assert len(own) == 3
    assert ("2" in own) == (held is None) or held is None
