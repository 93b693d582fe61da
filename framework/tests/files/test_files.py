"""Experiment and reflection files: round trips, and files that are something else."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import msgpack
import numpy as np
import pytest

from spindle.errors import FileFormatError, UserError
from spindle.files import (
    atomic_write,
    experiments_from_dict,
    experiments_to_dict,
    read_experiments,
    read_reflections,
    write_experiments,
    write_reflections,
)
from spindle.table import ReflectionTable, Shoeboxes
from spindle.testing import shared_data


def example_table():
    rng = np.random.default_rng(3)
    n = 11
    table = ReflectionTable(identifiers={0: "abc", 5: "def"})
    table["id"] = rng.integers(0, 2, n)
    table["flags"] = rng.integers(0, 2**27, n)
    table["entering"] = rng.integers(0, 2, n) > 0
    table["miller_index"] = rng.integers(-9, 9, (n, 3))
    table["s1"] = rng.normal(size=(n, 3))
    table["bbox"] = np.tile([0, 3, 2, 4, 7, 9], (n, 1))
    table["my.own.column"] = rng.normal(size=n)
    table["my.matrices"] = rng.normal(size=(n, 3, 3))
    table["my.names"] = np.array([f"row {i}" for i in range(n)], dtype=object)
    shoeboxes = Shoeboxes.empty(np.arange(n), table["bbox"])
    shoeboxes.data[:] = rng.normal(size=len(shoeboxes.data))
    shoeboxes.mask[:] = rng.integers(0, 255, len(shoeboxes.mask))
    shoeboxes.background[:] = 1.5
    table["shoebox"] = shoeboxes
    return table


@pytest.mark.parametrize("name", ["x.refl", "x.refl.gz"])
def test_reflections_survive_a_round_trip(tmp_path, name):
    table = example_table()
    write_reflections(table, tmp_path / name)
    again = read_reflections(tmp_path / name)
    assert again.identifiers == table.identifiers
    assert set(again.columns) == set(table.columns)
    for column in table:
        if column == "shoebox":
            for part in ("panel", "bbox", "offsets", "data", "mask", "background"):
                np.testing.assert_array_equal(getattr(again[column], part), getattr(table[column], part))
        else:
            np.testing.assert_array_equal(again[column], table[column])
            assert again[column].dtype == table[column].dtype


def test_the_file_is_what_the_layout_says(tmp_path):
    """Decoded by msgpack alone: signature, version, sorted columns, little-endian packed payloads."""
    table = example_table()
    write_reflections(table, tmp_path / "x.refl")
    signature, version, content = msgpack.unpackb((tmp_path / "x.refl").read_bytes(), raw=False, strict_map_key=False)
    assert (signature, version, content["nrows"]) == ("dials::af::reflection_table", 1, len(table))
    assert list(content["data"]) == sorted(table.columns)
    kind, (n, payload) = content["data"]["s1"]
    assert kind == "vec3<double>" and n == len(table)
    np.testing.assert_array_equal(np.frombuffer(payload, "<f8").reshape(-1, 3), table["s1"])
    kind, (n, payload) = content["data"]["shoebox"]
    header = np.frombuffer(payload[:28], "<i4")
    assert kind == "Shoebox<>" and header.tolist() == [0, 0, 3, 2, 4, 7, 9] and payload[28] == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"a": 1}), "pickle"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "HDF5"),
        (b"", "empty"),
        (b"hello world, this is text", "not a reflection file"),
        (msgpack.packb(["something else", 1, {}]), "something else"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path, content, words):
    path = tmp_path / "x.refl"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_reflections(path)
    assert str(path) in str(caught.value)


def test_a_truncated_reflection_file_is_refused(tmp_path):
    path = tmp_path / "x.refl"
    write_reflections(example_table(), path)
    content = path.read_bytes()
    for n in range(10, len(content) - 1, 97):
        path.write_bytes(content[:n])
        with pytest.raises(FileFormatError):
            read_reflections(path)


def test_pickled_experiments_are_refused(tmp_path):
    path = tmp_path / "x.expt"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(FileFormatError, match="pickle"):
        read_experiments(path)


@pytest.mark.parametrize(
    "text", ["{", '{"__id__": "Something"}', '{"__id__": "ExperimentList", "experiment": [{"beam": 3}], "beam": []}']
)
def test_damaged_experiment_files_are_refused(tmp_path, text):
    path = tmp_path / "x.expt"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"x\.expt"):
        read_experiments(path)


def differences(a, b, place=""):
    """Places where two JSON structures differ; numbers to 1e-9."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in a.keys() | b.keys() for d in differences(a.get(k), b.get(k), f"{place}/{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{place}/{i}")]
    if isinstance(a, int | float) and isinstance(b, int | float):
        return [] if abs(a - b) <= 1e-9 * max(1, abs(a)) else [f"{place}: {a} {b}"]
    if a in (None, "") and b in (None, ""):
        return []
    return [] if a == b else [f"{place}: {a} {b}"]


@pytest.mark.parametrize(
    "folder", ["quartz_processed", "l_cysteine_narrow_wedge", "ssx_CuNiR_test_data", "vmxi_thaumatin_grid_index"]
)
def test_real_experiment_files_survive_a_round_trip(tmp_path, folder):
    for path in sorted((shared_data("dials_processed") / folder).glob("*.expt")):
        write_experiments(read_experiments(path), tmp_path / "y.expt")
        before, after = json.loads(path.read_text()), json.loads((tmp_path / "y.expt").read_text())
        for beam in before["beam"]:
            beam.setdefault("probe", "electron" if beam["wavelength"] < 0.06 else None)  # older files do not say it
        found = [d for d in differences(before, after) if not d.startswith("/imageset")]
        assert not found, (path.name, found[:3])


def test_real_reflection_files_survive_a_round_trip(tmp_path):
    for path in sorted(shared_data("dials_processed").glob("*/*.refl")):
        table = read_reflections(path)
        write_reflections(table, tmp_path / "y.refl")
        again = read_reflections(tmp_path / "y.refl")
        assert again.identifiers == table.identifiers
        for name in table:
            if name != "shoebox":
                np.testing.assert_array_equal(again[name], table[name])


def test_unknown_keys_of_models_survive():
    beam = {"direction": [0, 0, 1], "wavelength": 1.0, "colour": "blue"}
    panel = {
        "fast_axis": [1, 0, 0],
        "slow_axis": [0, 1, 0],
        "origin": [0, 0, 100],
        "pixel_size": [1, 1],
        "image_size": [2, 2],
        "x": 1,
    }
    data = {
        "__id__": "ExperimentList", "experiment": [{"identifier": "a", "beam": 0, "detector": 0}, {"beam": 0,
        "detector": 0}],
        "beam": [beam], "detector": [{"panels": [panel]}], "imageset": [],
    }  # fmt: skip
    experiments = experiments_from_dict(data)
    assert experiments[0].beam is experiments[1].beam
    again = experiments_to_dict(experiments)
    assert again["beam"][0]["colour"] == "blue" and again["detector"][0]["panels"][0]["x"] == 1
    assert len(again["beam"]) == 1


def test_panels_of_a_group_are_local_in_the_file_and_global_in_memory():
    panel = {
        "fast_axis": [1, 0, 0],
        "slow_axis": [0, 1, 0],
        "origin": [1, 2, 3],
        "pixel_size": [1, 1],
        "image_size": [2, 2],
    }
    group = {"fast_axis": [0, 1, 0], "slow_axis": [-1, 0, 0], "origin": [10, 0, 0], "children": [{"panel": 0}]}
    data = {"__id__": "ExperimentList", "experiment": [{"beam": 0, "detector": 0}],
            "beam": [{"direction": [0, 0, 1], "wavelength": 1.0}], "detector": [{"panels": [panel],
            "hierarchy": group}]}  # fmt: skip
    experiments = experiments_from_dict(data)
    np.testing.assert_allclose(experiments[0].detector[0].origin, [8, 1, 3])
    np.testing.assert_allclose(
        experiments_to_dict(experiments)["detector"][0]["panels"][0]["origin"], [1, 2, 3], atol=1e-12
    )


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_an_interrupt_removes_what_other_threads_are_writing(tmp_path):
    script = """
import threading
from spindle.cli.main import leave_interrupted
from spindle.files import atomic_write
begun = threading.Event()
def work():
    with atomic_write("x.txt") as temporary:
        temporary.write_text("half")
        begun.set()
        threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
begun.wait()
leave_interrupted()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == 130 and not list(tmp_path.iterdir())


def test_writing_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / "no" / "x.txt"):
        pass
