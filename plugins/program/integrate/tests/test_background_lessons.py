"""How many images a background model is shown before shoeboxes are measured."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from spindle_program_integrate.background_lessons import FIRST_IMAGES, learn_background
from spindle_program_integrate.packed_masks import PackedMasks

from spindle.execution import Common
from spindle.table import ReflectionTable

SHAPE = (4, 5)


class Learner:
    """Keeps the numbers of the images that it saw, and says how many are enough."""

    def __init__(self, most: int, enough: int) -> None:
        self.most_images, self.enough = most, enough
        self.seen: list[int] = []

    def add_image(self, number: int, panels: Any, free: Any) -> None:
        assert panels[0].shape == free[0].shape == SHAPE
        self.seen.append(number)

    def join(self, later: Learner) -> None:
        assert later.most_images == self.most_images
        self.seen += later.seen

    def enough_images(self, seen: int) -> int:
        assert seen == len(self.seen)
        return self.enough

    def finish(self) -> list[int]:
        return self.seen

    def tables(self) -> list[Any]:
        return []


def shown(n_images: int, most: int, enough: int, excluded: frozenset[int] = frozenset()) -> list[int]:
    """Numbers of the images that a learner ends with, of a scan that begins with array index 7."""
    panel = SimpleNamespace(trusted_range=(0.0, 10.0))
    sequence: Any = SimpleNamespace(
        experiment=SimpleNamespace(detector=[panel]),
        n_images=n_images,
        read=lambda index, panels: [np.zeros(SHAPE, np.int32)],
    )
    context: Any = SimpleNamespace(
        log=logging.getLogger("test"),
        executor=SimpleNamespace(map=map),
        progress=lambda *_: nullcontext(SimpleNamespace(advance=lambda n: None)),
    )
    correction: Any = SimpleNamespace(apply=lambda raw, out: out)
    background = SimpleNamespace(make_background_learner=lambda experiment: Learner(most, enough))
    table = ReflectionTable(
        {
            "id": np.zeros(0, np.int32),
            "panel": np.zeros(0, np.uint64),
            "s1": np.zeros((0, 3)),
            "xyzcal.px": np.zeros((0, 3)),
            "bbox": np.zeros((0, 6), np.int32),
        }
    )
    learned, _ = learn_background(
        context, background, None, Common(None), sequence, 7, PackedMasks([np.ones(SHAPE, bool)]), [correction],
        excluded, table, np.zeros(0, np.int64),
    )  # fmt: skip
    return list(learned)


def test_first_images_do_where_they_are_enough() -> None:
    seen = shown(160, 100, 3)
    assert len(seen) == FIRST_IMAGES
    assert np.all(np.diff(seen) == 160 // FIRST_IMAGES)  # evenly spread
    assert abs((seen[0] - 7) - (7 + 160 - 1 - seen[-1])) <= 1  # as far from either end


@pytest.mark.parametrize(("enough", "number"), [(40, 40), (1000, 100)])
def test_as_many_as_it_takes_where_they_are_not(enough: int, number: int) -> None:
    seen = shown(160, 100, enough)
    assert len(seen) == len(set(seen)) == number


@pytest.mark.parametrize("n", [1, 5, FIRST_IMAGES])
def test_short_scans_are_seen_whole(n: int) -> None:
    assert shown(n, 100, 1) == list(range(7, 7 + n))


def test_images_that_are_left_out_are_not_shown() -> None:
    assert shown(40, 30, 30, frozenset(range(7, 37))) == list(range(37, 47))
