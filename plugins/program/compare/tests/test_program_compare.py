"""Contestants share steps, fail by themselves, are ranked as the truth says, and bad input is refused in words."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from spindle_program_compare.against_truth import _by_counts, _Matched
from spindle_program_compare.chain import Item, State, Work
from spindle_program_compare.contestant import Contestant
from spindle_program_compare.page import styles_of
from spindle_program_compare.program import _again
from spindle_program_compare.ranking import Ranking, _places, _within
from spindle_program_compare.saying import warnings_of
from spindle_program_compare.tables import weakest_fifth

import spindle
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.testing import PluginContract
from spindle.testing.simulated import simulate_sweep


class TestCompare(PluginContract):
    slot = "program"
    name = "compare"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return simulate_sweep(tmp_path_factory.mktemp("sweep"), scan__n_images=24)


@pytest.fixture(scope="module")
def refined(sweep, tmp_path_factory):
    """Models and spots, refined; written too."""
    imported = spindle.run("import", files=sweep.images).experiments
    spots = spindle.run("find_spots", imported).reflections
    indexed = spindle.run("index", imported, spots)
    done = spindle.run("refine", indexed.experiments, indexed.reflections)
    folder = tmp_path_factory.mktemp("refined")
    write_experiments(done.experiments, folder / "refined.expt")
    write_reflections(done.reflections, folder / "refined.refl")
    return folder, done


@pytest.fixture(scope="module")
def compared(refined):
    return spindle.run(
        "compare",
        files=[refined[0] / "refined.expt", refined[0] / "refined.refl"],
        vary=["background.algorithm=simple,null", "profile.fitting=True,False"],
        n_bootstrap=200,
    )


def rows_of(result, key):
    table = next(t for t in result.tables if t.key == key)
    return {
        row[list(table.headers).index("Contestant")]: dict(zip(table.headers, row, strict=True)) for row in table.rows
    }


def test_the_bias_of_the_weakest_fifth_has_its_standard_error():
    """Those whose true counts are least, chosen by no noise: mean error over mean counts, and its error from the scatter."""
    rng = np.random.default_rng(5)
    n = 5000
    true = rng.exponential(12.0, n)
    found = 0.9 * true + rng.normal(0, 3.0, n)
    pairs = _Matched(np.arange(n), found, np.full(n, 3.0), true, np.full(n, 9.0), np.full(n, 2.0))
    bias, error, rms = weakest_fifth(_by_counts(pairs, rng.permutation(n), np.ones(n), 10))
    weak = np.argsort(true)[: n // 5]
    mean = true[weak].mean()
    assert bias == pytest.approx(100 * (found - true)[weak].mean() / mean, abs=0.01)
    assert error == pytest.approx(100 * 3.0 / np.sqrt(len(weak)) / mean, rel=0.1) and rms == pytest.approx(1.0, abs=0.1)
    assert abs(bias + 10) < 3 * error and weakest_fifth({}) == (None, None, None)


@pytest.mark.long
def test_the_ranking_is_that_of_the_truth(compared):
    """Intensities with their background left in are worse than any others, and profile fitting beats summation."""
    ranking = compared.summary["ranking"]
    assert ranking["order"][0] == "simple, profile.fitting=True"
    assert {n.split(",")[0] for n in ranking["order"][2:]} == {"null"}
    assert "the truth" in ranking["rests_on"]
    truth = rows_of(compared, "compare_truth")
    assert 0.7 < truth["simple, profile.fitting=True"]["Efficiency"] < 1.05
    assert truth["null, profile.fitting=False"]["Weakest fifth\nbias (%)"] > 100


@pytest.mark.long
def test_nobody_beats_the_bound(compared):
    for row in compared.summary["truth"]["contestants"].values():
        assert row["low"] < 1.02


def test_shared_steps_are_done_once(compared):
    by_name = {c["name"]: c for c in compared.summary["contestants"]}
    steps = {s["step"]: s["shared_by"] for s in by_name["simple, profile.fitting=True"]["steps"]}
    assert "find_spots" not in steps and "index" not in steps  # given refined
    assert steps["integrate"] == 1


def test_the_files_are_written(compared, tmp_path):
    for name, writer in compared.files.items():
        writer(tmp_path / name)
    page = (tmp_path / "compare.html").read_text()
    assert "simple, profile.fitting=True" in page and "Plotly.newPlot" in page
    assert json.loads((tmp_path / "compare.json").read_text())["ranking"]["by"] == "efficiency"


def test_contestants_look_different():
    styles = styles_of([f"run {i}" for i in range(32)])
    assert len({json.dumps(style) for style in styles.values()}) == 32
    assert styles["run 0"]["line"]["color"] == styles["run 8"]["line"]["color"]


def test_the_same_result_agrees_with_itself_whatever_its_axes(refined, tmp_path):
    """Reindexed, and scaled by two: the slope is two, the correlation one, and the change of axes is told."""
    done = refined[1]
    integrated = spindle.run("integrate", done.experiments, done.reflections, background="simple")
    table = integrated.reflections.without("shoebox")
    other = table.copy()
    for kind in ("prf", "sum"):
        other[f"intensity.{kind}.value"] = 2 * table[f"intensity.{kind}.value"]
        other[f"intensity.{kind}.variance"] = 4 * table[f"intensity.{kind}.variance"]
    matrix = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    other["miller_index"] = (table["miller_index"] @ matrix.T).astype(np.int32)
    for name, one in (("first", table), ("second", other), ("again", table)):
        write_experiments(integrated.experiments, tmp_path / f"{name}.expt")
        write_reflections(one, tmp_path / f"{name}.refl")
    result = spindle.run("compare", files=[tmp_path / "first.refl", tmp_path / "second.refl"], use_truth=False)
    (pair,) = result.summary["pairs"]["counts"]
    assert pair["slope"] == pytest.approx(2, rel=1e-6) and pair["cc"] == pytest.approx(1, abs=1e-9)
    assert pair["n"] > 0.75 * len(table)  # of those that the ends of the sweep do not cut
    assert any("k,l,h" in note and "another choice of axes" in note for note in result.summary["notes"])
    assert result.summary["ranking"]["order"] == []
    again = spindle.run("compare", files=[tmp_path / "first.refl", tmp_path / "again.refl"], use_truth=False)
    assert any("again.refl have the same results to the last digit" in note for note in again.summary["notes"])
    assert not any("last digit" in note for note in result.summary["notes"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", None, "no column id"),
        ("flags", None, "no column flags"),
        ("xyzobs.px.value", np.nan, "finite"),
        ("id", 7, "id"),
    ],
    ids=str,
)
def test_results_are_checked_as_inputs_are(refined, tmp_path, column, value, message):
    table = refined[1].reflections.without("shoebox")
    bad = table.without(column) if value is None else table.copy()
    if value is not None:
        bad[column][5] = value
    for name, one in (("first", table), ("bad", bad), ("other", table)):
        write_experiments(refined[1].experiments, tmp_path / f"{name}.expt")
        write_reflections(one, tmp_path / f"{name}.refl")
    files = [tmp_path / f"{name}.refl" for name in ("first", "bad", "other")]
    result = spindle.run("compare", files=files, use_truth=False)
    (failed,) = (c for c in result.summary["contestants"] if c.get("reason"))
    assert "bad.refl" in failed["reason"] and message in failed["reason"]


def test_those_that_are_not_told_apart_share_a_place():
    """As in sport; a chain of small differences does not tie its ends."""
    alike = {"a": ["b"], "b": ["a", "c"], "c": ["b", "d"], "d": ["c"], "e": []}
    assert _places(list("abcde"), alike) == {"a": "1=", "b": "1=", "c": "3=", "d": "3=", "e": "5"}
    assert _within({"x": 0.99, "y": 0.9885, "z": 0.98}, 0.002) == {"x": ["y"], "y": ["x"], "z": []}


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"dials": "1", "glm": "2"}, ""),
        ({"glm": "1", "dials": "2"}, "; the best again, with its files: spindle process <images> background.algorithm=glm"),
        ({"dials": "1=", "glm": "1="}, "; glm, not told from dials by these data, again, with its files: spindle process <images> background.algorithm=glm"),
    ],
)  # fmt: skip
def test_what_to_do_again_is_called_the_best_only_where_it_is_told_from_the_others(places, said):
    ours = Contestant("glm", settings={"background.algorithm": "glm", "run": "x"})
    ranking = Ranking(list(places), {}, "efficiency", "the truth", places)
    assert _again([ours, Contestant("dials", kind="dials")], ranking) == said


def test_a_contestant_that_fails_is_a_row(refined):
    result = spindle.run(
        "compare",
        files=[refined[0] / "refined.expt", refined[0] / "refined.refl"],
        vary=["integrate.prediction.d_min=1.0,4.0", "integrate.prediction.d_max=3.0", "background.algorithm=simple"],
        stop_after="integrate",
        use_truth=False,
    )
    failed = {c["name"]: c for c in result.summary["contestants"] if c["reason"]}
    assert list(failed) == ["prediction.d_min=4.0"] and failed["prediction.d_min=4.0"]["failed_at"] == "integrate"
    assert next(t for t in result.tables if t.key == "compare_failed").rows


@pytest.mark.parametrize(
    ("vary", "more", "message"),
    [
        (["background.algorithm=glm,smple"], {}, "smple"),
        (["no_such_parameter=1,2"], {}, "no_such_parameter"),
        (["background.algorithm=glm"], {}, "one value of each makes one contestant"),
        (["background.algorithm=glm,glm"], {}, "given twice"),
        (["background.algorithm=glm,"], {}, "empty value"),
        (["background.algorithm=glm,simple"], {"stop_after": "refine"}, "comes before integrate"),
        (["scale.model=physical,KB"], {"stop_after": "integrate"}, "would all be the same"),
        (["spotfinder.threshold.algorithm=dispersion,dispersion_extended"], {}, "the choices touch the step find_spots"),
        (["background.algorithm=glm,simple"], {"runners": ["xds"]}, "no such runner; known are dials"),
        (["background.algorithm=glm,simple"], {"max_contestants": 1}, "max_contestants=1"),
        ([], {}, "nothing to compare|only"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(refined, vary, more, message):
    folder = refined[0]
    with pytest.raises(UserError, match=message):
        spindle.run("compare", files=[folder / "refined.expt", folder / "refined.refl"], vary=vary, **more)


def test_a_runner_that_is_not_there_is_a_row(refined, tmp_path):
    runs = tmp_path / "runs.toml"
    runs.write_text('[runners.nobody]\ncommands = ["no-such-program {experiments}"]\nscaled = "XDS_ASCII.HKL"\n')
    result = spindle.run(
        "compare",
        files=[refined[0] / "refined.expt", refined[0] / "refined.refl", runs],
        vary=["background.algorithm=simple"],
        stop_after="integrate",
        use_truth=False,
    )
    failed = {c["name"]: c["reason"] for c in result.summary["contestants"] if c["reason"]}
    assert "not installed" in failed["nobody"]


class Talks:
    """A context whose programs warn."""

    log = logging.getLogger("spindle.compare")
    executor = SimpleNamespace(leaves_process=False)

    def run_program(self, name, *_, **__):
        log = logging.getLogger(f"spindle.{name}")
        log.info("read %d images", 3)
        log.warning("only %d spots", 7)
        log.warning("100 % of them are ice")
        return SimpleNamespace(summary={}, experiments=None, reflections=None)


def test_warnings_say_whose_they_are(caplog):
    caplog.set_level("INFO")
    item = Item("find_spots", "find_spots", None, State(None, None), names=("a=1", "a=2", "a=3", "a=4"))
    assert not Work(Talks())(item).reason
    Work(Talks())(replace(item, names=()))
    own = " (a=1, a=2, a=3 and 1 more)"
    said = ["read 3 images", "only 7 spots", "100 % of them are ice"]
    assert [r.getMessage() for r in caplog.records] == [said[0], said[1] + own, said[2] + own, *said]


def test_warnings_of_another_thread_are_not_ours(caplog):
    log = logging.getLogger("spindle.index")
    with warnings_of(["a=1"], thread_only=True):
        other = threading.Thread(target=log.warning, args=("theirs",))
        other.start()
        other.join()
        log.warning("ours")
    assert [r.getMessage() for r in caplog.records] == ["theirs", "ours (a=1)"]
