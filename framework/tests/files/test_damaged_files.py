"""Damage in experiment and reflection files is named with its place, whatever it is."""

from __future__ import annotations

import copy
import gzip
import json
import struct

import msgpack
import numpy as np
import pytest

from spindle.errors import FileFormatError, ModelError
from spindle.files import experiments_to_dict, read_experiments, read_reflections, write_experiments, write_reflections
from spindle.files.reflections import SIGNATURE
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import ReflectionTable, Shoeboxes

EXPERIMENT = Experiment(
    beam=Beam(direction=[0, 0, 1], wavelength=1.0),
    detector=Detector(
        [Panel([1.0, 0, 0], [0, -1.0, 0], [-10.0, 8, -100], pixel_size=[0.172, 0.172], image_size=(120, 90))],
        {"children": [{"panel": 0}]},
    ),
    goniometer=Goniometer(rotation_axis=[1, 0, 0]),
    scan=Scan((1, 3), (0.0, 0.5)),
    crystal=Crystal(A=np.eye(3) / 40, A_at_scan_points=[np.eye(3) / 40] * 4),
    imageset=ImageSet(template="x_##.cbf", image_range=(1, 3)),
    identifier="one",
)
CONTENT = json.loads(json.dumps(experiments_to_dict(Experiments([EXPERIMENT]))))


def written(tmp_path, change) -> object:
    content = copy.deepcopy(CONTENT)
    change(content)
    path = tmp_path / "x.expt"
    path.write_text(json.dumps(content))
    return path


def refusal(read, path):
    """What `read` returns, or the message of the refusal, which names the file."""
    try:
        return read(path), ""
    except FileFormatError as error:
        message = str(error)
    assert message.startswith(str(path))
    return None, message


def places(value, path=()):
    """Every place in the content, the content itself first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from places(inner, (*path, key))


def put(content, path, value):
    for key in path[:-1]:
        content = content[key]
    if value is ...:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(
    "value", [..., None, True, -1, 0.5, 1e300, float("nan"), float("inf"), "x", [], [[]], {}, {"a": 1}, 2**70]
)
def test_no_value_at_any_place_of_an_experiment_file_is_a_bug(tmp_path, value):
    """Each place is replaced in turn: what is read is sound, what is not is refused with the file and a place."""
    refused = 0
    for path in list(places(CONTENT))[1:]:
        file = written(tmp_path, lambda content, path=path: put(content, path, value))
        experiments, message = refusal(read_experiments, file)
        refused += bool(message)
        if experiments is not None:
            write_experiments(experiments, tmp_path / "again.expt")
            json.loads((tmp_path / "again.expt").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert refused > 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["beam"][0].update(wavelength=-1), r"beam\[0\]: the wavelength is -1"),
        (lambda c: c["beam"][0].pop("wavelength"), r"beam\[0\]: 'wavelength' is missing"),
        (lambda c: c["experiment"][0].update(beam=-1), r"experiment\[0\]: its beam is -1"),
        (lambda c: c["experiment"][0].update(detector=3), r"experiment\[0\]: its detector is 3"),
        (lambda c: c["experiment"][0].update(scan=True), r"experiment\[0\]: its scan"),
        (lambda c: c["experiment"].append(c["experiment"][0]), r"experiment\[1\]: the identifier one is that of experiment\[0\]"),
        (lambda c: c["scan"][0].update(image_range=[1, 2000000000]), r"scan\[0\]:.*1,000,000 images"),
        (lambda c: c["crystal"][0]["A_at_scan_points"].pop(), r"A_at_scan_points of its crystal has 3 values"),
        (lambda c: c["crystal"][0].update(B_covariance=[0.0] * 80 + [[]]), r"crystal\[0\]:.*B_covariance holds what is not a number"),
        (lambda c: c["crystal"][0].update(B_covariance=[0.0] * 80), r"crystal\[0\]:.*B_covariance should be 81 finite numbers"),
        (lambda c: c["crystal"][0].update(ML_domain_size_ang=[2.0]), r"crystal\[0\]:.*ML_domain_size_ang should be 1 finite number"),
        (lambda c: c["detector"][0]["panels"][0].update(pixel_size=[0, 0]), r"detector\[0\]: pixel_size"),
        (lambda c: c["detector"][0].update(hierarchy={"children": [{"panel": 7}]}), r"a panel of the hierarchy is 7"),
        (lambda c: c["goniometer"][0].update(rotation_axis=[1, float("nan"), 0]), r"goniometer\[0\].rotation_axis\[1\] is nan"),
        (lambda c: c["imageset"][0].update(template="a\0b"), r"imageset\[0\].template is 'a\\x00b'"),
        (lambda c: c["imageset"][0].update(__id__="Movie"), r"imageset\[0\]: its kind is 'Movie'"),
    ],
)  # fmt: skip
def test_the_place_and_the_value_are_named(tmp_path, change, words):
    with pytest.raises(FileFormatError, match=words):
        read_experiments(written(tmp_path, change))


def test_deeply_nested_json_is_refused(tmp_path):
    (tmp_path / "x.expt").write_text("[" * 200_000)
    with pytest.raises(FileFormatError, match="damaged"):
        read_experiments(tmp_path / "x.expt")
    node = {"panel": 0}
    for _ in range(400):
        node = {"children": [node]}
    write = written(tmp_path, lambda c: c["detector"][0].update(hierarchy=node))
    assert read_experiments(write)[0].detector[0].image_size == (120, 90)


def test_nothing_that_is_not_finite_is_written(tmp_path):
    bad = Experiments([EXPERIMENT]).replace(0, scaling_model={"a": {"b": [1.0, float("nan")]}})
    with pytest.raises(ModelError, match=r"scaling_model\[0\]\.a\.b\[1\] is nan"):
        write_experiments(bad, tmp_path / "x.expt")
    assert not list(tmp_path.iterdir())


def table_file(tmp_path, n=2, columns=None, **changes):
    content = {b"nrows": n, b"identifiers": {0: b"one"}, b"data": columns or {}}
    content.update({key.encode(): value for key, value in changes.items()})
    path = tmp_path / "x.refl"
    path.write_bytes(msgpack.packb([SIGNATURE, 1, content], use_bin_type=True))
    return path


def box(*bbox, flag=1, pixels=0):
    return struct.pack("<7iB", 0, *bbox, flag) + bytes(12 * pixels)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (box(0, 2**16, 0, 2**16, 0, 2**16) * 2, "row 0 has the impossible box"),
        (box(0, 2**31 - 1, 0, 2**31 - 1, 0, 4) * 2, "row 0 has the impossible box"),
        (box(-(2**31), 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 2**31 - 1) * 2, "row 0 has the impossible box"),
        (box(0, 1, 0, 1, 0, 1, pixels=1) + box(3, 1, 4, 2, 0, 1), "row 1 has the impossible box"),
        (box(0, 1, 0, 1, 0, 1, pixels=1) + box(0, 2, 0, 1, 0, 1, pixels=1), "row 1 has the impossible box"),
        (box(0, 1, 0, 1, 0, 1, pixels=1) + bytes(20), "the pixels end within row 1"),
        (box(0, 1, 0, 1, 0, 1, pixels=1) * 3, "41 bytes are left over"),
        (b"", "0 bytes for 2 shoeboxes"),
    ],
)  # fmt: skip
def test_extents_of_shoeboxes_are_checked_against_the_bytes_that_follow(tmp_path, payload, words):
    with pytest.raises(FileFormatError, match=f"column shoebox: {words}"):
        read_reflections(table_file(tmp_path, columns={b"shoebox": [b"Shoebox<>", [2, payload]]}))


@pytest.mark.parametrize("name", ["nrows", "identifiers", "data"])
@pytest.mark.parametrize(
    "value", [None, -1, 2**40, "x", [], {"a": 1}, {1: [2]}, {"a": ["int", [2]]}, {"id": ["int", 3]}]
)
def test_wrong_parts_of_a_reflection_file_are_refused(tmp_path, name, value):
    path = table_file(tmp_path, **{name: value})
    table, message = refusal(read_reflections, path)
    if not message:
        assert name == "identifiers" and not value and len(table) == 2


def pairs(*given) -> bytes:
    """A MessagePack table of packed values, whose names may repeat."""
    return bytes([0x80 | len(given)]) + b"".join(msgpack.packb(name) + value for name, value in given)


@pytest.mark.parametrize("twice", ["d", "data", "nrows", "identifiers", 7, "no.such.part"])
def test_two_entries_of_one_name_are_refused(tmp_path, twice):
    """Readers differ in which of the two they take."""
    column = msgpack.packb(["double", [1, bytes(8)]])

    def entries(*given):
        return pairs(*given, *(entry for entry in given if entry[0] == twice))

    parts = [
        ("nrows", msgpack.packb(1)),
        ("identifiers", entries((7, msgpack.packb("one")))),
        ("data", entries(("d", column))),
    ]
    path = tmp_path / "x.refl"
    path.write_bytes(b"\x93" + msgpack.packb(SIGNATURE) + msgpack.packb(2) + entries(*parts))
    if twice == "no.such.part":
        table = read_reflections(path)
        assert table["d"].tolist() == [0.0] and table.identifiers == {7: "one"}
        return
    with pytest.raises(FileFormatError, match=rf"x\.refl, the head: .*'?{twice}'? is there twice in one table"):
        read_reflections(path)


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_to_the_bytes_of_a_reflection_file_is_a_bug(tmp_path, seed):
    rng = np.random.default_rng(seed)
    bbox = np.array([[0, 3, 1, 3, 0, 2]] * 3)
    table = ReflectionTable(
        {"id": [0, 0, 0], "flags": [1, 2, 3], "d": [1.0, 2.0, 3.0], "text": np.array(["a", "b", "c"], object)}
    )
    table["bbox"], table["shoebox"] = bbox, Shoeboxes.empty(np.zeros(3), bbox)
    write_reflections(table, tmp_path / "good.refl")
    good = (tmp_path / "good.refl").read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        for place in rng.integers(0, len(good), rng.integers(1, 4)):
            bad[place] = rng.choice([bad[place] ^ (1 << rng.integers(8)), 0, 255, 0x80, 0xC1])
        (tmp_path / "bad.refl").write_bytes(
            bytes(bad[: rng.integers(1, len(bad) + 1)] if rng.integers(4) == 0 else bad)
        )
        found, message = refusal(read_reflections, tmp_path / "bad.refl")
        if not message:
            assert all(len(found[name]) == len(found) for name in found)


def test_a_compressed_file_that_expands_without_end_is_refused(tmp_path):
    (tmp_path / "bomb.refl.gz").write_bytes(gzip.compress(bytes(300 * 2**20), 9))
    with pytest.raises(FileFormatError, match="expands to more than 200 times its size"):
        read_reflections(tmp_path / "bomb.refl.gz")
    (tmp_path / "cut.refl.gz").write_bytes(gzip.compress(b"abc" * 100)[:-9])
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_reflections(tmp_path / "cut.refl.gz")
