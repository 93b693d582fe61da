"""What every outlier algorithm must do. Subclass `OutlierContract` and name the algorithm.

>>> class TestMine(OutlierContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from spindle.plugins.host import Handle

from .contract import PluginContract

__all__ = ["OutlierContract", "contaminated_residuals"]

NAMES = ("x_resid", "y_resid", "phi_resid")
PIXEL_SIZE = np.array([0.172, 0.172])


def contaminated_residuals(n: int = 1000, n_bad: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal residuals (n, 3) in mm, mm, radians, and which rows (n,) were moved 20 standard deviations away in x
    and y.
    """
    rng = np.random.default_rng(seed)
    sd = np.array([0.02, 0.02, 0.001])
    residuals = rng.normal(size=(n, 3)) * sd
    bad = np.zeros(n, dtype=bool)
    bad[rng.choice(n, n_bad, replace=False)] = True
    angle = rng.uniform(0, 2 * np.pi, n_bad)
    residuals[bad, :2] += 0.4 * np.column_stack([np.cos(angle), np.sin(angle)])
    return residuals, bad


class OutlierContract(PluginContract):
    """Checks of one outlier algorithm.

    Attributes
    ----------
    rejects : bool
        False for an algorithm that by design rejects nothing.

    """

    slot: ClassVar[str] = "outlier"
    rejects: ClassVar[bool] = True

    def test_answers_for_every_row(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(200, 10)
        flags = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        assert flags.shape == (200,) and flags.dtype == np.bool_

    def test_finds_gross_outliers_and_keeps_the_bulk(self, plugin: Handle) -> None:
        residuals, bad = contaminated_residuals()
        flags = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        if not self.rejects:
            assert not flags.any()
            return
        assert flags[bad].all()
        assert flags[~bad].mean() < 0.1

    @pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 9])
    def test_takes_any_number_of_rows(self, plugin: Handle, n: int) -> None:
        residuals, _ = contaminated_residuals(20, 0)
        flags = plugin.find_outliers(residuals=residuals[:n].copy(), names=NAMES, pixel_size=PIXEL_SIZE)
        assert flags.shape == (n,) and flags.dtype == np.bool_

    @pytest.mark.parametrize("residual", [(0.0, 0.0, 0.0), (0.03, -0.02, 1e-4), (1e-3, 1e-3, 0.0)])
    @pytest.mark.parametrize("n", [4, 10, 100, 1000])
    def test_identical_rows_have_no_outliers(self, plugin: Handle, n: int, residual: tuple[float, ...]) -> None:
        rounding = 1.0 + 2.0**-52 * np.random.default_rng(0).integers(-1, 2, (n, 3))
        for residuals in (np.tile(residual, (n, 1)), np.tile(residual, (n, 1)) * rounding):
            flags = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
            assert not flags.any()

    def test_a_column_without_spread_hides_no_outlier(self, plugin: Handle) -> None:
        residuals, bad = contaminated_residuals()
        residuals[:, 2] = 1e-4
        flags = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        assert flags[bad].all() == self.rejects
        assert flags[~bad].mean() < 0.1

    def test_order_of_rows_does_not_matter_much(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(500, 20)
        order = np.random.default_rng(3).permutation(500)
        straight = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        shuffled = plugin.find_outliers(residuals=residuals[order], names=NAMES, pixel_size=PIXEL_SIZE)
        assert np.mean(straight[order] != shuffled) < 0.03

    def test_same_input_same_answer(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(700, 30)
        first = plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        assert np.array_equal(first, plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE))

    def test_input_is_not_changed(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(200, 10)
        before = residuals.copy()
        plugin.find_outliers(residuals=residuals, names=NAMES, pixel_size=PIXEL_SIZE)
        assert np.array_equal(residuals, before)

    def test_few_and_two_dimensional_residuals_are_taken(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(20, 1)
        flags = plugin.find_outliers(
            residuals=np.ascontiguousarray(residuals[:, :2]), names=NAMES[:2], pixel_size=PIXEL_SIZE
        )
        assert flags.shape == (20,)
