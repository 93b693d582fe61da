from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from spindle.errors import ParameterError
from spindle.params import (
    Assignment,
    Choice,
    Float,
    HostParams,
    Int,
    Ints,
    Params,
    Plugin,
    Str,
    UnrecordedParams,
    build,
    make,
    parse_phil,
    to_dict,
    walk,
)
from spindle.plugins import UnknownPlugin


class Tree(Params):
    class filter(Params):
        """Rules that drop spots."""

        d_min = Float(None, min=0)

        class untrusted(Params, multiple=True, level=2):
            panel = Int(None)
            circle = Ints(None, size=3)

    class ice(Params):
        d_min = Float(None, min=0)
        width = Float(0.002)

    class output(Params):
        log = Str("a.log")

    lambda_ = Float(1.0)
    ranges = Ints([(1, 2)], size=2, multiple=True)


def of(*words: str) -> Params:
    return build(Tree, [Assignment(*w.split("=", 1)) for w in words])


def test_unique_suffixes_are_names():
    tree = of("width=0.1", "ice.d_min=2")
    assert (tree.ice.width, tree.ice.d_min, tree.filter.d_min) == (0.1, 2, None)


def test_whole_names_win_over_suffixes():
    class Nested(Params):
        n = Int(1)

        class inner(Params):
            n = Int(1)

    tree = build(Nested, [Assignment("n", "5")])
    assert (tree.n, tree.inner.n) == (5, 1)


def test_parameters_come_before_those_of_the_scopes_beside_them():
    class Nested(Params):
        class filter(Params):
            d_min = Float(None)

            class ice_rings(Params):
                d_min = Float(None)

    tree = build(Nested, [Assignment("d_min", "2"), Assignment("ice_rings.d_min", "3")])
    assert (tree.filter.d_min, tree.filter.ice_rings.d_min) == (2, 3)


def test_parameters_come_before_those_that_the_help_shows_later():
    class Levels(Params):
        class geometry(Params):
            wavelength = Float(None, level=1)

        class tolerance(Params, level=2):
            wavelength = Float(1e-6)

    tree = build(Levels, [Assignment("wavelength", "0.98")])
    assert (tree.geometry.wavelength, tree.tolerance.wavelength) == (0.98, 1e-6)


def test_levels_do_not_choose_between_the_programs_that_are_run():
    from spindle.execution.runner import effective_params, make_host

    with pytest.raises(ParameterError, match=r"ambiguous.*find_spots\..*gain"):
        effective_params("process", [Assignment("gain", "30")], make_host())


def test_the_number_of_workers_is_that_of_the_run():
    from spindle.execution.runner import effective_params, make_host

    for program in ("index", "process"):
        assert effective_params(program, [Assignment("nproc", "3")], make_host()).mp.nproc == 3


def test_ambiguous_keys_name_all_candidates():
    with pytest.raises(ParameterError, match=r"ambiguous.*filter\.d_min, ice\.d_min"):
        of("d_min=2")


def test_unknown_keys_name_close_ones():
    with pytest.raises(ParameterError, match=r"did you mean ice\.width"):
        of("widht=2")


def test_parts_of_names_are_not_suffixes():
    with pytest.raises(ParameterError, match="is not a parameter"):
        of("idth=2")


def test_errors_tell_name_value_source_and_type():
    with pytest.raises(ParameterError, match=r"ice\.width=wide \(command line\): expected a number$"):
        of("width=wide")


def test_last_assignment_wins():
    assert of("width=1", "ice.width=2").ice.width == 2


def test_keyword_names_lose_their_underscore():
    assert of("lambda=2").lambda_ == 2
    assert "lambda" in to_dict(of())


def test_repeated_parameters_replace_the_default_and_add_up():
    assert of().ranges == ((1, 2),)
    assert of("ranges=3,4", "ranges=5,6").ranges == ((3, 4), (5, 6))
    assert of("ranges=None").ranges == ()


def test_multiple_scopes_begin_anew_when_a_key_repeats():
    tree = of("untrusted.panel=1", "untrusted.circle=1,2,3", "untrusted.panel=2")
    assert [(u.panel, u.circle) for u in tree.filter.untrusted] == [(1, (1, 2, 3)), (2, None)]


def test_multiple_scopes_follow_the_blocks_of_a_file():
    text = "filter { untrusted { panel=1 } untrusted { panel=2\n circle = 1 2 3 } }\nuntrusted.panel=3"
    tree = build(Tree, parse_phil(text, "file"))
    assert [(u.panel, u.circle) for u in tree.filter.untrusted] == [(1, None), (2, (1, 2, 3)), (3, None)]


def test_levels_add_up_along_the_scopes():
    levels = {e.path: e.level for e in walk(of(), templates=True)}
    assert levels["filter.untrusted.panel"] == 2
    assert levels["filter.d_min"] == 0


def test_scopes_and_values_may_be_given_from_python():
    tree = make(Tree, ice={"width": 0.5}, filter__d_min=3, **{"output.log": "b.log"})
    assert (tree.ice.width, tree.filter.d_min, tree.output.log) == (0.5, 3, "b.log")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_equal_and_independent(duplicate):
    tree = of("untrusted.panel=1", "width=1")
    twin = duplicate(tree)
    assert twin == tree
    other = twin.changed({"ice.width": 2, "filter.untrusted[0].panel": 5})
    assert (other.ice.width, other.filter.untrusted[0].panel) == (2, 5)
    assert [(t.ice.width, t.filter.untrusted[0].panel) for t in (tree, twin)] == [(1, 1), (1, 1)]


# -- plugins


@pytest.fixture
def trial(install):
    install("trial_plugins")
    from trial_plugins import Trial

    return lambda *words: build(Trial.Params, [Assignment(*w.split("=", 1)) for w in words])


def test_parameters_of_the_chosen_algorithm_are_in_scope(trial):
    assert trial("offset=3").squares.plain.offset == 3
    tree = trial("squares.algorithm=fancy", "fancy.robust.tuning_constant=1.5")
    assert tree.squares.fancy.robust.tuning_constant == 1.5
    assert not hasattr(tree.squares, "plain")


def test_the_order_of_choice_and_parameters_does_not_matter(trial):
    assert trial("tuning_constant=1.5", "squares.algorithm=fancy").squares.fancy.robust.tuning_constant == 1.5


def test_a_scope_stands_for_the_algorithm_chosen_in_it(trial):
    assert trial("squares=fancy").squares.algorithm == "fancy"


@pytest.mark.parametrize("key", ["fancy.robust.tuning_constant", "tuning_constant", "squares.fancy.nonsense"])
def test_keys_of_an_unselected_algorithm_say_so(trial, key):
    with pytest.raises(
        ParameterError, match=r"'fancy', but squares\.algorithm=plain is selected; add squares\.algorithm=fancy"
    ):
        trial(f"{key}=2")


def test_unknown_algorithms_name_the_parameter_and_the_installed_ones(trial):
    with pytest.raises(
        UnknownPlugin, match=r"squares\.algorithm=fance .*installed are: fancy, plain\. Did you mean fancy"
    ):
        trial("squares.algorithm=fance")


def test_attached_scopes_survive_copying(trial):
    tree = trial("squares=fancy", "curvature=2")
    twin = pickle.loads(pickle.dumps(tree))
    assert twin.squares.fancy.model.curvature == 2
    assert twin == tree


def test_own_parameters_come_before_those_of_programs_that_are_run(install):
    install("trial_plugins")
    from trial_plugins import TrialChain

    class Own(TrialChain.Params):
        n = Int(1)

    tree = build(Own, [Assignment("n", "7"), Assignment("first.n", "8"), Assignment("offset", "2")])
    assert (tree.n, tree.first.n, tree.first.squares.plain.offset) == (7, 8, 2)


def test_programs_may_leave_no_log_and_no_record_by_default():
    class Quiet(UnrecordedParams):
        n = Int(1, help="A number.")

    tree = build(Quiet, [], host=HostParams)
    assert (tree.output.log, tree.run.record, tree.run.seed) == (None, None, 42)
    assert build(Quiet, [Assignment("record", "a.json")], host=HostParams).run.record == "a.json"


def test_two_parameters_may_choose_from_one_slot():
    class Two(Params):
        first = Plugin("threshold", default=None)
        second = Plugin("threshold", default=None)

    one = make(Two, first="dispersion")
    assert (one.first, one.second) == ("dispersion", None)
    both = make(Two, first="dispersion", second="radial_profile", **{"dispersion.sigma_strong": 5})
    assert both.dispersion.sigma_strong == 5 and hasattr(both, "radial_profile")
    with pytest.raises(ParameterError, match="have parameters of the same names"):
        make(Two, first="dispersion", second="dispersion_extended")


def test_a_plugins_name_means_the_choice_among_parameters_of_the_same_name():
    class Tied(Params):
        class threshold(Params):
            algorithm = Plugin("threshold", default="dispersion_extended")

        class block(Params):
            threshold = Float(0.95)

        class fitting(Params):
            threshold = Float(0.02)

    tree = build(Tied, [Assignment("threshold", "radial_profile"), Assignment("n_iqr", "4")])
    assert (tree.threshold.algorithm, tree.threshold.radial_profile.n_iqr) == ("radial_profile", 4)
    with pytest.raises(ParameterError, match=r"ambiguous; write one of block\.threshold, fitting\.threshold"):
        build(Tied, [Assignment("threshold", "0.5")])


# -- nothing changes once it is made


def test_assignment_raises_and_says_what_to_do():
    tree = of("untrusted.panel=1")
    for owner, name in [(tree.ice, "width"), (tree, "ice"), (tree, "lambda_"), (tree.filter.untrusted[0], "panel")]:
        with pytest.raises(FrozenInstanceError, match=rf"params\.changed\({name}="):
            setattr(owner, name, 1)
    with pytest.raises(AttributeError):
        tree.filter.untrusted.append(tree.filter.untrusted[0])
    assert tree == of("untrusted.panel=1")


def test_a_changed_copy_is_checked_like_any_tree():
    tree = Tree()
    assert tree.changed(ice__width=0.5).ice.width == 0.5
    assert tree.changed({"output.log": "b.log"}, filter__d_min="3").filter.d_min == 3.0
    assert tree.ice.width == 0.002
    with pytest.raises(ParameterError, match=r"filter\.d_min=-1 \(call\): must be at least 0"):
        tree.changed(filter__d_min=-1)
    with pytest.raises(ParameterError, match="did you mean"):
        tree.changed(filter__d_mim=1)


def test_whole_scopes_are_changed():
    tree = of("untrusted.panel=1")
    assert tree.changed(ice=Tree.ice(width=3)).ice.width == 3
    more = tree.changed(filter__untrusted=[*tree.filter.untrusted, type(tree.filter.untrusted[0])(panel=2)])
    assert [u.panel for u in more.filter.untrusted] == [1, 2]
    assert [u.panel for u in more.changed(filter__untrusted=[{"panel": 7}]).filter.untrusted] == [7]
    assert tree.changed(filter__untrusted=[]).filter.untrusted == ()


def test_what_is_expected_is_said_once():
    class Chosen(Params):
        colour = Choice(["red", "green"], default="red")
        width = Float(1.0, min=0)

    with pytest.raises(ParameterError, match=r"^colour=blue \(command line\): choose from red, green$"):
        build(Chosen, [Assignment("colour", "blue", "command line")])
    with pytest.raises(ParameterError, match=r"must be at least 0 \(expected float >= 0\)$"):
        build(Chosen, [Assignment("width", "-1", "command line")])
