"""The reader of reflections, and what works on shoeboxes, never look beyond an array, whatever the file says.

Kernels are compiled without that check; here a child compiles those of the host with it. tools/damage.py ``--bounds`` does so for whole
programs. ``SPINDLE_FUZZ_CASES`` and ``SPINDLE_FUZZ_SEED`` ask for more and others.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import spoiling

from spindle.files import write_reflections
from spindle.table import ReflectionTable, Shoeboxes

SEED = int(os.environ.get("SPINDLE_FUZZ_SEED", "33"))
COUNT = int(os.environ.get("SPINDLE_FUZZ_CASES", "400"))

# Reads every file, from memory and as large ones are, and uses what is read; prints what was neither read nor refused.
READ = """
import json, sys, traceback
from pathlib import Path
import numpy as np
from spindle.execution.compile_cache import prepare_compile_cache
prepare_compile_cache()
from spindle.errors import SpindleError
from spindle.files import read_reflections, shoebox_records, source, write_reflections
from spindle.table import Shoeboxes
from spindle.table.background_statistics import background_statistics
from spindle.table.shoebox_pixels import subtract_and_divide

try:  # a kernel that looks beyond its arrays is found
    shoebox_records._read_shoeboxes(
        np.zeros(9, np.uint8), np.array([1]), np.array([0, 1]), 2, np.zeros(4, np.uint8), np.zeros(1, np.uint8), np.zeros(4, np.uint8)
    )
except IndexError:
    pass
else:
    raise SystemExit("indices are not checked")

def use(table):
    for name in table:
        table[name]
    n = len(table)
    for rows in (np.arange(n)[::-2], np.zeros(0, np.int64)):
        part = table.select(rows)
        for name in part:
            if not isinstance(part[name], Shoeboxes):
                continue
            boxes = part[name]
            for maps in (np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)), (np.ones((50, 70), np.float32),) * 2:
                subtract_and_divide(np.arange(len(boxes)), boxes.bbox, boxes.offsets, *maps, boxes.data)
            background_statistics(
                boxes.data, boxes.offsets, boxes.background, boxes.mask, np.ones(len(boxes), np.bool_),
                *(np.zeros(len(boxes)) for _ in range(3)),
            )
            Shoeboxes.concatenate([boxes, boxes.part(0, len(boxes) // 2)])
    write_reflections(table, sys.argv[1] + "/again.refl")

found, counts = {}, {"read": 0, "refused": 0}
for large in (2**22, 0):
    source.LARGE = large
    for path in sorted(Path(sys.argv[1]).glob("case_*")):
        print(path.name, file=sys.stderr, flush=True)
        try:
            use(read_reflections(path))
            counts["read"] += 1
        except SpindleError as error:
            counts["refused"] += 1
            if "out of bounds" in str(error):  # of a kernel: what it found beyond is taken for damage
                found[f"{path.name}, large from {large} bytes"] = str(error)
        except BaseException:
            found[f"{path.name}, large from {large} bytes"] = traceback.format_exc()[-900:]
print(json.dumps([found, counts]))
"""


def spots(n: int) -> ReflectionTable:
    """A table of every kind of column, with shoeboxes of several sizes."""
    rng = np.random.default_rng(2)
    corner = rng.integers(0, 100, (n, 3))
    extent = rng.integers(1, 5, (n, 3))
    bbox = np.stack([corner, corner + extent], axis=2).reshape(n, 6).astype(np.int32)
    boxes = Shoeboxes.empty(np.zeros(n, np.int32), bbox)
    boxes.data[:] = rng.random(len(boxes.data))
    table = ReflectionTable()
    table["id"] = np.zeros(n, np.int32)
    table["panel"] = np.zeros(n, np.uint64)
    table["flags"] = np.full(n, 32, np.uint64)
    table["miller_index"] = rng.integers(-9, 9, (n, 3)).astype(np.int32)
    table["xyzobs.px.value"] = corner.astype(np.float64)
    table["bbox"] = bbox
    table["entering"] = rng.random(n) < 0.5
    table["shoebox"] = boxes
    return table


def damaged_boxes(content: bytes, rng: np.random.Generator) -> bytes:
    """A file in which only the corners of boxes are other ones, their order, or the end of the pixels."""
    signature, version, table = msgpack.unpackb(content, raw=True, strict_map_key=False)
    kind, (n, payload) = table[b"data"][b"shoebox"]
    bad = bytearray(payload)
    starts, at = [], 0
    for _ in range(n):
        starts.append(at)
        corners = struct.unpack_from("<6i", bad, at + 4)
        at += 29 + 12 * int(np.prod(np.subtract(corners[1::2], corners[::2])))
    action = rng.integers(4)
    for at in rng.choice(starts, rng.integers(1, 4)):
        if action == 0:  # products beyond 64 bits, of either sign
            corners = rng.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**16, -(2**20), 3], 6)
            struct.pack_into("<6i", bad, at + 4, *map(int, corners))
        elif action == 1:  # somewhat larger or smaller
            struct.pack_into("<i", bad, at + 4 * int(rng.integers(1, 7)), int(rng.integers(-9, 110)))
        elif action == 2:  # pixels that are there or not
            bad[at + 28] ^= 1
    end = len(bad) - int(rng.integers(1, 60)) if action == 3 else len(bad)
    table[b"data"][b"shoebox"] = [kind, [n, bytes(bad[:end])]]
    return bytes(msgpack.packb([signature, version, table], use_bin_type=True))


def test_no_index_of_a_kernel_is_out_of_its_array(tmp_path):
    write_reflections(spots(40), tmp_path / "whole.refl")
    content = (tmp_path / "whole.refl").read_bytes()
    rng = np.random.default_rng(SEED)
    for i in range(COUNT):
        damaged = (spoiling.damaged_reflections, damaged_boxes)[i % 2](content, rng) if i else content
        (tmp_path / f"case_{i:05d}.refl").write_bytes(damaged)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    # A folder of its own: what is compiled with checks is not compiled again, and not taken by others.
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=Path(__file__).parent
    )
    last = done.stderr.strip().splitlines()[-1:] or [""]
    assert done.returncode == 0, f"seed {SEED}: signal or exit {done.returncode} at {last[0]}\n{done.stderr[-900:]}"
    found, counts = json.loads(done.stdout.splitlines()[-1])
    print(f"seed {SEED}: {counts}, {len(found)} findings")
    assert not found, f"seed {SEED}:\n" + "\n".join(f"{name}: {text}" for name, text in found.items())
    assert min(counts.values()) > COUNT // 10
