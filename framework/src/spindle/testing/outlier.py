"""What every outlier algorithm must do. Subclass `OutlierContract` and name the algorithm.

>>> class TestMine(OutlierContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from spindle.plugins.host import Handle

from .calls import CallContract, Problem

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


class OutlierContract(CallContract):
    """Checks of one outlier algorithm.

    Attributes
    ----------
    rejects : bool
        False for an algorithm that by design rejects nothing.

    """

    slot: ClassVar[str] = "outlier"
    rejects: ClassVar[bool] = True
    budget_us: ClassVar[float] = 5.0

    def problem(self, which: int) -> Problem:
        residuals, _ = contaminated_residuals((700, 700, 90)[which], (30, 60, 5)[which], seed=10 + which)
        return "find_outliers", {"residuals": residuals * (1 + which), "names": NAMES, "pixel_size": PIXEL_SIZE}

    def large_problem(self) -> tuple[Problem, int]:
        residuals, _ = contaminated_residuals(20_000, 500, seed=13)
        return ("find_outliers", {"residuals": residuals, "names": NAMES, "pixel_size": PIXEL_SIZE}), len(residuals)

    def telling_problems(self) -> list[Problem]:
        """Many outliers and heavy tails: what options may be for."""
        rng = np.random.default_rng(14)
        heavy = rng.standard_t(2.0, (600, 3)) * (0.02, 0.02, 0.001)
        many, _ = contaminated_residuals(600, 150, seed=15)
        return [("find_outliers", {"residuals": r, "names": NAMES, "pixel_size": PIXEL_SIZE}) for r in (heavy, many)]

    def find(self, plugin: Handle, residuals: np.ndarray, pixel_size: np.ndarray = PIXEL_SIZE) -> np.ndarray:
        """Call the hook as refiners do."""
        flags: np.ndarray = plugin.find_outliers(
            residuals=residuals, names=NAMES[: residuals.shape[1]], pixel_size=pixel_size
        )
        return flags

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    @pytest.mark.parametrize("column", [0, 1, 2])
    def test_every_column_is_looked_at_on_both_sides(self, plugin: Handle, column: int, sign: float) -> None:
        residuals, _ = contaminated_residuals(1000, 0, seed=16)
        bad = np.zeros(1000, np.bool_)
        bad[::40] = True
        residuals[bad, column] += sign * (0.4, 0.4, 0.02)[column]
        flags = self.find(plugin, residuals)
        assert flags[bad].all() == self.rejects, f"{NAMES[column]} is not looked at"
        assert flags[~bad].mean() < 0.1

    def test_signs_of_residuals_do_not_matter(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(800, 40, seed=17)
        assert np.mean(self.find(plugin, residuals) != self.find(plugin, -residuals)) < 0.01

    def test_columns_are_treated_alike(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(800, 40, seed=18)
        swapped = np.ascontiguousarray(residuals[:, [1, 0, 2]])
        assert np.mean(self.find(plugin, residuals) != self.find(plugin, swapped)) < 0.01

    @pytest.mark.parametrize("scale", [1e-4, 1e-2, 100.0])
    def test_what_is_an_outlier_depends_on_the_others_alone(self, plugin: Handle, scale: float) -> None:
        residuals, bad = contaminated_residuals(1000, 40, seed=19)
        for factor in (np.full(3, scale), np.array([1.0, 1.0, scale]), np.array([scale, scale, 1.0])):
            flags = self.find(plugin, residuals * factor, PIXEL_SIZE * factor[:2])
            assert flags[bad].all() == self.rejects and flags[~bad].mean() < 0.1

    def test_a_common_offset_makes_no_outliers(self, plugin: Handle) -> None:
        residuals, bad = contaminated_residuals(1000, 40, seed=20)
        flags = self.find(plugin, residuals + [0.03, -0.02, 0.001])
        assert flags[bad].all() == self.rejects and flags[~bad].mean() < 0.15

    def test_many_outliers_do_not_hide_each_other(self, plugin: Handle) -> None:
        residuals, bad = contaminated_residuals(1000, 120, seed=21)
        flags = self.find(plugin, residuals)
        assert flags[bad].mean() > 0.95 or not self.rejects
        assert flags[~bad].mean() < 0.1

    def test_pixels_need_not_be_square(self, plugin: Handle) -> None:
        residuals, bad = contaminated_residuals(1000, 40, seed=22)
        flags = self.find(plugin, residuals, np.array([0.05, 0.3]))
        assert flags[bad].all() == self.rejects and flags[~bad].mean() < 0.1

    @pytest.mark.parametrize("n", [12, 30, 80])
    def test_small_groups_have_outliers_too(self, plugin: Handle, n: int) -> None:
        residuals, _ = contaminated_residuals(n, 0, seed=23)
        residuals[n // 2, 0] += 5.0
        flags = self.find(plugin, residuals)
        assert flags[n // 2] == self.rejects
        assert flags.mean() < 0.6

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

    def test_few_and_two_dimensional_residuals_are_taken(self, plugin: Handle) -> None:
        residuals, _ = contaminated_residuals(20, 1)
        flags = plugin.find_outliers(
            residuals=np.ascontiguousarray(residuals[:, :2]), names=NAMES[:2], pixel_size=PIXEL_SIZE
        )
        assert flags.shape == (20,)
