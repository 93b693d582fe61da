"""Damaged images of every format: each is read or refused by a message, soon and in little memory.

The seed and the number of files are those of SPINDLE_FUZZ_SEED and SPINDLE_FUZZ_COUNT, for longer runs by night. A finding
names its file, whose number, format and seed make it again.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# One small file of each kind that formats read.
KINDS = runpy.run_path(str(Path(__file__).with_name("test_sniffing.py")))["KINDS"]

SEED = int(os.environ.get("SPINDLE_FUZZ_SEED", "1"))
COUNT = int(os.environ.get("SPINDLE_FUZZ_COUNT", "130"))
SECONDS, MEBIBYTES = 10, 2048

# Reads every file as import and find_spots do; prints what was neither read nor refused.
READ = """
import json, resource, signal, sys, traceback, warnings
from pathlib import Path
from spindle.execution.compile_cache import prepare_compile_cache
prepare_compile_cache()
from spindle.errors import SpindleError
from spindle.images import open_image
from spindle.images.opening import reopen_image
from spindle.contracts.format import FormatOptions
warnings.simplefilter("ignore")

class TooLong(BaseException):
    pass

def stop(number, frame):
    raise TooLong

signal.signal(signal.SIGVTALRM, stop)
options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))
found, counts = {}, {"read": 0, "refused": 0}
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, file=sys.stderr, flush=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_VIRTUAL, float(sys.argv[2]))
    try:
        reader = open_image(path, options=options)
        for index in {0, reader.n_images - 1}:
            reader.models(index)
            reader.read(index)
        reader.mask()
        reopen_image(path, reader.format, options).read(0)
        counts["read"] += 1
    except SpindleError as error:
        counts["refused"] += 1
        if "bug" in str(error):
            found[path.name] = str(error)
    except BaseException as error:
        found[path.name] = "".join(traceback.format_exception(error)[-3:])
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if peak > max(before, int(sys.argv[3]) * 1024):
        found[path.name] = f"{peak / 1024:.0f} MiB"
print(json.dumps([found, counts]))
"""

NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
TEXTS = [b"0", b"-1", b"1e308", b"nan", b"inf", b"99999999999999999999", b"65536", b"x", b"", b"2147483648"]
WORDS = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000, 0x7F800000, 0x7FC00000]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four faults: bits, bytes, words and numbers changed, parts lost, doubled or moved."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        # Most faults that matter are in headers, at the beginning.
        span = len(data) if rng.random() < 0.4 else min(len(data), int(rng.choice([128, 1024, 6000])))
        at = int(rng.integers(0, max(span - 4, 1)))
        kind = int(rng.integers(0, 7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[at] = int(rng.integers(0, 256))
        elif kind == 2:
            order = "little" if rng.random() < 0.5 else "big"
            data[at : at + 4] = int(rng.choice(WORDS)).to_bytes(4, order)
        elif kind == 3:
            numbers = list(NUMBER.finditer(bytes(data[:8192])))
            if numbers:
                chosen = numbers[int(rng.integers(0, len(numbers)))]
                data[chosen.start() : chosen.end()] = TEXTS[int(rng.integers(0, len(TEXTS)))]
        elif kind == 4:
            del data[int(rng.integers(1, len(data) + 1)) :]
        elif kind == 5:
            del data[at : at + int(rng.integers(1, 64))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 64))]
        if not data:
            break
    return bytes(data)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    files = {}
    for name, (_, write) in KINDS.items():
        write(folder / name)
        files[name] = (folder / name).read_bytes()
    return files


def test_damaged_images_are_read_or_refused(originals, tmp_path):
    names = list(originals)
    for i in range(COUNT):
        name, rng = names[i % len(names)], np.random.default_rng((SEED, i))
        (tmp_path / f"{i:05d}_{name}").write_bytes(damaged(originals[name], rng))
    command = [sys.executable, "-c", READ, str(tmp_path), str(SECONDS), str(MEBIBYTES)]
    # What a kernel reads beyond its arrays is found only when it looks.
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    last = done.stderr.strip().splitlines()[-1:] or [""]
    assert done.returncode == 0, f"seed {SEED}: signal or exit {done.returncode} at {last[0]}"
    found, counts = json.loads(done.stdout.splitlines()[-1])
    print(f"seed {SEED}: {counts}, {len(found)} findings")
    listing = "\n".join(f"{name}: {text}" for name, text in found.items())
    assert not found, f"seed {SEED}, {len(found)} of {COUNT} files:\n{listing}"
