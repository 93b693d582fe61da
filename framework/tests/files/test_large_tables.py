"""Tables that are larger than the memory one wants to give them: columns are read when they are asked for."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from spindle.contracts.checking import read_only
from spindle.errors import FileFormatError
from spindle.files import read_reflections, source, write_reflections
from spindle.table import SCHEMA, ReflectionTable, Shoeboxes

N = 1000


def a_table(n=N, seed=1) -> ReflectionTable:
    rng = np.random.default_rng(seed)
    table = ReflectionTable.with_rows(n, list(SCHEMA), {0: "one"})
    for name, spec in SCHEMA.items():
        values = rng.uniform(0, 100, (n, *spec.shape))
        table[name] = values > 50 if spec.dtype == "?" else values
    low = rng.integers(0, 50, (n, 3))
    table["bbox"] = np.stack([low, low + rng.integers(1, 4, (n, 3))], axis=2).reshape(n, 6)
    table["shoebox"] = Shoeboxes.empty(np.zeros(n), table["bbox"])
    table["shoebox"].data[:] = np.arange(len(table["shoebox"].data))
    table["text"] = np.array([f"row {i}" for i in range(n)], object)
    return table


def same(a, b) -> bool:
    if isinstance(a, Shoeboxes):
        return all(
            same(getattr(a, f), getattr(b, f)) for f in ("panel", "bbox", "offsets", "data", "mask", "background")
        )
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


@pytest.fixture
def large(monkeypatch):
    """Every file counts as a large one."""
    monkeypatch.setattr(source, "LARGE", 0)


@pytest.fixture
def path(tmp_path, large):
    write_reflections(a_table(), tmp_path / "x.refl")
    return tmp_path / "x.refl"


def in_memory(table) -> set[str]:
    return {name for name in table if table.deferred(name) is None}


ROWS = [
    np.arange(N) % 3 > 0, np.arange(N), np.arange(N)[::-1], np.arange(10, 20), np.array([0, N - 1]), np.zeros(N, bool),
    np.array([5, 5, 4, 9]), slice(3, None, 2), np.array([-1, 2]),
]  # fmt: skip


def test_columns_are_read_when_they_are_asked_for(path):
    table, truth = read_reflections(path), a_table()
    assert in_memory(table) == {"text"}
    assert table["d"] is table["d"] and table["d"].flags.aligned and table["d"].flags.writeable
    assert in_memory(table) == {"text", "d"}
    assert all(same(table[name], truth[name]) for name in truth) and in_memory(table) == set(truth)


def test_a_look_keeps_nothing(path):
    table, truth = read_reflections(path), a_table()
    assert all(same(table.peek(name), truth[name]) for name in truth)
    for name in ("miller_index", "entering", "text"):
        assert same(np.concatenate(list(table.blocks(name, 7))), truth[name])
    assert same(Shoeboxes.concatenate(list(table.blocks("shoebox", 7))), truth["shoebox"])
    assert in_memory(table) == {"text"}


@pytest.mark.parametrize("rows", [np.arange(10, 20), np.array([14, 11, 11]), np.zeros(0, np.int64)])
def test_a_look_at_some_rows_reads_no_others(path, rows, monkeypatch):
    table, truth, read = read_reflections(path), a_table(), []
    plain = source.Source.read_into
    monkeypatch.setattr(
        source.Source, "read_into", lambda self, offset, out: (read.append(out.nbytes), plain(self, offset, out))
    )
    for name in ("d", "xyzcal.px", "text", "shoebox"):
        expected = truth[name].select(rows) if name == "shoebox" else truth[name][rows]
        assert same(table.peek(name, rows), expected)
    monkeypatch.undo()
    assert in_memory(table) == {"text"}
    assert max(read, default=0) < 4000
    assert same(table["d"], truth["d"]) and same(table.peek("d", rows), truth["d"][rows])


@pytest.mark.parametrize("rows", ROWS)
def test_rows_are_what_they_were_when_they_were_selected(path, rows):
    """As with columns in memory: what is changed in a table afterwards does not reach the selection, nor a second one."""
    table, truth = read_reflections(path), a_table()
    part, expected = table.select(rows), truth.select(rows)
    again, again_expected = part.select(np.arange(len(part))[::2]), expected.select(np.arange(len(part))[::2])
    table["d"][:] = -1
    assert all(same(part[name], expected[name]) for name in truth)
    assert all(same(again[name], again_expected[name]) for name in truth)


@pytest.mark.parametrize("first", [np.arange(5, 60), np.arange(5, 60)[::-1], np.array([7])])
@pytest.mark.parametrize("second", [slice(3, 20), slice(0, None, 2), slice(0, 1)])
def test_selections_of_selections_are_rows_of_the_file(path, first, second):
    truth, rows = a_table(), first[second][:9]
    table = read_reflections(path).select(first).select(second).select(np.arange(len(rows)))
    assert len(rows) == 0 or in_memory(table) == {"text"}
    for name in truth:
        assert same(table[name], truth[name].select(rows) if name == "shoebox" else truth[name][rows])


def test_views_share_columns_and_selections_of_changed_columns_see_the_change(path):
    table = read_reflections(path)
    view = table.view()
    view["d"][3] = 7.0
    assert table["d"] is view["d"] and table.select([3])["d"][0] == 7.0
    frozen = read_reflections(path).changed(lambda values: values[:2] if isinstance(values, np.ndarray) else values)
    assert len(frozen["d"]) == 2


def test_plugins_look_and_select_without_keeping(path):
    """They get tables whose columns cannot be written; what they select can be, and is what it was when it was selected."""
    table, truth = read_reflections(path), a_table()
    locked = read_only(table)
    part = locked.select(np.arange(N) > 3)
    assert same(locked.peek("d"), truth["d"]) and same(np.concatenate(list(locked.blocks("zeta", 7))), truth["zeta"])
    assert not in_memory(table) - {"text"} and not in_memory(part) - {"text"}
    assert same(part["shoebox"], truth["shoebox"].select(np.arange(4, N)))
    part["d"][:] = 5.0
    assert not locked["d"].flags.writeable and same(locked["d"], truth["d"])
    table["d"][:] = -1.0
    assert (locked["d"] == -1).all() and (locked.peek("d") == -1).all() and (locked.select([3])["d"] == -1).all()
    assert same(part["zeta"], truth["zeta"][4:]) and part["zeta"].flags.writeable


def test_a_table_is_joined_copied_and_sent_elsewhere(path):
    table, truth = read_reflections(path), a_table()
    joined = ReflectionTable.concatenate([table, table.copy()])
    sent = pickle.loads(pickle.dumps(table.select(np.arange(N))))
    for name in truth:
        assert same(sent[name], truth[name])
        assert same(joined.select(np.arange(N, 2 * N))[name], truth[name])


def test_a_table_is_written_over_the_file_that_it_stays_in(path):
    before = path.read_bytes()
    table = read_reflections(path)
    write_reflections(table, path)
    assert path.read_bytes() == before
    half = table.select(np.arange(N) % 2 == 0)
    write_reflections(half, path)
    assert same(table["d"], a_table()["d"]) and same(read_reflections(path)["shoebox"], half["shoebox"])


def test_what_is_written_is_not_kept_in_memory(path, tmp_path):
    """Columns in their file, some rows of them, and both as programs get them; the pixels above all."""
    rows = np.arange(3, N, 2)
    for pick in (slice(None), rows):
        whole = read_reflections(path)
        for table in (whole.select(pick), read_only(whole.select(pick)), read_only(whole).select(pick)):
            held = in_memory(table)
            write_reflections(table, tmp_path / "again.refl")
            assert in_memory(table) == held and "shoebox" not in held
            expected = a_table()["shoebox"].select(np.arange(N)[pick])
            assert same(read_reflections(tmp_path / "again.refl")["shoebox"], expected)


def test_a_file_that_is_written_into_meanwhile_is_refused(path):
    """Nothing is read half old and half new; a file that becomes shorter does not end the process."""
    table = read_reflections(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(FileFormatError, match="was changed while it was read"):
        _ = table["xyzobs.px.value"]


def test_threads_get_the_same_column(path):
    table = read_reflections(path)
    found = []
    threads = [threading.Thread(target=lambda: found.append(table["s1"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(values is found[0] for values in found)


def test_open_files_end_with_their_tables(tmp_path, large):
    write_reflections(a_table(3), tmp_path / "x.refl")
    tables = [read_reflections(tmp_path / "x.refl") for _ in range(source.MOST_OPEN + 5)]
    assert len(source._open_files) <= source.MOST_OPEN
    assert all(same(t["d"], tables[0]["d"]) for t in tables)
    del tables
    assert not source._open_files


PEAK = """
import json, sys
import numpy as np
from spindle.execution.door import check_reflections
from spindle.files import read_reflections, write_reflections
from spindle.table import ReflectionTable
path, out = sys.argv[1:]
write_reflections(ReflectionTable({"d": np.ones(3)}), out)
def peak():  # of this program alone; what getrusage tells includes the program that started it
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
start, peaks = peak(), []
table = read_reflections(path)
check_reflections(table, None, path)
peaks.append(peak() - start)
write_reflections(table.select(table["id"] >= 0), out)
peaks.append(peak() - start)
for name in table:
    table[name]
peaks.append(peak() - start)
write_reflections(table, out)
peaks.append(peak() - start)
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_stays_near_the_size_of_what_is_used(tmp_path):
    """Looked at and selected for a fraction of the table, used and written for little more than it."""
    n = 600_000
    table = ReflectionTable.with_rows(
        n, [name for name, spec in SCHEMA.items() if spec.shape == (3,)] + ["id", "d", "bbox"]
    )
    write_reflections(table, tmp_path / "x.refl")
    size = (tmp_path / "x.refl").stat().st_size
    assert size > 100e6
    del table
    found = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "x.refl", tmp_path / "y.refl"],
        capture_output=True,
        text=True,
        check=True,
    )
    looked, selected, used, written = (peak / size for peak in json.loads(found.stdout))
    assert looked < 0.25 and selected < 0.5 and used < 1.1 and written < 1.2, (looked, selected, used, written)
