"""Declared short names, names that count only with their scope, and the options of other programs."""

from __future__ import annotations

import re

import pytest

from spindle.errors import ParameterError
from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment, Float, Params, ShortName, to_dict, walk
from spindle.params.resolve import build


def of(program, *words):
    """Parameters of a program that differ from their defaults."""
    assignments = [Assignment(*word.split("=", 1)) for word in words]
    params = effective_params(program, assignments, make_host())
    return {e.path: e.value for e in walk(params) if e.is_modified}


class Chain(Params):
    d_min = ShortName("a.d_min", "b.filter.d_min", help="Limit.")
    all_ = ShortName("a.limit", values={"true": None, "false": 3.0}, help="Everything.")

    class a(Params):
        d_min = Float(None)
        limit = Float(2.0, none=True)

    class b(Params):
        d_min = Float(None)

        class filter(Params):
            d_min = Float(None)


def test_a_short_name_sets_its_parameters_and_no_other():
    tree = build(Chain, [Assignment("d_min", "2")])
    assert (tree.a.d_min, tree.b.filter.d_min, tree.b.d_min) == (2, 2, None)


def test_later_assignments_win_over_short_names_and_short_names_over_earlier_ones():
    tree = build(Chain, [Assignment("d_min", "2"), Assignment("a.d_min", "3")])
    assert (tree.a.d_min, tree.b.filter.d_min) == (3, 2)
    tree = build(Chain, [Assignment("a.d_min", "3"), Assignment("d_min", 2.0)])
    assert (tree.a.d_min, tree.b.filter.d_min) == (2, 2)


def test_words_of_a_short_name_stand_for_values():
    assert build(Chain, [Assignment("all_", "True")]).a.limit is None
    assert build(Chain, [Assignment("all_", False)]).a.limit == 3
    with pytest.raises(ParameterError, match=r"all_=7 .*true, false"):
        build(Chain, [Assignment("all_", "7")])


def test_a_wrong_value_names_the_parameter_and_what_was_typed():
    with pytest.raises(ParameterError, match=r"a\.d_min=x \(command line, d_min=\)"):
        build(Chain, [Assignment("d_min", "x")])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("space_group=P-1", {"index.indexing.known_symmetry.space_group": "P -1"}),
        (
            "unit_cell=10,11,12,90,90,90",
            {"index.indexing.known_symmetry.unit_cell": (10.0, 11.0, 12.0, 90.0, 90.0, 90.0)},
        ),
        (
            "d_min=2",
            {
                "find_spots.spotfinder.filter.d_min": 2.0,
                "integrate.prediction.d_min": 2.0,
                "scale.cut_data.d_min": 2.0,
                "merge.d_min": 2.0,
            },
        ),
        ("anomalous=True", {"scale.anomalous": True}),  # merge keeps Friedel mates apart by default
        ("scan_varying=false", {"refine.refinement.parameterisation.scan_varying": False}),
        ("wavelength=0.9", {"import.geometry.beam.wavelength": 0.9}),
        ("max_lattices=2", {"index.indexing.multiple_lattice_search.max_lattices": 2}),
        ("nproc=1", {"mp.nproc": 1}),
        ("mp.method=multiprocessing", {}),
        ("mp.method=MULTIPROCESSING", {}),
    ],
)
def test_what_everybody_types_on_process_has_one_meaning(word, expected):
    assert of("process", word) == expected


@pytest.mark.parametrize("program", ["find_spots", "index", "integrate"])
def test_the_default_executor_of_other_programs_is_known(program):
    """Wherever a program has its own scope mp, as in ``integration.mp.method``, the name is known too."""
    assert of(program, "mp.method=multiprocessing") == {}
    assert of(program, "mp.method=*multiprocessing drmaa sge lsf pbs") == {}
    found = of(program, "mp.method=sge")
    assert {name.rpartition("mp.")[2]: value for name, value in found.items()} == {
        "method": "dask",
        "dask.cluster": "sge",
    }


@pytest.mark.parametrize("program", ["find_spots", "generate_mask"])
@pytest.mark.parametrize("word", ["space_group=P1", "unit_cell=10,11,12,90,90,90"])
def test_the_symmetry_of_ice_is_never_meant_by_a_crystal_s(program, word):
    name, _, value = word.partition("=")
    with pytest.raises(ParameterError, match=rf"ice_rings\.{name}.*It is a parameter of spindle"):
        of(program, word)
    assert [path.rpartition(".")[2] for path in of(program, f"ice_rings.{name}={value}")] == [name]


def test_the_symmetry_of_a_crystal_is_known_to_index_alone():
    assert of("index", "space_group=19") == {"indexing.known_symmetry.space_group": "P 21 21 21"}
    for program in ("refine", "integrate", "scale"):
        with pytest.raises(ParameterError, match=r"is not a parameter.*spindle .*, index,"):
            of(program, "space_group=19")


def test_options_of_the_tutorial_for_refinement():
    path = "refinement.reflections"
    assert of("refine", "use_all_reflections=true") == {f"{path}.reflections_per_degree": None}
    assert of("refine", "do_outlier_rejection=False") == {f"{path}.outlier.algorithm": "null"}
    assert of("refine", "do_outlier_rejection=true", "bin_size_fraction=0.0") == {}


def test_a_record_has_the_parameters_and_not_the_short_names():
    params = effective_params("process", [Assignment("d_min", "2")], make_host())
    assert not [key for key in to_dict(params) if re.fullmatch("d_min|space_group|anomalous", key)]
