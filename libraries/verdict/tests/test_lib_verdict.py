"""Facts and how they are judged."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from spindle.models import Experiments
from spindle.symmetry import unique_indices
from spindle.table import ReflectionTable
from spindle.testing.refinement_problems import rotation_experiment
from spindle_lib_merging import merging_statistics
from spindle_lib_spots.blanks_and_ice import ice_fraction
from spindle_lib_verdict import (
    COLOURS,
    LIMITS,
    Facts,
    Line,
    Verdict,
    facts_of_spots,
    facts_of_statistics,
    facts_of_steps,
    judge,
    limits_table,
)
from spindle_lib_verdict.from_data import decay_of

GOOD = Facts(
    n_images=90, n_blank_images=0, n_lost_images=0, n_spots=20000, ice_fraction=0.0, fraction_indexed=0.98, n_lattices=1, rmsd_px=0.2,
    rmsd_images=0.3, space_group="P 43 21 2", laue_group_probability=0.99, undecided="", is_twinned=False, mean_abs_l=0.49, d_min=1.7,
    suggested_d_min=1.7, completeness=0.99, multiplicity=6.0, r_meas_low=0.03, cc_half=0.998, cc_half_critical=0.02, i_over_sigma=15.0,
    best_i_over_sigma=50.0, largest_i_over_sigma=35.0, sigma_factor=1.2, decay_b=0.8,
)  # fmt: skip

#: For each fact, a value that must not stay green, and the colour it gets.
BAD = [
    ("failed", "index: no lattice was found", "red"), ("problems", ("scale: nothing adds up",), "red"), ("n_blank_images", 10, "amber"),
    ("n_blank_images", 60, "red"), ("n_lost_images", 1, "amber"), ("n_lost_images", 40, "red"),
    ("n_left_out_images", 1, "amber"), ("n_left_out_images", 60, "red"), ("n_spots", 0, "red"),
    ("ice_fraction", 0.1, "amber"), ("ice_fraction", 0.7, "red"), ("fraction_indexed", 0.4, "amber"), ("fraction_indexed", 0.1, "red"),
    ("n_lattices", 2, "amber"), ("further_fraction", 0.4, "amber"), ("rmsd_px", 1.5, "amber"), ("rmsd_px", 4.0, "red"), ("rmsd_images", 2.0, "amber"), ("rmsd_images", 9.0, "red"),
    ("laue_group_probability", 0.7, "amber"), ("laue_group_probability", 0.12, "red"), ("undecided", "two groups are as likely", "red"),
    ("contradiction", "P 4 has CC 0.1", "red"), ("screw_axes", "21b is not measured", "amber"), ("is_twinned", True, "amber"), ("twin_law", "h,-k,-l", "amber"),
    ("missed_centring", "a vector of the lattice", "amber"), ("d_min", 4.0, "amber"), ("suggested_d_min", 2.2, "amber"),
    ("completeness", 0.8, "amber"), ("completeness", 0.3, "red"), ("multiplicity", 1.2, "amber"), ("r_meas_low", 0.2, "amber"),
    ("r_meas_low", 0.6, "red"), ("cc_half", 0.7, "amber"), ("cc_half", 0.01, "red"), ("best_i_over_sigma", 2.0, "amber"),
    ("best_i_over_sigma", 0.1, "red"), ("largest_i_over_sigma", 6.0, "amber"), ("largest_i_over_sigma", 2.0, "red"),
    ("sigma_factor", 5.0, "amber"), ("sigma_factor", 3656.0, "red"), ("decay_b", 9.0, "amber"),
]  # fmt: skip


def test_good_facts_are_green_and_need_nothing() -> None:
    verdict = judge(GOOD)
    assert verdict.colour == "green" and verdict.next_step == "" and len(verdict.lines) >= 12
    assert all(line.reason == "" and line.next_step == "" for line in verdict.lines)


@pytest.mark.parametrize(("fact", "value", "colour"), BAD)
def test_one_bad_fact_colours_the_verdict_with_a_reason_and_a_next_step(fact: str, value: Any, colour: str) -> None:
    known = GOOD.as_dict()
    if fact in ("d_min", "suggested_d_min"):
        known["suggested_d_min"] = 1.0
    verdict = judge(Facts(**{**known, fact: value}))
    assert verdict.colour == colour
    worst = verdict.of(colour)
    assert len(worst) == 1 and worst[0].said and worst[0].reason and worst[0].next_step
    assert verdict.lines[0] == worst[0] and verdict.next_step == worst[0].next_step


def test_images_that_cannot_be_read_are_named() -> None:
    damaged = [{"path": f"/data/im_{i}.cbf", "reason": "the file is cut short"} for i in range(5)]
    facts = facts_of_steps({"import": {"n_images": 85, "n_left_out_images": 5, "left_out_images": damaged}})
    verdict = judge(facts)
    assert verdict.colour == "amber" and Facts.from_dict(facts.as_dict()) == facts
    assert verdict.lines[0].said == (
        "5 of 90 images cannot be read and are left out: im_0.cbf, im_1.cbf, im_2.cbf and 2 more"
    )
    assert not judge(facts_of_steps({"import": {"n_images": 9, "n_left_out_images": 0, "left_out_images": []}})).lines


def test_what_is_not_known_is_not_spoken_of_and_is_not_green() -> None:
    assert judge(Facts()).lines == () and judge(Facts()).colour == "amber"
    topics = {line.topic for line in judge(Facts(completeness=0.99)).lines}
    assert topics == {"completeness"}


def test_hopeless_data_are_red_for_every_reason() -> None:
    facts = Facts(
        laue_group_probability=0.12, undecided="the best Laue group has a probability of only 0.12", space_group="P 1", i_over_sigma=0.1,
        best_i_over_sigma=0.3, sigma_factor=3656.0, cc_half=0.02, cc_half_critical=0.05,
    )  # fmt: skip
    verdict = judge(facts)
    assert verdict.colour == "red"
    assert {line.topic for line in verdict.of("red")} == {"symmetry", "signal", "agreement", "errors"}
    assert "P 1" in verdict.text() and "3656" in verdict.text()


def test_a_value_at_its_limit_is_still_good() -> None:
    for limit in LIMITS.values():
        if limit.amber is not None:
            assert limit.colour(limit.amber) == "green"
        if limit.red is not None:
            assert limit.colour(limit.red) == ("green" if limit.amber == limit.red else "amber")


def test_limits_are_in_order_and_have_sources() -> None:
    for limit in LIMITS.values():
        assert limit.source
        if limit.amber is not None and limit.red is not None:
            assert (limit.red < limit.amber) == limit.high_is_good
    assert len(limits_table().rows) == len(LIMITS)


def test_verdict_and_facts_go_through_json() -> None:
    facts = Facts(**{**GOOD.as_dict(), "n_lattices": 3, "lost_images": ("0:3:5",), "n_lost_images": 3})
    verdict = judge(facts)
    assert Verdict.from_dict(json.loads(json.dumps(verdict.as_dict()))) == verdict
    again = Facts.from_dict({**json.loads(json.dumps(facts.as_dict())), "of_a_later_version": 1})
    assert again == facts
    assert "exclude_images=0:3:5" in verdict.text()


def test_later_facts_stand_before_earlier_ones_and_unknown_ones_do_not() -> None:
    assert Facts(d_min=2.0, cc_half=0.9).with_more(Facts(d_min=1.8)) == Facts(d_min=1.8, cc_half=0.9)
    assert Facts(cc_half=float("nan")).cc_half is None


def test_problems_are_told_only_where_nothing_else_is_red() -> None:
    known = {**GOOD.as_dict(), "problems": ("merge: the mean I/sigma is 0.1",)}
    assert [line.topic for line in judge(Facts(**known)).of("red")] == ["run"]
    assert [line.topic for line in judge(Facts(**{**known, "best_i_over_sigma": 0.1})).of("red")] == ["signal"]


def test_verdicts_are_as_bad_as_their_worst_line() -> None:
    for colour in COLOURS:
        assert Verdict((Line("green", "a", "b"), Line(colour, "a", "b"))).colour == colour


def test_facts_of_steps_take_what_the_summaries_say() -> None:
    steps = {
        "import": {"n_images": 180},
        "find_spots": {"n_spots": 45127, "n_images": 180},
        "index": {"fraction_indexed": 0.9, "n_lattices": 1, "rmsd_x": 0.5, "rmsd_y": 0.4, "rmsd_z": 0.3, "space_group": "P 1"},
        "refine": {"rmsd_px": [[0.1, 0.2, 0.3], [0.1, 0.1, 0.9]]},
        "integrate": {"d_min": 1.2, "lost_images": [{"experiment": 0, "first": 3, "last": 5, "share": 0.1}]},
        "symmetry": {"space_group": "P 41 21 2", "probability": 0.97, "d_min": 1.9},
        "scale": {"d_min": 1.5, "completeness": 0.95, "cc_half": 0.99, "space_group": "P 41 21 2", "error_models": [[0.7, 0.05]]},
    }  # fmt: skip
    facts = facts_of_steps(steps)
    assert (facts.rmsd_px, facts.rmsd_images, facts.space_group, facts.laue_group_probability) == (
        0.2,
        0.9,
        "P 41 21 2",
        0.97,
    )
    given = facts_of_steps({"symmetry": {**steps["symmetry"], "probability": 0.3, "space_group_is_given": True}})
    (line,) = judge(given).of("red")
    assert "as given" in line.said and "where you know it" not in line.next_step and "laue_group=Auto" in line.next_step
    assert (facts.n_lost_images, facts.lost_images, facts.d_min) == (3, ("0:3:5",), 1.5)
    assert facts.largest_i_over_sigma == pytest.approx(1 / 0.035)
    assert facts_of_steps({}, failed="index: no").failed == "index: no" and facts_of_steps({}).n_lost_images is None


def test_facts_of_statistics_tell_noise_from_signal() -> None:
    rng = np.random.default_rng(3)
    cell = (50.0, 60.0, 70.0, 90.0, 90.0, 90.0)
    unique = unique_indices(cell, "P 21 21 21", 2.5)
    hkl = np.repeat(unique, 4, axis=0)
    true = np.repeat(rng.exponential(100.0, len(unique)), 4)
    signal = merging_statistics(
        hkl, true + rng.normal(0, 3.0, len(hkl)), np.full(len(hkl), 9.0), cell, "P 21 21 21", 10
    )
    noise = merging_statistics(hkl, rng.normal(0, 30.0, len(hkl)), np.full(len(hkl), 900.0), cell, "P 21 21 21", 10)
    good, bad = (facts_of_statistics(s) for s in (signal, noise))
    assert good.completeness == pytest.approx(1.0, abs=1e-3) and good.multiplicity == pytest.approx(4.0)
    assert judge(good).colour == "green"
    assert judge(bad).colour == "red" and judge(bad).of("red")[0].topic == "signal"


def test_ice_is_the_excess_in_its_rings() -> None:
    rng = np.random.default_rng(1)
    squares = (rng.uniform(0.0, (1 / 1.8) ** 3, 20000)) ** (2 / 3)  # evenly in the volume of reciprocal space
    assert ice_fraction(squares) == 0.0
    ring = 1 / 3.669**2  # (002) of hexagonal ice, c = 7.338
    with_ice = np.concatenate([squares, rng.normal(ring, 0.0004, 5000)])
    assert ice_fraction(with_ice) == pytest.approx(0.2, abs=0.02)
    assert ice_fraction(np.zeros(0)) == 0.0


def _spots(counts: list[int], imageset: int = 0, d: float = 3.0) -> ReflectionTable:
    """So many spots on each image, on a ring of resolution d of the sweep of `refinement_problems.rotation_experiment`."""
    experiment = rotation_experiment(n_images=len(counts))
    panel = experiment.detector[0]
    wavelength = experiment.beam.wavelength
    radius = panel.distance * np.tan(2 * np.arcsin(wavelength / (2 * d))) / panel.pixel_size[0]
    n = sum(counts)
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    centre = experiment.detector.beam_centre_px(experiment.beam.s0, panel=0)
    xyz = np.stack(
        [
            centre[0] + radius * np.cos(angle),
            centre[1] + radius * np.sin(angle),
            np.repeat(np.arange(len(counts)), counts) + 0.5,
        ],
        axis=1,
    )
    return ReflectionTable({
        "id": np.full(n, -1, np.int32), "imageset_id": np.full(n, imageset, np.int32), "panel": np.zeros(n, np.uint64),
        "xyzobs.px.value": xyz,
    })  # fmt: skip


def test_images_without_spots_between_others_are_blank_and_spots_in_an_ice_ring_are_ice() -> None:
    counts = [50] * 20
    counts[4] = counts[5] = 0
    experiments = Experiments([rotation_experiment(n_images=20)])
    facts = facts_of_spots(experiments, _spots(counts))
    assert (facts.n_images, facts.n_spots, facts.n_blank_images, facts.ice_fraction) == (20, 900, 2, 0.0)
    assert facts_of_spots(experiments, _spots(counts, d=3.669)).ice_fraction == pytest.approx(1.0)


def test_spots_of_each_of_several_sweeps_are_its_own() -> None:
    sweeps = Experiments([rotation_experiment(n_images=20), rotation_experiment(n_images=20)])
    both = ReflectionTable.concatenate([_spots([50] * 20), _spots([50] * 18 + [0, 0], imageset=1)])
    facts = facts_of_spots(sweeps, both)
    assert (facts.n_images, facts.n_blank_images) == (40, 2)


def test_a_few_spots_on_each_image_tell_no_blank_one() -> None:
    facts = facts_of_spots(Experiments([rotation_experiment(n_images=20)]), _spots([3, 0] * 10))
    assert (facts.n_spots, facts.n_blank_images) == (30, None)


def test_what_failed_leads_to_what_to_look_at() -> None:
    verdict = judge(facts_of_steps({}, failed="no lattice was found", failed_step="index"))
    assert (
        verdict.colour == "red"
        and "reciprocal_lattice_viewer" in verdict.next_step
        and "index could not be done" in verdict.lines[0].reason
    )
    steps = {"index": {"fraction_indexed": 0.2}}
    few = judge(facts_of_steps(steps, failed="only 20 % of the spots are indexed", failed_step="index"))
    assert few.lines[0].reason == "nothing was done after index"


def test_no_spots_at_all_are_no_images_with_spots() -> None:
    facts = facts_of_spots(Experiments([rotation_experiment(n_images=20)]), _spots([0] * 20))
    assert (facts.n_spots, facts.n_images) == (0, 20)
    assert [line.topic for line in judge(facts).of("red")] == ["spots"]


def test_decay_is_the_largest_fall_along_the_rotation() -> None:
    model = {"decay": {"parameters": [0.0, 0.5, -1.0, -0.2]}, "configuration_parameters": {"decay_rot_interval": 10.0}}
    assert decay_of(model) == pytest.approx(1.5)
    assert decay_of({"scale": {}}) is None and decay_of(None) is None
    assert decay_of({"decay": {"parameters": [0.0]}, "configuration_parameters": {}}) is None


def test_completeness_is_judged_where_the_data_are_good() -> None:
    """Corners of the detector make data incomplete that nobody will use."""
    facts = Facts(d_min=1.69, suggested_d_min=1.81, completeness=0.78, good_completeness=0.91, good_multiplicity=5.5)
    said = {line.said: line.colour for line in judge(facts).lines}
    assert said["91.0 % complete to 1.81 A"] == "green" and said["each reflection is measured 5.5 times"] == "green"
    assert said["the data go to 1.69 A, and are good to 1.81 A"] == "amber"
    cut = judge(facts.with_more(Facts(d_min=1.81, completeness=0.911)))
    assert cut.colour == "green" and any(line.said == "91.1 % complete" for line in cut.lines)
