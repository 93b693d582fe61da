"""Numbers that sections show against those computed from the table by other means."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import numpy as np
import pytest

from spindle.execution import file_entry
from spindle.files import read_reflections, write_reflections
from spindle.models import Experiments
from spindle.report import Section
from spindle.table import Flag, ReflectionTable
from spindle.testing.refinement_problems import rotation_experiment
from spindle_lib_ice import ring_intervals
from spindle_lib_sections.bins import counts_2d, means, means_2d, rms, shells_of, spread, thin
from spindle_lib_sections.given import MOST_ROWS, Given, only, sampled, stage_of
from spindle_lib_sections.images import MOST_POINTS, ByImage
from spindle_lib_sections.pictures import poorest_image
from spindle_lib_sections.places import MapSettings
from spindle_lib_sections.profiles import profile_section
from spindle_lib_sections.questions import QUESTIONS, answers, facts_of, judged
from spindle_lib_sections.residuals import residual_section
from spindle_lib_sections.runs import records_of, run_section
from spindle_lib_sections.signal import signal_section
from spindle_lib_sections.spots import ice_excess, spot_section

INDEXED = int(Flag.INDEXED | Flag.STRONG | Flag.USED_IN_REFINEMENT)


def spots(n=4000, n_images=30, seed=1):
    rng = np.random.default_rng(seed)
    experiment = rotation_experiment(n_images)
    width, height = experiment.detector[0].image_size
    place = np.column_stack([rng.uniform(0, width, n), rng.uniform(0, height, n), rng.uniform(0, n_images, n)])
    flags = np.where(rng.random(n) < 0.8, INDEXED, int(Flag.STRONG)).astype(np.uint64)
    table = ReflectionTable(
        {
            "id": np.where(flags == INDEXED, 0, -1).astype(np.int32), "imageset_id": np.zeros(n, np.int32), "panel": np.zeros(n, np.uint64),
            "flags": flags, "miller_index": rng.integers(1, 9, (n, 3)).astype(np.int32), "xyzobs.px.value": place,
            "xyzcal.px": place + rng.normal([0.1, -0.2, 0.0], [0.3, 0.4, 0.2], (n, 3)),
        }
    )  # fmt: skip
    return Experiments([experiment]), table


def test_spots_that_two_steps_wrote_count_once():
    """indexed.refl and refined.refl hold the same spots; sweeps and parts of a table do not."""
    experiments, table = spots()
    refined = table.select(np.random.default_rng(3).permutation(len(table)))
    refined["flags"] = refined["flags"] | np.uint64(Flag.CENTROID_OUTLIER)
    (found,) = Given.of(experiments, [table, refined]).tables.values()
    assert len(found) == len(table) and found.has_flags(Flag.CENTROID_OUTLIER).all()
    (found,) = Given.of(experiments, [table, spots(seed=2)[1]]).tables.values()
    assert len(found) == 2 * len(table)
    (found,) = Given.of(
        experiments, [table.select(np.arange(2000)), table.select(np.arange(2000, 4000))]
    ).tables.values()
    assert len(found) == len(table)


@pytest.mark.parametrize("wrong", [[0.1, [0.1, 0.2]], "wide", {"a": 1}])
def test_profile_models_without_numbers_are_left_out_in_words(wrong):
    experiments, table = spots(200)
    good, bad = {"__id__": "one", "sigma_b": 0.02, "sigma_m": [0.1, 0.3]}, {"__id__": "other", "sigma_b": wrong}
    given = Given.of(Experiments([experiments[0]]).replace(0, profile=good), [table])
    assert profile_section(given, MapSettings()).tables[0].rows == [[0, "one", 0.02, 0.2]]
    section = profile_section(Given.of(experiments.replace(0, profile=bad), [table]), MapSettings())
    assert not section.tables or not section.tables[0].rows
    assert any("experiment 0 has widths that are no numbers" in text for text in section.text)


def test_means_are_those_of_numpy():
    rng = np.random.default_rng(2)
    places, values = rng.integers(-2, 12, 1000), rng.normal(size=1000)
    values[5] = np.nan
    counts, found = means(places, values, 10)
    for k in range(10):
        mine = values[(places == k) & np.isfinite(values)]
        assert counts[k] == len(mine)
        assert found[k] == pytest.approx(mine.mean())
        assert rms(places, values, 10)[k] == pytest.approx(np.sqrt((mine**2).mean()))
    assert np.isnan(means(np.array([0]), np.array([1.0]), 2)[1][1])


def test_bins_are_those_of_numpy():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-1, 5, 500), rng.uniform(0, 2, 500)
    expected, _, _ = np.histogram2d(y, x, bins=(4, 6), range=((0, 2), (0, 4)))
    found = counts_2d(spread(0, 4, x, 6), spread(0, 2, y, 4), 6, 4)
    np.testing.assert_array_equal(np.nan_to_num(found), expected)
    mean = means_2d(spread(0, 4, x, 6), spread(0, 2, y, 4), np.full(500, 7.0), 6, 4)
    np.testing.assert_array_equal(mean[expected > 0], 7.0)
    assert spread(0.0, 1.0, np.array([0.0, 1.0, np.nan, 1.1]), 4).tolist() == [0, 3, -1, -1]
    assert spread(2.0, 2.0, np.array([2.0]), 4).tolist() == [0]


def test_shells_have_equal_volumes():
    d = np.random.default_rng(4).uniform(0, 1, 20000) ** (-1 / 3)  # 1/d^3 is uniform
    d = d[d < 20]
    shell, middle = shells_of(np.append(d, 0.0), 10)
    assert shell[-1] == -1
    counts = np.bincount(shell[:-1])
    assert len(counts) == 10 and counts.min() > 0.93 * counts.mean()
    assert np.all(np.diff(middle) > 0) and middle[-1] < d.min() ** -2


def test_thinning_keeps_both_ends():
    assert thin(5, 10).tolist() == [0, 1, 2, 3, 4]
    kept = thin(10000, 100)
    assert len(kept) == 100 and kept[0] == 0 and kept[-1] == 9999


def test_stages_are_told_by_columns_and_flags():
    _, table = spots(50)
    assert stage_of(table) == "refined"
    table["flags"] = np.full(50, int(Flag.INDEXED), np.uint64)
    assert stage_of(table) == "indexed"
    table["flags"] = np.full(50, int(Flag.STRONG), np.uint64)
    assert stage_of(table) == "strong"
    table["flags"] = np.full(50, int(Flag.PREDICTED), np.uint64)
    assert stage_of(table) == "predicted"
    table["flags"] = np.full(50, int(Flag.INTEGRATED_SUM), np.uint64)
    assert stage_of(table) == "integrated"
    table["intensity.scale.value"] = table["inverse_scale_factor"] = np.ones(50)
    assert stage_of(table) == "scaled"
    assert [stage_of(ReflectionTable(c)) for c in ({}, {"miller_index": np.zeros((0, 3), np.int32)})] == [
        "strong",
        "indexed",
    ]


def test_tables_of_one_stage_are_joined():
    experiments, table = spots(60)
    given = Given.of(experiments, [table.select(np.arange(20)), table.select(np.arange(20, 60))])
    assert list(given.tables) == ["refined"] and len(given.tables["refined"]) == 60


def test_spots_are_counted_by_image():
    experiments, table = spots()
    section = spot_section(Given.of(experiments, [table]), MapSettings())
    curves = section.figures["spot_count_per_image"]["data"]
    frame = np.floor(table["xyzobs.px.value"][:, 2]).astype(int)
    assert curves[0]["y"] == np.bincount(frame, minlength=30).tolist()
    assert curves[0]["x"] == list(range(1, 31))
    indexed = table["flags"] == INDEXED
    assert curves[1]["y"] == np.bincount(frame[indexed], minlength=30).tolist()
    assert section.values["fraction_indexed"] == pytest.approx(indexed.mean(), abs=1e-4)
    z = np.array(section.figures["n_indexed_vs_xy"]["data"][0]["z"], float)
    assert np.nansum(z) == indexed.sum()


def test_integrated_reflections_do_not_tell_how_many_spots_are_indexed():
    experiments, table = spots(300)
    table["flags"] = table["flags"] | np.uint64(int(Flag.INTEGRATED_SUM))
    section = spot_section(Given.of(experiments, [table]), MapSettings())
    assert "fraction_indexed" not in section.values and section.values["n_spots"] == 300


def test_without_experiments_images_are_those_of_the_rows():
    _, table = spots()
    images = ByImage(Experiments(), table, observed=True)
    assert len(images.groups) == 1
    np.testing.assert_array_equal(images.counts(), np.bincount(np.floor(table["xyzobs.px.value"][:, 2]).astype(int)))


def test_curves_of_long_series_are_short_and_true():
    n = 5 * MOST_POINTS
    z = np.repeat(np.arange(n), 2) + 0.5
    table = ReflectionTable({"id": np.zeros(2 * n, np.int32), "xyzobs.px.value": np.column_stack([z, z, z])})
    values = np.tile([1.0, 3.0], n) * (1 + (z > n / 2))
    (curve,) = ByImage(Experiments(), table, observed=True).mean_curves(values)
    assert len(curve[1]) <= MOST_POINTS
    assert curve[2][0] == 2.0 and curve[2][-1] == 4.0


def test_residuals_are_those_of_numpy():
    experiments, table = spots()
    section = residual_section(Given.of(experiments, [table]), MapSettings(pixels_per_bin=200))
    used = table["flags"] == INDEXED
    d = (table["xyzobs.px.value"] - table["xyzcal.px"])[used]
    assert section.values["n_reflections"] == used.sum()
    assert section.values["rmsd_x_px"] == pytest.approx(np.sqrt((d[:, 0] ** 2).mean()), abs=1e-4)
    assert section.values["rmsd_y_px"] == pytest.approx(np.sqrt((d[:, 1] ** 2).mean()), abs=1e-4)
    width = experiments[0].scan.oscillation_deg[1]
    assert section.values["rmsd_phi_deg"] == pytest.approx(width * np.sqrt((d[:, 2] ** 2).mean()), abs=1e-4)
    row = section.tables[0].rows[0]
    assert row[2:4] == [pytest.approx(d[:, 0].mean(), abs=1e-4), pytest.approx(d[:, 1].mean(), abs=1e-4)]
    curve = section.figures["centroid_mean_differences_vs_phi"]["data"][0]
    frame = np.floor(table["xyzcal.px"][used][:, 2]).astype(int)
    assert curve["y"][3] == pytest.approx(d[frame == 3, 0].mean())
    assert np.nanmean(np.array(section.figures["centroid_differences_y"]["data"][0]["z"], float)) == pytest.approx(
        0.2, abs=0.03
    )


def test_outliers_are_counted():
    experiments, table = spots(1000)
    flags = table["flags"].copy()
    rows = np.flatnonzero(flags == INDEXED)[:40]
    flags[rows] = int(Flag.INDEXED | Flag.CENTROID_OUTLIER)
    table["flags"] = flags
    section = residual_section(Given.of(experiments, [table]), MapSettings())
    n = int(np.count_nonzero(flags & np.uint64(int(Flag.INDEXED))))
    assert section.values["n_outliers"] == 40 and section.values["fraction_outliers"] == pytest.approx(40 / n, abs=1e-4)


def test_a_ring_of_ice_stands_out():
    rng = np.random.default_rng(6)
    low, high = ring_intervals(1.7, 0.004)[3]
    even = rng.uniform(0.02, 0.4, 30000)
    assert all(abs(n - e) < 5 * np.sqrt(n + e) for _, _, n, e in ice_excess(even))
    ring = rng.uniform(low, high, 700)
    marked = [(n - e) / np.sqrt(n + e) > 6 for _, _, n, e in ice_excess(np.append(even, ring))]
    assert marked[3] and sum(marked) == 1
    assert ice_excess(np.array([])) is None and ice_excess(np.full(10, 0.01)) is None


def test_missing_columns_are_named():
    given = Given.of(None, [ReflectionTable({"id": np.zeros(3, np.int32), "flags": np.full(3, INDEXED, np.uint64)})])
    assert "xyzobs.px.value" in spot_section(given, MapSettings()).absent
    assert "xyzcal.px" in residual_section(given, MapSettings()).absent


def test_reflections_centred_beyond_the_scan_are_shown_on_its_last_image():
    n, rng = 600, np.random.default_rng(2)
    z = rng.uniform(-8, 23, n)
    table = ReflectionTable({
        "id": np.zeros(n, np.int32), "panel": np.zeros(n, np.uint64), "flags": np.full(n, int(Flag.INTEGRATED_SUM), np.uint64),
        "intensity.sum.value": rng.exponential(100.0, n), "intensity.sum.variance": np.full(n, 100.0),
        "xyzcal.px": np.column_stack([rng.uniform(0, 50, (n, 2)), z]),
    })  # fmt: skip
    section = signal_section(Given.of(Experiments([rotation_experiment(15)]), [table]), MapSettings())
    shown = section.figures["i_over_sigma_sum_vs_z"]["data"][0]
    assert min(shown["x"]) > 0 and max(shown["x"]) < 15
    last = np.nansum(np.array(shown["z"], float)[:, -1])
    assert last == pytest.approx(np.count_nonzero(z >= 14), abs=3)  # the weakest and strongest are not in the map


def light(**facts):
    return answers([Section("", "some", values={"facts": facts})])[0]


def test_the_worst_line_decides():
    assert [a.mood for a in light(fraction_indexed=0.97, ice_fraction=0.0)] == [
        "good",
        "unknown",
        "good",
        "unknown",
        "unknown",
    ]
    found = light(fraction_indexed=0.1, n_lattices=1, rmsd_px=1.5, ice_fraction=0.6, n_images=10, n_spots=100)
    assert [a.mood for a in found[:3]] == ["bad", "doubtful", "bad"]
    assert all(a.next_step and a.reason for a in found[:3])
    assert found[0].said.startswith("10 % of the spots")  # before what is good


def test_every_line_of_a_verdict_answers_a_question():
    import inspect
    import re

    from spindle_lib_verdict import Line, judging

    source = inspect.getsource(judging)
    known = re.search(r"topic : str\n(.*?)said", inspect.getdoc(Line), re.DOTALL)[1]
    topics = set(re.findall(r"[a-z]+", known.split(":")[-1])) - {"run"}
    asked = {t for _, topics, _ in QUESTIONS for t in topics}
    assert topics <= asked and all(f'"{t}"' in source for t in topics)


def test_large_tables_are_thinned_evenly():
    n = 2 * MOST_ROWS + 11
    table = ReflectionTable({"id": np.arange(n, dtype=np.int32)})
    some, step = sampled(table, np.arange(n) != 1)
    assert step == 3 and len(some) <= MOST_ROWS
    assert some["id"][:4].tolist() == [0, 4, 7, 10]
    same, step = sampled(table.select(np.arange(5)), np.array([1, 1, 0, 1, 1], bool))
    assert step == 1 and same["id"].tolist() == [0, 1, 3, 4]


def test_the_image_with_the_fewest_spots_is_among_the_pictures():
    experiments = Experiments([rotation_experiment(20)])
    z = np.repeat(np.arange(20), [3 if i == 13 else 30 for i in range(20)]) + 0.5
    table = ReflectionTable.with_rows(len(z), ["id", "flags"])
    table["id"], table["imageset_id"] = np.zeros(len(z), np.int32), np.zeros(len(z), np.int32)
    table["xyzobs.px.value"] = np.column_stack([np.full((len(z), 2), 50.0), experiments[0].scan.array_range[0] + z])
    table.set_flags(np.arange(len(z)), Flag.STRONG)
    assert poorest_image(Given.of(experiments, [table])) == 13
    alike = np.flatnonzero((z - 0.5) % 20 != 13)
    assert poorest_image(Given(experiments, {"strong": table.select(np.zeros(0, np.int64))})) is None
    assert poorest_image(Given(experiments, {"strong": table.select(alike)})) == 13  # none at all there
    assert poorest_image(Given(Experiments(), {"strong": table})) is None


def test_a_question_of_a_step_that_was_done_asks_for_its_files_not_for_the_step_again():
    found = answers([Section("", "some", values={"facts": {"i_over_sigma": 20.0}})])[0]
    known = [a.mood != "unknown" for a in found]
    last = max(i for i, k in enumerate(known) if k)
    assert last == len(QUESTIONS) - 1
    for answer in found[:last]:
        assert answer.mood == "unknown" and "give the report the files" in answer.next_step
    scaled = [answers([], stills)[0][-1].next_step for stills in (False, True)]
    assert scaled[0].startswith("spindle scale ") and scaled[1].startswith("spindle scale_stills ")
    nothing = answers([])[0]
    assert nothing[0].next_step == "spindle index imported.expt strong.refl"


def test_large_tables_are_sampled_from_their_file_without_keeping_columns(tmp_path, monkeypatch):
    n = 3000
    table = ReflectionTable.with_rows(n, ["id", "flags"])
    table["d"] = np.arange(n, dtype=float)
    table["xyzcal.px"] = np.column_stack([np.arange(n, dtype=float)] * 3)
    write_reflections(table, tmp_path / "a.refl")
    read = read_reflections(tmp_path / "a.refl")
    monkeypatch.setattr("spindle_lib_sections.given.MOST_ROWS", 100)
    chosen = np.arange(n) % 3 == 1
    some, step = sampled(read, chosen)
    assert step == 10
    np.testing.assert_array_equal(some["d"], np.arange(n)[chosen][::10])
    np.testing.assert_array_equal(some["xyzcal.px"][:, 2], some["d"])
    part = only(read, ("d",))
    assert list(part) == ["d"] and len(part) == n and part["d"][7] == 7


def test_data_that_were_merged_are_judged_as_they_were_cut(tmp_path):
    """The record of a merge counts as long as what it has read was not written again."""
    for name in ("scaled.expt", "scaled.refl"):
        (tmp_path / name).write_bytes(b"")
    finished = datetime.now(UTC)
    record = {
        "format": "spindle run record", "program": "merge", "versions": {"spindle": "0"}, "plugins": [], "outputs": [{"path": "merged.mtz"}],
        "inputs": [{"path": "scaled.expt"}, {"path": "scaled.refl"}], "finished": finished.isoformat(timespec="seconds"),
        "working_folder": ".", "parameters": {}, "format_version": 1,
        "summary": {"cc_half": 0.99, "completeness": 0.91, "d_min": 1.81},
    }  # fmt: skip
    (tmp_path / "spindle.merge.json").write_text(json.dumps(record))
    sources = [tmp_path / "scaled.expt", tmp_path / "scaled.refl"]
    sections = [run_section(sources), Section("", "merging", values={"facts": {"d_min": 1.69, "completeness": 0.78}})]
    assert facts_of(sections).d_min == 1.81 and facts_of(sections).completeness == 0.91
    later = finished.timestamp() + 60
    os.utime(sources[1], (later, later))
    assert run_section(sources).absent


def run_records(folder, *programs):
    """Records of programs that each have written the files of their name, and read those of the one before."""
    before: list[dict[str, str]] = []
    for k, (program, summary) in enumerate(programs):
        made = [folder / f"{program}.expt", folder / f"{program}.refl"]
        for path in made:
            path.write_text(f"{program} {path.name}")
        outputs = [file_entry(path) for path in made]
        finished = datetime.fromtimestamp(made[-1].stat().st_mtime + k, UTC).isoformat()
        record = {
            "format": "spindle run record", "program": program, "versions": {"spindle": "0"}, "plugins": [], "outputs": outputs, "inputs": before,
            "finished": finished, "working_folder": ".", "parameters": {}, "format_version": 1, "summary": summary,
        }  # fmt: skip
        (folder / f"spindle.{program}.json").write_text(json.dumps(record))
        before = outputs
    return made


@pytest.mark.parametrize(
    "order", [("index", "refine", "integrate"), ("integrate", "index", "refine"), ("refine", "integrate", "index")]
)
def test_steps_that_end_within_one_second_are_put_in_order_by_their_files(tmp_path, order):
    sources = run_records(tmp_path, *((program, {}) for program in order))
    for path in tmp_path.glob("spindle.*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"finished": "2026-01-01T00:00:00+00:00"}))
    assert [r["program"] for r in records_of(sources)] == list(order)


def test_files_of_one_run_have_the_verdict_of_its_steps(tmp_path):
    data = Section("", "merging", values={"facts": {"rmsd_px": 3.0, "completeness": 0.5}})
    steps = (
        ("index", {"fraction_indexed": 0.9}),
        ("refine", {"rmsd_px": [[0.1, 0.2, 0.3]]}),
        ("scale", {"cc_half": 0.99, "completeness": 0.97}),
    )
    sources = run_records(tmp_path, *steps)
    whole = json.loads((tmp_path / "spindle.scale.json").read_text()) | {"program": "process", "summary": {}}
    (tmp_path / "spindle.process.json").write_text(json.dumps(whole))
    facts = facts_of([run_section(sources), data])
    assert (facts.fraction_indexed, facts.rmsd_px, facts.completeness) == (0.9, 0.2, 0.97)
    assert "steps of this run" in judged([run_section(sources), data])
    late = datetime.now(UTC).timestamp() + 1000
    os.utime(sources[1], (late, late))  # copied, with the same content
    assert facts_of([run_section(sources), data]).rmsd_px == 0.2
    sources[1].write_text("other data xxxx")  # of the same size, and later
    os.utime(sources[1], (late, late))
    assert facts_of([run_section(sources), data]).rmsd_px == 3.0
    assert "the data that were given" in judged([run_section(sources), data])


@pytest.mark.parametrize(
    "programs", [["index", "filter_reflections"], ["index", "index_again"], ["find_spots", "cosym"]]
)
def test_what_other_programs_have_done_only_the_data_tell(tmp_path, programs):
    data = Section("", "merging", values={"facts": {"fraction_indexed": 0.4}})
    sources = run_records(tmp_path, *((name, {"fraction_indexed": 0.9}) for name in programs))
    assert facts_of([run_section(sources), data]).fraction_indexed == 0.4
