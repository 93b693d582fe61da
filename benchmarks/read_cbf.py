"""Time to read CBF images, ours and DIALS's side by side.

    python benchmarks/read_cbf.py IMAGES... [--repeat 5] [--dials /usr/bin/python3.11]

Images may be plain or compressed; the mean time per frame of the best of several passes is printed, after one pass that
is not counted (compilation, file cache). With ``--dials`` the same images are read by dxtbx in the interpreter named,
as DIALS programs do: ``ImageSet.get_raw_data``. Give at least two images then: dxtbx keeps the last one.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from timing import best_of, run_in_dials

DIALS_CODE = """
import json, sys, time
import dxtbx, dials.util.version
from dxtbx.model.experiment_list import ExperimentListFactory
files, repeat = sys.argv[2:], int(sys.argv[1])
imagesets = ExperimentListFactory.from_filenames(files).imagesets()
best = float("inf")
for _ in range(repeat + 1):
    start = time.perf_counter()
    n = 0
    for imageset in imagesets:
        for i in range(len(imageset)):
            imageset.get_raw_data(i)
            imageset.clear_cache()
            n += 1
    best = min(best, (time.perf_counter() - start) / n)
print("RESULT", json.dumps([best, dials.util.version.dials_version()]))
"""


def ours(files: list[Path], repeat: int, threads: int) -> float:
    """Best mean time per frame, seconds, with one buffer per thread."""
    import threading

    from spindle.contracts.format import FormatOptions
    from spindle.images.opening import open_image, reopen_image

    name = open_image(files[0]).format
    local = threading.local()

    def read(path: Path) -> None:
        local.out = reopen_image(path, name, FormatOptions()).read(0, getattr(local, "out", None))

    with ThreadPoolExecutor(threads) as pool:
        seconds, _ = best_of(lambda: list(pool.map(read, files)), repeat + 1)
    return seconds / len(files)


def decoding_only(path: Path, repeat: int) -> float:
    """Best time, seconds, of decoding one image that is in memory."""
    import numpy as np
    from spindle_format_cbf.binary import find_binary
    from spindle_format_cbf.decoding import decode

    from spindle.images.compressed import read_all, read_head

    data = read_all(path).copy()
    header = find_binary(read_head(path), path)
    out = np.empty((header.slow, header.fast), np.int32)
    return best_of(partial(decode, data, header, out, path, False), repeat + 3)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dials", help="Python interpreter that has dxtbx")
    options = parser.parse_args()
    from spindle.execution.executor import available_cores

    print(f"{len(options.images)} images, first {options.images[0].name}")
    print(f"  decoding alone                {1e3 * decoding_only(options.images[0], options.repeat):9.2f} ms per frame")
    cores = available_cores()
    single = ours(options.images, options.repeat, 1)
    print(f"  spindle, 1 thread             {1e3 * single:9.2f} ms per frame")
    if cores > 1 and len(options.images) > 1:
        several = ours(options.images, options.repeat, cores)
        print(f"  spindle, {cores} threads            {1e3 * several:9.2f} ms per frame")
    if options.dials and len(options.images) > 1:
        best, version = run_in_dials(options.dials, DIALS_CODE, str(options.repeat), *map(str, options.images))
        print(f"  {version:<29} {1e3 * best:9.2f} ms per frame, {best / single:.1f} times one thread of ours")


if __name__ == "__main__":
    main()
