"""Images that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ParameterError
from spindle.table import ReflectionTable
from spindle_lib_image_ranges import excluded_images, on_excluded_images


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, []),
        (["1:3:5"], [(1, 3, 5)]),
        (["3:5"], [(0, 3, 5), (1, 3, 5)]),
        (["7"], [(0, 7, 7), (1, 7, 7)]),
        ([["0:1:1", "2"], "1:4:9"], [(0, 1, 1), (0, 2, 2), (1, 2, 2), (1, 4, 9)]),
        (["0:0:3"], [(0, 0, 3)]),
    ],
)
def test_words_are_ranges_of_images(words, expected):
    assert excluded_images(words, 2) == expected


@pytest.mark.parametrize("word", ["", "x", "a:b", "1:2:3:4", "9:2", "0:9:2", "1.5", "3-5"])
def test_other_words_are_refused_with_the_parameter(word):
    with pytest.raises(ParameterError, match=r"filter\.exclude_images=.*write experiment:first:last"):
        excluded_images([word], 2, "filter.exclude_images")


@pytest.mark.parametrize("word", ["2:1:2", "-1:1:2"])
def test_experiments_that_are_not_there_are_refused(word):
    with pytest.raises(ParameterError, match=r"no experiment .*only 0 to 1"):
        excluded_images([word], 2)


def test_reflections_on_the_images_are_found():
    table = ReflectionTable({"id": np.array([0, 0, 0, 1], np.int32), "xyzcal.px": np.zeros((4, 3))})
    table["xyzcal.px"][:, 2] = [1.99, 2.0, 5.0, 3.0]
    assert on_excluded_images(table, excluded_images(["0:3:5"], 2), "xyzcal.px").tolist() == [False, True, False, False]
    assert not on_excluded_images(table, [], "xyzcal.px").any()


def test_each_range_is_of_its_own_experiment():
    """In any order of rows, ranges that overlap, experiments without rows and rows without experiment."""
    rng = np.random.default_rng(3)
    table = ReflectionTable(
        {"id": rng.integers(-1, 4, 500).astype(np.int32), "xyzcal.px": rng.uniform(0, 20, (500, 3))}
    )
    ranges = excluded_images(["0:3:5", "2:1:9", "2:8:12", "5:1:20", "15:16"], 6)
    z = table["xyzcal.px"][:, 2]
    expected = [
        any(e == i and first - 1 <= x < last for e, first, last in ranges) for i, x in zip(table["id"], z, strict=True)
    ]
    assert on_excluded_images(table, ranges, "xyzcal.px").tolist() == expected
    assert 50 < sum(expected) < 450
