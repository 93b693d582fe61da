"""Files that are far larger inside than outside, lead in circles, or are no files: a message, soon, in little memory."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.images.compressed import read_all
from spindle_lib_readers.testing.images import write_edf, write_smv
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf
from spindle_lib_readers.testing.nexus import add_axis, change, write_nxmx

PIXELS = np.arange(60 * 97, dtype=np.uint16).reshape(1, 60, 97)
GIBIBYTES = 2
IMAGE = np.arange(12, dtype=np.int32).reshape(3, 4)

# Opens each file and reads its first image; prints what came of it, and the most memory that any took.
READ = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from spindle.errors import FileFormatError
from spindle.images import open_image
said = {}
for path in sys.argv[1:]:
    try:
        reader = open_image(path)
        notes = reader.models().notes
        said[path] = " ".join([*notes, str(reader.read(0)[0].ravel()[:3].tolist())])
    except FileFormatError as error:
        said[path] = str(error)
try:  # ru_maxrss begins with the memory of the process that started this one
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([said, peak]))
"""


def read_elsewhere(*paths):
    """What is said of each file, and the peak memory in MiB, in a process of its own that ends after a time."""
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, timeout=300, check=True
    )
    said, peak = json.loads(done.stdout.splitlines()[-1])
    return list(said.values()), peak / 1024


def zeros(pack, start=b""):
    """Two gibibytes of zeros after `start`, packed member by member."""
    block = pack(bytes(1 << 24))
    return (pack(start) if start else b"") + block * (GIBIBYTES << 6)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_no_more_of_compressed_images_is_read_than_their_headers_announce(pack, tmp_path):
    suffix = ".gz" if pack is gzip.compress else ".bz2"
    cbf = write_mini_cbf(tmp_path / "a_0001.cbf", IMAGE).read_bytes()
    smv = write_smv(tmp_path / "a_0001.img", IMAGE).read_bytes()
    edf = write_edf(tmp_path / "a_0001.edf", IMAGE).read_bytes()
    paths = []
    for name, start in (("c.cbf", cbf), ("c.img", smv), ("c.edf", edf), ("none.cbf", b"")):
        paths.append(tmp_path / (name + suffix))
        paths[-1].write_bytes(zeros(pack, start))
    said, peak = read_elsewhere(*paths)
    # A header with its pixels is an image, whatever follows.
    assert said[0].endswith("[0, 1, 2]") and said[1].endswith("[0, 1, 2]"), said
    assert "a.edf" not in said[2] and "first bytes" in said[3], said
    assert peak < 1500


def test_members_without_content_come_to_an_end(tmp_path):
    for pack in (gzip.compress, bz2.compress):
        path = tmp_path / ("a.cbf" + (".gz" if pack is gzip.compress else ".bz2"))
        path.write_bytes(pack(b"abc") + pack(b"") * 200_000)
        with pytest.raises(FileFormatError, match="101 empty parts in a row"):
            read_all(path)
        path.write_bytes(pack(b"abc") + pack(b"") + pack(b"d") + b"not packed")
        assert read_all(path).tobytes() == b"abcd"


def test_damage_near_the_end_of_a_compressed_file_is_found(tmp_path):
    whole = gzip.compress(bytes(np.random.default_rng(1).integers(0, 4, 300_000).astype(np.uint8)))
    for at in (-1, -6, -40):
        content = bytearray(whole)
        content[at] ^= 1
        (tmp_path / "a.gz").write_bytes(bytes(content))
        with pytest.raises(FileFormatError, match=r"a\.gz"):
            read_all(tmp_path / "a.gz")


def chunk(path, content, **options):
    """A NeXus file whose one chunk holds other bytes than it should."""
    write_nxmx(path, PIXELS, **options)
    with h5py.File(path, "r+") as file:
        file["entry/data/data"].id.write_direct_chunk((0, 0, 0), content)
    return path


def test_chunks_that_gzip_made_of_gibibytes(tmp_path):
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)  # which stands for itself
    bomb = first + block * (GIBIBYTES << 6)
    paths = [
        chunk(tmp_path / "a.h5", bomb, compression="gzip"),
        chunk(tmp_path / "b.h5", bomb, compression="gzip", shuffle=True),
    ]
    mask = write_nxmx(tmp_path / "c.h5", PIXELS)
    with h5py.File(mask, "r+") as file:
        del file["entry/sample/transformations/omega"]
        add_axis(file["entry/sample/transformations"], "other", [0.0], (-1, 0, 0), ".", "deg", "rotation")
        node = file.create_dataset("entry/sample/transformations/omega", (1,), "f8", chunks=(1,), compression="gzip")
        node.attrs.update(
            {"vector": [-1.0, 0, 0], "units": "deg", "transformation_type": "rotation", "depends_on": "."}
        )
        node.id.write_direct_chunk((0,), bomb)
    said, peak = read_elsewhere(*paths, mask)
    assert all("bytes" in text and ("more" in text or "damaged" in text) for text in said), "\n".join(said)
    assert peak < 700


def large(path, **nodes):
    """A NeXus file with datasets of given shapes in which nothing was ever written."""
    write_nxmx(path, PIXELS)
    with h5py.File(path, "r+") as file:
        for name, (shape, dtype, chunks) in nodes.items():
            place = name.replace("__", "/")
            attributes = dict(file[place].attrs) if place in file else {}
            if place in file:
                del file[place]
            file.create_dataset(place, shape, dtype, chunks=chunks).attrs.update(attributes)
    return path


def test_datasets_that_announce_more_than_there_can_be(tmp_path):
    paths = [
        large(tmp_path / "a.h5", entry__sample__transformations__omega=((8_000_000_000,), "f8", (1 << 16,))),
        large(tmp_path / "b.h5", entry__data__data=((1_000_000_000, 60, 97), "u2", (1, 60, 97))),
        large(tmp_path / "c.h5", entry__data__data=((1, 2_000_000, 2_000_000), "u2", (1, 1000, 1000))),
        large(tmp_path / "d.h5", entry__data__data=((1, 600, 970), "u2", (1, 1, 1))),
        large(tmp_path / "e.h5", entry__instrument__detector__sensor_material=((1_000_000_000,), "S64", (1 << 16,))),
    ]
    said, peak = read_elsewhere(*paths)
    found = ("8000000000", "1000000000", "4000000000000", "582000 chunks of 1 x 1", "1000000000")
    assert all("at most" in text and value in text for text, value in zip(said, found, strict=True)), "\n".join(said)
    assert "h5repack -l /entry/data/data:CHUNK=1x600x970" in said[3]
    assert peak < 700


def test_virtual_datasets_without_end(tmp_path):
    path = write_nxmx(tmp_path / "a.h5", PIXELS)
    layout = h5py.VirtualLayout((1_000_000_000, 60, 97), "u2")
    layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "data", (1_000_000_000, 60, 97))
    change(path, entry__data__data=None)
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    circle = write_nxmx(tmp_path / "c.h5", PIXELS)
    layout = h5py.VirtualLayout((1, 60, 97), "u2")
    layout[:] = h5py.VirtualSource(".", "entry/data/data", (1, 60, 97))
    change(circle, entry__data__data=None)
    with h5py.File(circle, "r+") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    said, peak = read_elsewhere(path, circle)
    assert "at most 1000000 images" in said[0] and "at most 8 deep" in said[1]
    assert peak < 700


@pytest.mark.parametrize("kind", ["long", "circle", "circle of groups"])
def test_chains_of_axes_that_do_not_end(kind, tmp_path):
    path = write_nxmx(tmp_path / "a.h5", PIXELS)
    with h5py.File(path, "r+") as file:
        moves = file["entry/sample/transformations"]
        moves["omega"].attrs["depends_on"] = "x0"
        n = 300 if kind == "long" else 3
        for i in range(n):
            target = f"x{i + 1}" if i + 1 < n else ("." if kind == "long" else "omega")
            add_axis(moves, f"x{i}", 0.0, (1, 0, 0), target, "mm", "translation")
        if kind == "circle of groups":
            moves["again"] = moves
            moves["x1"].attrs["depends_on"] = "again/x1"
    models = open_image(path).models()
    text = "\n".join(models.notes)
    assert ("at most 100 transformations" in text or "a circle back to" in text) and models.goniometer is None


def test_what_is_no_regular_file_is_said_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.cbf")
    (tmp_path / "loop.cbf").symlink_to("loop.cbf")
    (tmp_path / "to_pipe.cbf").symlink_to("pipe.cbf")
    (tmp_path / "folder.cbf").mkdir()
    linked = write_nxmx(tmp_path / "a.h5", PIXELS)
    change(linked, entry__data__data=h5py.ExternalLink("pipe.cbf", "data"))
    indirect = write_nxmx(tmp_path / "b.h5", PIXELS)
    change(indirect, entry__instrument__detector__sensor_material=h5py.ExternalLink("pipe.cbf", "x"))
    outside = write_nxmx(tmp_path / "c.h5", PIXELS)
    change(outside, entry__data__data=None)
    with h5py.File(outside, "r+") as file:
        external = [(str(tmp_path / "pipe.cbf"), 0, PIXELS.nbytes)]
        file.create_dataset("entry/data/data", PIXELS.shape, "u2", external=external)
    names = ["pipe.cbf", "to_pipe.cbf", "folder.cbf", "loop.cbf", "a.h5", "b.h5", "c.h5"]
    said, _ = read_elsewhere(*(tmp_path / n for n in names), "/dev/zero", "/proc/self/mem")
    expected = [
        "expected a regular file, found a pipe", "found a pipe", "found a folder", "leads back to itself",
        "found a pipe", "[0, 1, 2]", "pipe.cbf, which is none", "found a device", "the file is empty",
    ]  # fmt: skip
    assert all(part in text for part, text in zip(expected, said, strict=True)), "\n".join(said)
