"""What every plugin must fulfil, whatever its slot."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

import pytest

from spindle.contracts.smallest import smallest_calls
from spindle.errors import PluginError, UserError
from spindle.params import Assignment, Bool, Choice, Entry, Float, Int, Params, Plugin, walk
from spindle.params.resolve import build
from spindle.plugins import PluginInfo, mandatory_hooks, registry, spec_of
from spindle.plugins.host import Handle, PluginHost

from .data import make_context


class PluginContract:
    """Checks of one plugin; subclass it (or the contract of a slot) and set ``slot`` and ``name``.

    Attributes
    ----------
    slot, name : str
        The plugin, found by its entry point.
    parameters : dict
        Dotted parameters of the plugin that its tests use.
    expected_failures : dict of str to str
        Checks that the plugin fails by design, and why: ``{"test_order_of_rows_does_not_matter": "it is a running mean"}``. With
        ``[...]`` behind the name only that case of a check. A check that passes all the same is an error.
    """

    slot: ClassVar[str] = ""
    name: ClassVar[str] = ""
    parameters: ClassVar[dict[str, Any]] = {}
    expected_failures: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        unknown = [n for n in cls.expected_failures if not callable(getattr(cls, n.partition("[")[0], None))]
        if unknown:
            raise TypeError(f"{cls.__name__}.expected_failures: there is no check {', '.join(unknown)}")
        if without := [n for n, reason in cls.expected_failures.items() if not str(reason).strip()]:
            raise TypeError(f"{cls.__name__}.expected_failures: say why for {', '.join(without)}")

    @pytest.fixture(autouse=True)
    def _expect_failures(self, request: pytest.FixtureRequest) -> None:
        """Mark the checks that the plugin fails by design."""
        name = request.node.name
        reason = self.expected_failures.get(name) or self.expected_failures.get(name.partition("[")[0])
        if reason:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def info(self) -> PluginInfo:
        """The plugin's entry point."""
        return registry().find(self.slot, self.name)

    @pytest.fixture
    def plugin_class(self, info: PluginInfo) -> Any:
        """The plugin's class, loaded through its entry point and checked against the slot."""
        return registry().load(info.slot, info.name)

    @pytest.fixture
    def params(self, plugin_class: Any) -> Params:
        """Parameters of the plugin."""
        return build(plugin_class.Params or Params, [Assignment(k, v, "test") for k, v in self.parameters.items()])

    @pytest.fixture
    def plugin(self, info: PluginInfo, plugin_class: Any, params: Params) -> Iterator[Handle]:
        """The plugin behind the handle through which programs call it."""
        if reason := plugin_class.unavailable():
            pytest.skip(reason)
        with closing(make_context()) as context:
            yield PluginHost().add(info.slot, info.name, plugin_class.from_params(params, context))

    def test_is_found_by_its_entry_point(self, info: PluginInfo) -> None:
        assert registry().find(info.slot, info.name) == info
        assert info.version != "unknown"

    def test_distribution_has_a_summary(self, info: PluginInfo) -> None:
        assert info.summary, (
            f"{info.distribution}: give the distribution a description, `spindle plugins` and help show it"
        )

    def test_implements_the_hooks_of_its_slot(self, info: PluginInfo, plugin_class: Any) -> None:
        spec = spec_of(info.slot)
        assert spec is not None, f"this host has no slot {info.slot!r}"
        for hook in mandatory_hooks(spec):
            assert callable(getattr(plugin_class, hook))

    def test_answers_the_smallest_input_as_the_contract_says(self, info: PluginInfo, plugin: Handle) -> None:
        results: dict[str, Any] = {}
        for hook, arguments, look in smallest_calls(info.slot):
            if hook in plugin.__dict__:
                with contextlib.suppress(UserError):  # it may refuse so small an input, in words
                    try:
                        results[hook] = plugin.__dict__[hook](**arguments(results))
                        look(results[hook])
                    except PluginError as error:
                        pytest.fail(str(error))

    def test_has_a_docstring(self, plugin_class: Any) -> None:
        assert (plugin_class.__doc__ or "").strip(), (
            f"{plugin_class.__name__} needs a docstring: the help page shows it"
        )

    def test_every_parameter_has_help(self, params: Params) -> None:
        without = [entry.path for entry in walk(params, templates=True) if len(entry.leaf.help or "") < 4]
        assert not without, f"parameters without help: {', '.join(without)}"

    def test_defaults_are_read_back_from_their_text(self, params: Params) -> None:
        for entry in walk(params, templates=True):
            if entry.leaf.multiple:
                continue
            assert entry.leaf.parse(entry.text) == entry.value, f"{entry.path}={entry.text}"

    def test_parameters_survive_pickling(self, params: Params) -> None:
        assert pickle.loads(pickle.dumps(params)) == params

    def test_plugin_survives_pickling(self, info: PluginInfo, plugin_class: Any, plugin: Handle) -> None:
        """It travels to other processes with tasks, with the parameters it has: the defaults, and others."""
        assert_survives_pickling(plugin, plugin.plugin.params)
        params = changed_params(plugin_class, self.parameters)
        with closing(make_context()) as context:
            other = PluginHost().add(info.slot, info.name, plugin_class.from_params(params, context))
            assert_survives_pickling(other, params)

    def test_declares_what_the_slot_knows(self, info: PluginInfo, plugin: Handle) -> None:
        spec = spec_of(info.slot)
        for name, usual in getattr(spec, "declares", {}).items():
            assert isinstance(plugin.declared(name), type(usual)), f"{name} is to be {type(usual).__name__}"

    def test_plugin_class_survives_pickling(self, plugin_class: Any) -> None:
        assert pickle.loads(pickle.dumps(plugin_class)) is plugin_class


#: Parameters that `changed_params` tries to change: programs have hundreds.
MOST_CHANGED = 40


def assert_survives_pickling(plugin: Handle, params: Params | None) -> None:
    """The same plugin with the same parameters arrives, and a second journey changes nothing."""
    packed = pickle.dumps(plugin)
    again = pickle.loads(packed)
    assert (again.slot, again.name, type(again.plugin)) == (plugin.slot, plugin.name, type(plugin.plugin))
    assert again.plugin.params == params
    assert pickle.loads(pickle.dumps(again)).plugin.params == params


def changed_params(plugin_class: Any, given: Mapping[str, Any] | None = None) -> Params:
    """Parameters of a plugin of which as many as possible differ from their defaults and the plugin can still be made.

    Parameters
    ----------
    plugin_class : type
    given : mapping, optional
        Dotted parameters that are set in any case.
    """
    kept = [Assignment(k, v, "test") for k, v in (given or {}).items()]
    params = build(plugin_class.Params or Params, kept)
    entries = [e for e in walk(params) if e.path not in (given or {}) and _others(e)]
    for entry in entries[:MOST_CHANGED]:
        for value in _others(entry):
            trial = [*kept, Assignment(entry.path, value, "test")]
            try:
                changed = build(plugin_class.Params, trial)
                plugin_class.from_params(changed, make_context())
            except UserError:
                continue  # out of its range, or refused beside the others
            kept, params = trial, changed
            break
    return params


def _others(entry: Entry) -> list[Any]:
    """Values that a parameter may have beside its own."""
    leaf: Any = entry.leaf
    if leaf.multiple or entry.unavailable or isinstance(leaf, Plugin):
        return []
    if isinstance(leaf, Bool):
        return [not entry.value]
    if isinstance(leaf, Choice):
        return [c for c in leaf.choices() if c != entry.value and c not in leaf.unavailable_values]
    if isinstance(leaf, Int | Float):
        near = entry.value if isinstance(entry.value, int | float) else 1
        return [type(near)(near * 2), near + 1, near - 1, near / 2]
    return []
