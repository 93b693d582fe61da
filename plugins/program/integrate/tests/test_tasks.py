"""Tasks travel, slabs hold every spot once, and pieces of deep spots are put together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from spindle_program_integrate.assembly import Assembly
from spindle_program_integrate.blocks import members_by_panel
from spindle_program_integrate.image_kernels import SQUARE, touch_others
from spindle_program_integrate.slabs import OTHER, PART, WHOLE, Slabs, Wanted
from spindle_program_integrate.stream import Pieces

from spindle.table import ReflectionTable, Shoeboxes


def spots(n, n_images, seed=0):
    """A table of spots of 2 to 8 images, a few of them much deeper, on two panels."""
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random(n) < 0.02, 90, rng.integers(2, 9, n))
    z0 = rng.integers(-1, n_images - 1, n)
    x, y = rng.integers(-3, 400, n), rng.integers(-3, 300, n)
    z1 = np.clip(z0 + depth, 1, n_images)
    bbox = np.column_stack([x, x + 7, y, y + 5, np.maximum(z0, 0), z1]).astype(np.int32)
    table = ReflectionTable(
        {"id": np.zeros(n, np.int32), "panel": rng.integers(0, 2, n).astype(np.uint64), "bbox": bbox}
    )
    table["s1"], table["xyzcal.px"] = np.zeros((n, 3)), np.zeros((n, 3))
    return table


def tasks_of(table, n_images, measure, n_parts=1):
    slabs = Slabs(table["bbox"], np.arange(len(table)), 0, n_images)
    wanted = Wanted(measure, np.zeros(len(table), bool), np.zeros(len(table)))
    return slabs, list(slabs.tasks(table, table.select(slice(None)), wanted, n_parts))


@pytest.mark.parametrize("n_parts", [1, 3])
def test_every_wanted_spot_is_whole_in_one_slab_or_in_pieces_that_cover_it(n_parts):
    table = spots(6000, 200)
    measure = np.random.default_rng(1).random(6000) < 0.7
    slabs, tasks = tasks_of(table, 200, measure, n_parts)
    assert len(slabs) > 4
    covered = np.zeros((6000, 200), np.int64)
    for task in tasks:
        low, high = (int(v) for v in slabs.read_range(int(np.searchsorted(slabs.edges, task.core[0]))))
        for role, (first, last) in ((WHOLE, (low, high)), (PART, task.core)):
            for row, box in zip(task.rows[task.role == role], task.bbox[task.role == role], strict=True):
                assert role == PART or (box[4] >= low and box[5] <= high)
                covered[row, max(box[4], first) : min(box[5], last)] += 1
    inside = (np.arange(200) >= table["bbox"][:, 4:5]) & (np.arange(200) < table["bbox"][:, 5:6])
    assert np.array_equal(covered, inside & measure[:, None])
    assert (slabs.whole.mean() > 0.9) and not slabs.whole.all()


def test_slabs_know_all_spots_on_their_images_that_may_disturb():
    table = spots(3000, 120)
    slabs, tasks = tasks_of(table, 120, np.ones(3000, bool))
    for number, task in enumerate(tasks):
        low, high = slabs.read_range(number)
        near = (table["bbox"][:, 4] <= high) & (table["bbox"][:, 5] >= low)
        assert set(np.flatnonzero(near)) == set(task.rows)
        assert (task.role == OTHER).any()


def test_no_and_one_spot_make_no_and_one_task():
    assert tasks_of(spots(1, 30), 30, np.zeros(1, bool))[1] == []
    (task,) = tasks_of(spots(1, 30), 30, np.ones(1, bool))[1]
    assert task.rows.tolist() == [0]
    empty = spots(1, 30).select(np.zeros(0, np.int64))
    assert tasks_of(empty, 30, np.zeros(0, bool))[1] == []


def test_boxes_that_share_pixels_touch():
    table = spots(1500, 60, seed=3)
    panel, bbox = table["panel"].astype(np.int64), table["bbox"].astype(np.int32)
    wanted, others = np.arange(0, 1500, 2), np.arange(1, 1500, 2)
    found = touch_others(panel, bbox, wanted, others, 1)

    def share(pixels, images):
        """Whether boxes that are larger by so much share pixels."""
        shared = np.zeros(len(others), bool)
        for k, o in enumerate(others):
            a, b = bbox[o], bbox[wanted]
            both = (a[0] - pixels < b[:, 1]) & (b[:, 0] < a[1] + pixels)
            both &= (a[2] - pixels < b[:, 3]) & (b[:, 2] < a[3] + pixels)
            both &= (a[4] - images < b[:, 5]) & (b[:, 4] < a[5] + images) & (panel[wanted] == panel[o])
            shared[k] = both.any()
        return shared

    least, most = share(0, 1), share(SQUARE, 1)  # 60 images are one bit each
    assert 0.05 < least.mean() <= most.mean() < 0.95
    assert np.all(found[least]) and not np.any(found[~most])


def test_others_touch_where_images_are_more_than_bits_and_boxes_lie_outside():
    bbox = np.array([[10, 20, 10, 20, 0, 5], [500, 510, 400, 410, 990, 1000], [-50, 3, -50, 3, 0, 2], [12, 14, 12, 14, 4, 6],
                     [12, 14, 12, 14, 800, 806], [505, 900, 405, 900, 999, 1010], [12, 14, 12, 14, 5, 7]], np.int32)  # fmt: skip
    panel = np.array([0, 0, 0, 0, 0, 0, 1])
    found = touch_others(panel, bbox, np.array([0, 1]), np.arange(2, 7), 1)
    assert found.tolist() == [False, True, False, True, False]
    none = np.zeros(0, np.int64)
    assert touch_others(panel, bbox, none, np.arange(2), 1).tolist() == [False, False]
    assert len(touch_others(panel, bbox, np.arange(2), none, 1)) == 0


def test_pieces_are_put_together_where_they_belong():
    table = spots(40, 300, seed=4)
    table["bbox"][:, 4:] = np.sort(np.random.default_rng(2).integers(0, 301, (40, 2)), axis=1)
    table["bbox"][:, 5] = np.maximum(table["bbox"][:, 5], table["bbox"][:, 4] + 1)
    wanted = Wanted(np.ones(40, bool), np.ones(40, bool), np.arange(40.0))
    assembly, done = Assembly(table, wanted), []
    for a in range(0, 300, 20):
        on = np.flatnonzero((table["bbox"][:, 4] < a + 20) & (table["bbox"][:, 5] > a))
        boxes = table["bbox"][on].copy()
        boxes[:, 4:] = np.clip(boxes[:, 4:], a, a + 20)
        part = Shoeboxes.empty(table["panel"][on].astype(np.int64), boxes)
        for i, row in enumerate(on):  # data tell spot and image
            part.pixels(i)[0][:] = 1000 * row + np.arange(boxes[i, 4], boxes[i, 5])[:, None, None]
        assembly.add(Pieces(on, np.full(len(on), 1 if a == 20 else 2, np.uint8), part))
        done += list(assembly.complete(a + 20))
    assert assembly.bytes == 0
    rows = np.concatenate([f.rows for f in done])
    assert sorted(rows.tolist()) == list(range(40))
    for filled in done:
        for i, row in enumerate(filled.rows):
            data = filled.shoeboxes.pixels(i)[0]
            z0, z1 = table["bbox"][row, 4:]
            assert np.all(data == 1000 * row + np.arange(z0, z1)[:, None, None])
            on_second, elsewhere = z0 < 40 and z1 > 20, z0 < 20 or z1 > 40
            assert filled.marks[i] == on_second + 2 * elsewhere
        assert np.array_equal(filled.expected, filled.rows)


def test_a_slab_travels():
    table = spots(500, 60)
    for task in tasks_of(table, 60, np.ones(500, bool))[1]:
        again = pickle.loads(pickle.dumps(task))
        assert np.array_equal(again.rows, task.rows) and np.array_equal(again.geometry["s1"], task.geometry["s1"])
        assert len(pickle.dumps(task)) < 400 * len(task.rows) + 10_000


def test_members_of_panels_keep_their_order():
    members = members_by_panel(np.array([2, 0, 2, 0, 5]))
    assert [(p, rows.tolist()) for p, rows in members] == [(0, [1, 3]), (2, [0, 2]), (5, [4])]
    assert members_by_panel(np.zeros(0, np.int64)) == []


def test_blocks_are_as_large_as_asked():
    table = spots(2000, 120)
    for core, usual, n in ((30, 0.95, 4), (1, 0.5, 120), (1000, 0.95, 1), (0.1, 0.95, 120)):
        slabs = Slabs(table["bbox"], np.arange(2000), 0, 120, core, usual)
        assert len(slabs) == n and np.ptp(np.diff(slabs.edges)) <= 1
    shallow, deep = (Slabs(table["bbox"], np.arange(2000), 0, 120, 20, usual) for usual in (0.1, 1.0))
    assert shallow.margin < deep.margin and deep.whole.all() and not shallow.whole.all()
