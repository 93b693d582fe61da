"""What every correction of absorption must do. Subclass `AbsorptionContract` and name the plugin.

>>> class TestMine(AbsorptionContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.profile import ForegroundMasks
from spindle.models import Experiment
from spindle.table import ReflectionTable

from .contract import PluginContract
from .data import make_context
from .exporter import integrated_data

__all__ = ["AbsorptionContract"]


def whole_boxes(table: ReflectionTable) -> ForegroundMasks:
    """All pixels of the boxes belong to the spots."""
    offsets = ForegroundMasks.offsets_of(table["bbox"])
    return ForegroundMasks(offsets, np.ones(int(offsets[-1]), np.uint8))


class AbsorptionContract(PluginContract):
    """Conformance tests of the ``absorption`` slot; see `PluginContract` for ``name`` and ``parameters``.

    Attributes
    ----------
    nothing : dict of parameters
        Dotted parameters with which nothing is absorbed, such as a thickness of 0; without them that is not tested.
    """

    slot: ClassVar[str] = "absorption"
    nothing: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def data(self) -> tuple[Experiment, ReflectionTable]:
        """An experiment with its predictions."""
        experiments, table = integrated_data()
        table["bbox"] = np.tile(np.array([0, 5, 0, 5, 2, 4], np.int32), (len(table), 1))
        return experiments[0], table

    def factors(self, plugin: Any, experiment: Experiment, table: ReflectionTable) -> AbsorptionFactors:
        """Factors as the program asks for them."""
        found: AbsorptionFactors = plugin.absorption_factors(
            experiment=experiment, reflections=table, foreground=whole_boxes(table)
        )
        return found

    def test_answers_for_every_reflection(self, plugin: Any, data: tuple[Experiment, ReflectionTable]) -> None:
        experiment, table = data
        for n in (len(table), 1, 0):
            found = self.factors(plugin, experiment, table.select(np.arange(n)))
            assert found.factor.shape == found.sigma.shape == (n,)
            assert np.all(found.factor >= 1.0) and np.all(found.sigma >= 0.0)

    def test_a_factor_is_that_of_the_reflection_alone(
        self, plugin: Any, data: tuple[Experiment, ReflectionTable]
    ) -> None:
        experiment, table = data
        order = np.random.default_rng(0).permutation(len(table))
        whole, shuffled = self.factors(plugin, experiment, table), self.factors(plugin, experiment, table.select(order))
        np.testing.assert_allclose(shuffled.factor, whole.factor[order], rtol=1e-12)
        np.testing.assert_allclose(shuffled.sigma, whole.sigma[order], rtol=1e-9, atol=1e-15)
        some = self.factors(plugin, experiment, table.select(order[:7]))
        np.testing.assert_allclose(some.factor, whole.factor[order[:7]], rtol=1e-12)

    def test_what_absorbs_nothing_changes_nothing(self, data: tuple[Experiment, ReflectionTable]) -> None:
        if not self.nothing:
            pytest.skip("the author names no parameters with which nothing is absorbed")
        plugin = make_context().algorithm("absorption", self.name, self.params_with(self.nothing))
        found = self.factors(plugin, *data)
        np.testing.assert_array_equal(found.factor, 1.0)
        np.testing.assert_array_equal(found.sigma, 0.0)

    def params_with(self, changes: dict[str, Any]) -> Any:
        """Parameters of the plugin with some of them changed."""
        from spindle.params import Assignment, build
        from spindle.plugins import registry

        given = [Assignment(k, v, "test") for k, v in {**self.parameters, **changes}.items()]
        return build(registry().load(self.slot, self.name).Params, given)  # type: ignore[attr-defined]

    def test_leaves_its_input_alone(self, plugin: Any, data: tuple[Experiment, ReflectionTable]) -> None:
        experiment, table = data
        before = table.copy()
        self.factors(plugin, experiment, table)
        assert set(table.columns) == set(before.columns)
        for name in table:
            np.testing.assert_array_equal(table[name], before[name])

    def test_the_length_of_the_beams_does_not_matter(
        self, plugin: Any, data: tuple[Experiment, ReflectionTable]
    ) -> None:
        """Directions count: the same beams at another wavelength are absorbed alike."""
        from dataclasses import replace

        experiment, table = data
        before = self.factors(plugin, experiment, table)
        longer = table.view()
        longer["s1"] = table["s1"] / 1.0000001
        beam = replace(experiment.beam, wavelength=1.0000001 * experiment.beam.wavelength)
        after = self.factors(plugin, replace(experiment, beam=beam), longer)
        np.testing.assert_allclose(after.factor, before.factor, rtol=1e-5)
