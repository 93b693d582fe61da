"""Run every check of the kit on every fault: ``python -m tests.conformance.seeded_faults [SLOT ...]``. Takes many minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import all_faults, caught

if __name__ == "__main__":
    wanted = sys.argv[1:] or sorted({f.slot for f in all_faults()})
    n = found = 0
    for slot in wanted:
        faults = [f for f in all_faults() if f.slot == slot]
        with tempfile.TemporaryDirectory() as folder:
            checks = caught(faults, Path(folder), every=True)
        n += len(faults)
        found += sum(bool(c) for c in checks.values())
        for f in faults:
            print(f"{slot:14} {f.kind:12} {f.title:60} {', '.join(checks[f.title]) or 'MISSED'}")
    print(f"{found} of {n} found")
