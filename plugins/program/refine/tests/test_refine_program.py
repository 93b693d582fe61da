"""The program refine around a refiner: static and varying models, what is refused, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.params import walk
from spindle.table import Flag
from spindle.testing import shared_data
from spindle.testing.refinement_problems import disturbed, rotation_experiment, spots_of, with_noise
from spindle_lib_refinement.testing import plain_settings
from spindle_lib_refinement.varying_models import changed_for_varying_models

NOISE = np.full(3, 0.1)  # pixels, pixels, images


def test_program_refines_static_then_varying() -> None:
    truth = rotation_experiment()
    result = spindle.run(
        "refine",
        Experiments([disturbed(truth)]),
        with_noise(spots_of(truth), noise=NOISE),
        **{"outlier.algorithm": "tukey"},
    )
    crystal = result.experiments[0].crystal
    assert crystal.A_at_scan_points.shape == (91, 3, 3)
    assert crystal.cell[:3] == pytest.approx([58.0, 58.0, 41.0], rel=1e-3)
    assert max(result.summary["rmsd_px"][0]) < 0.2
    keys = [t.key for t in result.tables]
    assert keys.count("refinement_steps") == 2 and "rmsd_by_experiment" in keys


def test_program_keeps_crystals_constant_when_spots_are_few() -> None:
    truth = rotation_experiment(20)
    spots = with_noise(spots_of(truth, 3.5), noise=NOISE)
    few = spots.select(np.sort(np.random.default_rng(0).choice(len(spots), 50, replace=False)))
    result = spindle.run("refine", Experiments([truth]), few, **{"outlier.algorithm": "null"})
    assert result.experiments[0].crystal.A_at_scan_points is None
    forced = spindle.run("refine", Experiments([truth]), few, **{"outlier.algorithm": "null", "scan_varying": True})
    assert forced.experiments[0].crystal.A_at_scan_points is not None


@pytest.mark.parametrize(
    ("name", "value", "scan_varying"),
    [
        ("orientation.smoother.interval_width_degrees", 9, False),
        ("goniometer.smoother.absolute_num_intervals", 3, False),
        ("crystal.unit_cell.force_static", True, False),
        ("trim_scan_to_observations", False, False),
        ("compose_model_per", "image", False),
        ("n_static_macrocycles", 2, True),
    ],
)
def test_program_refuses_what_would_have_no_effect(name: str, value: Any, scan_varying: bool) -> None:
    truth = rotation_experiment(20)
    changes = {"outlier.algorithm": "null", "scan_varying": scan_varying, name: value}
    with pytest.raises(ParameterError, match=rf"{name}={value}: .* constant"):
        spindle.run("refine", Experiments([truth]), spots_of(truth, 3.5), **changes)


def test_parameters_of_varying_models_are_all_that_say_so() -> None:
    """Each model has three, and four are for all models."""
    settings = plain_settings()
    for entry in walk(settings.parameterisation):
        if "smoother." in entry.path or entry.name == "force_static":
            value: Any = not entry.value if entry.name == "force_static" else 7
            settings = settings.changed({f"parameterisation.{entry.path}": value})
    assert len(changed_for_varying_models(settings)) == 3 * 5
    settings = settings.changed(
        parameterisation__compose_model_per="image",
        parameterisation__block_width=2.0,
        parameterisation__set_scan_varying_errors=True,
        parameterisation__trim_scan_to_observations=False,
    )
    assert len(changed_for_varying_models(settings)) == 3 * 5 + 4


def test_program_trims_the_scan_to_its_spots() -> None:
    truth = rotation_experiment()
    spots = spots_of(truth)
    z = spots["xyzobs.px.value"][:, 2]
    result = spindle.run(
        "refine",
        Experiments([truth]),
        with_noise(spots.select((z > 20) & (z < 60)), noise=NOISE),
        **{"outlier.algorithm": "null"},
    )
    first, last = result.experiments[0].scan.image_range
    assert (first, last) == (20, 61)  # half a degree beyond the centroids
    assert result.experiments[0].crystal.A_at_scan_points.shape == (last - first + 2, 3, 3)
    assert result.experiments[0].scan.oscillation_deg[0] == pytest.approx(19.0)


def test_program_writes_what_is_asked_for(tmp_path: Path) -> None:
    truth = rotation_experiment(40)
    result = spindle.run(
        "refine",
        Experiments([truth]),
        with_noise(spots_of(truth, 3.5), noise=NOISE),
        **{
            "outlier.algorithm": "null",
            "output.history": "h.json",
            "output.parameter_table": "p.txt",
            "output.centroids": "c.txt",
            "output.correlation_plot.filename": "r.json",
            "output.correlation_plot.steps": (0, 1),
            "scan_varying": False,
        },
    )
    assert {"h.json", "p.txt", "c.txt", "r_0.json", "r_1.json"} <= set(map(str, result.files))
    for name, writer in result.files.items():
        writer(tmp_path / str(name))
    history = json.loads((tmp_path / "h.json").read_text())
    assert len(history["macrocycles"][0]["steps"]) >= 2
    matrix = np.array(json.loads((tmp_path / "r_0.json").read_text())["correlation"])
    assert np.diag(matrix) == pytest.approx(1.0)
    assert "Detector1Tau3" in (tmp_path / "p.txt").read_text()
    used = result.reflections.has_flags(Flag.USED_IN_REFINEMENT).sum()
    assert len((tmp_path / "c.txt").read_text().splitlines()) == used + 1
    with pytest.raises(ParameterError, match=r"only \.html"):
        spindle.run(
            "refine",
            Experiments([truth]),
            with_noise(spots_of(truth, 3.5), noise=NOISE),
            **{"outlier.algorithm": "null", "output.correlation_plot.filename": "r.png", "scan_varying": False},
        )


def test_program_stops_when_the_models_do_not_describe_the_spots() -> None:
    truth = rotation_experiment()
    spots = with_noise(spots_of(truth), noise=np.array([40.0, 40.0, 0.1]))
    box = np.zeros((len(spots), 6), dtype=np.int32)
    box[:, 1::2] = 5
    spots["bbox"] = box
    with pytest.raises(UserError, match="wrong rotation axis"):
        spindle.run("refine", Experiments([truth]), spots, **{"outlier.algorithm": "null"})


def test_program_needs_both_files() -> None:
    with pytest.raises(UserError, match="no reflections"):
        spindle.run("refine", Experiments([rotation_experiment()]), None)


def test_quartz_rmsds_agree_with_dials() -> None:
    data = shared_data("dials_processed") / "quartz_processed"
    result = spindle.run(
        "refine",
        read_experiments(data / "indexed.expt"),
        read_reflections(data / "indexed.refl"),
        scan_varying=False,
        scan_margin=0.0,
    )
    # dials.refine 3.12.1 with default parameters, which take spots at the ends of the scan, after its static macrocycle.
    assert result.summary["rmsd_px"][0] == pytest.approx([0.91586, 1.2345, 0.20142], rel=0.02)
