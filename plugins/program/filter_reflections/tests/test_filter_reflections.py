"""`spindle filter_reflections`: which rows each rule keeps, and what expressions may hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_filter_reflections.expressions import FLAGS, rows_with_flags, rows_with_values
from spindle_program_filter_reflections.rules import d_spacings, in_dead_time

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import read_reflections, write_experiments, write_reflections
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment

N = 8


def rows():
    flags = [
        Flag.INDEXED,
        Flag.INDEXED | Flag.STRONG,
        Flag.STRONG,
        0,
        Flag.INTEGRATED_SUM,
        Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF,
    ]
    flags += [Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF | Flag.OUTLIER_IN_SCALING, Flag.INTEGRATED_PRF]
    return ReflectionTable(
        {
            "id": np.array([0, 0, 0, -1, 0, 1, 1, 1]),
            "panel": np.arange(N) % 3,
            "flags": np.array([int(f) for f in flags]),
            "d": np.array([8.0, 4.0, 2.0, 1.0, 3.0, 3.9, 3.67, 1.5]),
            "intensity.sum.value": np.arange(N) * 10.0,
            "intensity.sum.variance": np.array([1.0, 4, 9, 16, 25, 36, 49, 0]),
            "intensity.prf.variance": np.ones(N),
            "partiality": np.array([1.0, 0.995, 0.98, 0.5, 0.2, 1.0, 1.0, 1.0]),
            "xyzobs.px.value": np.arange(3.0 * N).reshape(N, 3),
            "miller_index": np.arange(3 * N).reshape(N, 3),
        },
        {0: "a", 1: "b"},
    )


def kept(**params):
    found = spindle.run("filter_reflections", None, rows(), **{k.replace("__", "."): v for k, v in params.items()})
    return (found.reflections["miller_index"][:, 0] // 3).tolist()


class TestFilter(ProgramContract):
    name = "filter_reflections"
    parameters = {"d_min": 1.6}

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(reflections=[rows()])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("indexed", [0, 1]),
        ("indexed & strong", [1]),
        ("indexed and not strong", [0]),
        ("~(indexed | integrated_sum)", [2, 3, 7]),
        ("Indexed|strong&integrated_prf", [0, 1]),
        ("integrated", [5, 6]),
        ("bad_for_scaling", [6]),
    ],
)
def test_flags(expression, expected):
    assert kept(flag_expression=expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("d > 3", [0, 1, 5, 6]),
        ("3 < d <= 4 and panel != 1", [5, 6]),
        ("intensity.sum.value / sqrt(intensity.sum.variance) > 7", [3, 4, 5, 6, 7]),
        ("(d > 3) & strong", [1]),
        ("abs(xyzobs.px.value[2] - 5) < 1 or miller_index[0] == 0", [0, 1]),
        ("-d < -7.5", [0]),
        ("not (d > 1.2)", [3]),
        ("id == -1", [3]),
        ("2**3 == d", [0]),
        ("log10(d * 10) - 1 < 0.01", [3]),
        ("isfinite(1 / intensity.sum.variance)", list(range(7))),
        ("True", list(range(N))),
    ],
)
def test_columns(expression, expected):
    assert kept(expression=expression) == expected


HOSTILE = [
    "__import__('os').system('true')", "().__class__", "d.__class__ > 1", "open('x')", "[1 for _ in d]", "lambda: 1", "d if d else d",
    "eval('1')", "'a' == 'a'", "(d := 3) > 2", "f'{d}' > 1", "d @ d", "d is None", "d in (1,)", "sqrt(d, d) > 1", "sqrt(x=d) > 1",
    "max(d) > 1", "d[0] > 1", "miller_index[3] > 0", "miller_index[-1] > 0", "miller_index[0:1] > 0", "miller_index > 1", "d", "d >",
    "d > 1 & d < 3", "", "(" * 99 + "d" + ")" * 99 + " > 1", "-" * 90 + "d > 1", "9" * 4000 + " > d", "nothing > 1", "d > 1j", "shoebox > 1",
]  # fmt: skip


@pytest.mark.parametrize("expression", HOSTILE)
def test_nothing_else_is_worked_out(expression):
    if expression.startswith("((("):  # brackets around nothing are as good as none
        assert rows_with_values(rows(), expression).shape == (N,)
        return
    with pytest.raises(ParameterError, match=r"^expression="):
        rows_with_values(rows(), expression)


@pytest.mark.parametrize(
    "expression",
    ["nonsense", "indexed > 1", "indexed + strong", "1", "indexed & 1", "sqrt(indexed)", "indexed &", "a.b"],
)
def test_what_is_no_flag_is_refused(expression):
    with pytest.raises(ParameterError, match="flag_expression="):
        rows_with_flags(rows(), expression)


def test_large_powers_are_no_larger_numbers():
    assert not rows_with_values(rows(), "9**9**9**9 < d").any()


def test_all_flags_have_names():
    assert {"predicted", "observed", "indexed", "in_powder_ring", "scaled", "not_suitable_for_refinement"} <= set(FLAGS)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"id": (1,)}, [5, 6, 7]),
        ({"panel": (0, 2)}, [0, 2, 3, 5, 6]),
        ({"d_min": 2, "d_max": 4}, [1, 2, 4, 5, 6]),
        ({"partiality.min": 0.5, "partiality.max": 0.98}, [2, 3]),
        ({"select_good_intensities": True}, [5, 6]),
        ({"ice_rings.filter": True}, [0, 1, 2, 3, 4, 7]),
        ({"ice_rings.filter": True, "ice_rings.d_min": 3.8}, [0, 1, 2, 3, 4, 6, 7]),
        ({"flag_expression": "integrated_sum", "d_min": 3.5}, [5, 6]),
    ],
)
def test_rules(params, expected):
    assert kept(**params) == expected


def test_without_rules_flags_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_reflections(rows(), "x.refl")
    assert main(["filter_reflections", "x.refl"]) == 0
    text = capsys.readouterr().out
    assert "outlier_in_scaling" in text and "dont_integrate" not in text
    assert not (tmp_path / "filtered.refl").exists()
    assert main(["filter_reflections", "x.refl", "flag_expression=strong & ~indexed"]) == 0
    found = read_reflections("filtered.refl")
    assert len(found) == 1 and found.identifiers == {0: "a", 1: "b"}
    assert "Selected 1 reflections by flags" in capsys.readouterr().out
    assert main(["filter_reflections", "x.refl", "d_min=100"]) == 0
    assert "no reflection is left" in capsys.readouterr().out


def sweep():
    one = rotation_experiment(10)
    scan = replace(one.scan, exposure_times=np.full(10, 0.1))
    return replace(
        one,
        identifier="a",
        scan=scan,
        profile={"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.1, "sigma_m": 0.02},
    )


def test_resolution_comes_from_where_it_is_known():
    experiments = Experiments([sweep()])
    A = experiments[0].crystal.A
    table = ReflectionTable(
        {
            "id": np.array([0, -1]),
            "miller_index": np.array([(2, 0, 0), (0, 0, 0)]),
            "rlp": np.array([[9.0, 0, 0], [0.25, 0, 0]]),
        }
    )
    assert np.allclose(d_spacings(table, experiments), [1 / np.linalg.norm(2 * A[:, 0]), 4.0])
    assert np.allclose(d_spacings(table, None), [1 / 9, 4.0])
    spots = ReflectionTable(
        {"id": np.array([0, -1]), "panel": np.zeros(2), "xyzobs.px.value": np.array([[10.0, 10, 1], [10, 10, 1]])}
    )
    corner = experiments[0].detector.resolution_at(0, [[10.0, 10.0]], experiments[0].beam.s0)
    assert np.allclose(d_spacings(spots, experiments), corner)
    with pytest.raises(ParameterError, match="give the experiments"):
        d_spacings(spots, None)


def test_reflections_within_the_dead_time_are_rejected():
    """Half of each image is dead; reflections of a tenth of an image's width sit at its quarters."""
    experiment = sweep()
    width = experiment.scan.oscillation[1]
    sigma = np.degrees(width) / 60.0
    experiment = replace(experiment, profile={"n_sigma": 3.0, "sigma_m": sigma})
    z = np.array([2.25, 2.75, 2.5, 9.99, 0.01])
    position = np.stack([z * 0, z * 0, experiment.scan.angle_from_array_index(z)], axis=1)
    table = ReflectionTable({"xyzcal.mm": position, "zeta": np.ones(5)})
    rejected, counts = in_dead_time(table, Experiments([experiment]), 50.0, 0.4)
    assert rejected.tolist() == [False, True, True, True, False]
    assert counts == [(1, 0), (2, 0), (3, 2), *((k, 0) for k in range(4, 10)), (10, 1)]
    assert in_dead_time(table, Experiments([experiment]), 50.0, 0.6)[0].tolist() == [False, True, False, False, False]
    assert in_dead_time(table, Experiments([experiment]), 1e9, 0.4)[0].all()
    for change, message in (
        ({"profile": None}, "no profile model"),
        ({"scan": rotation_experiment(10).scan}, "no exposure times"),
    ):
        with pytest.raises(ParameterError, match=message):
            in_dead_time(table, Experiments([replace(experiment, **change)]), 5.0, 0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d_min=3", "d_max=2"], "no reflection is between"),
        (["dead_time.reject_fraction=0.5"], "give dead_time.value="),
        (["dead_time.value=5"], "give the experiment"),
        (["expression=d > "], "not understood"),
        (["expression=d > 1 & d < 3"], "write brackets"),
        (["flag_expression=nosuch"], "there is no flag nosuch"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write_reflections(rows(), "x.refl")
    assert main(["filter_reflections", "x.refl", *words]) == 2
    assert message in capsys.readouterr().err


def test_experiments_alone_are_not_enough(tmp_path):
    write_experiments(Experiments([sweep()]), tmp_path / "x.expt")
    with pytest.raises(UserError, match="give a reflection file"):
        spindle.run("filter_reflections", Experiments([sweep()]))
