"""Which spots overlap others, and that looking for them can be interrupted."""

from __future__ import annotations

import signal
import sys
import threading
import time

import numpy as np
import pytest

from spindle.table import ReflectionTable
from spindle_lib_spots.max_cell import overlaps_another


def boxes(n: int, size: int, n_images: int, seed: int = 1) -> ReflectionTable:
    """Spots of two sweeps and two panels, 4 pixels and 2 images wide."""
    rng = np.random.default_rng(seed)
    low = np.column_stack([rng.integers(0, size, (n, 2)), rng.integers(0, n_images, n)])
    bbox = np.stack([low, low + [4, 4, 2]], axis=2).reshape(n, 6)
    return ReflectionTable({"bbox": bbox, "panel": rng.integers(0, 2, n), "imageset_id": rng.integers(0, 2, n)})


@pytest.mark.parametrize("border", [0, 1])
def test_overlaps_are_those_of_every_pair(border):
    table = boxes(3000, 200, 60)
    table["bbox"][:5, (1, 3)] += 120  # as large as a panel
    table["bbox"][5:9, 1] += 30
    box = table["bbox"] + np.array([-border, border] * 3)
    low, high = box[:, 0::2], box[:, 1::2]
    apart = (low[:, None] >= high[None]).any(axis=2)
    same = (table["panel"][:, None] == table["panel"]) & (table["imageset_id"][:, None] == table["imageset_id"])
    meet = ~apart & ~apart.T & same
    np.fill_diagonal(meet, False)
    expected = meet.any(axis=1)
    assert 0.02 < expected.mean() < 0.95
    np.testing.assert_array_equal(overlaps_another(table, border), expected)


@pytest.mark.skipif(
    sys.platform == "win32" or threading.current_thread() is not threading.main_thread(), reason="needs an alarm"
)
def test_crowded_images_can_be_interrupted():
    """Of 150,000 spots at one place every pair is compared, which takes minutes; an interrupt does not wait for that."""

    class Interrupted(Exception):
        pass

    def interrupt(number, frame):
        raise Interrupted

    table = boxes(600_000, 1, 1)
    overlaps_another(table.select(slice(0, 10)))  # compiled
    before = signal.signal(signal.SIGVTALRM, interrupt)
    start = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)
        with pytest.raises(Interrupted):
            overlaps_another(table)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
    assert time.process_time() - start < 10.0
