"""Every program on damaged experiments, reflections and parameter files: a message or a sound result, never anything else.

A small fixed part; ``SPINDLE_FUZZ_CASES=2500 SPINDLE_FUZZ_SEED=...`` asks for more and others, tools/damage.py for the report.
"""

from __future__ import annotations

import os
import sys

import damage
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="children are made by fork")


@pytest.mark.parametrize(("kind", "few"), [("expt", 18), ("refl", 18), ("text", 18), ("data", 6)])
def test_no_damage_ends_in_anything_but_a_message(run_files, kind, few):
    n = int(os.environ.get("SPINDLE_FUZZ_CASES", few))
    seed = int(os.environ.get("SPINDLE_FUZZ_SEED", "20"))
    faults = [
        f"{outcome.kind}: seed {number}: spindle {' '.join(words)}\n{outcome.text[-1500:]}"
        for number, _, words, outcome in damage.cases(kind, run_files, n, seed)
        if outcome.is_fault
    ]
    assert not faults, "\n\n".join(faults)


@pytest.mark.long
def test_the_undamaged_files_run(run_files, tmp_path):
    """Otherwise every damage would look well refused."""
    for program in damage.programs_of("", run_files):
        folder = tmp_path / program.replace(" ", "_")
        folder.mkdir()
        words, outcome = damage.case("none", program, run_files, folder, 1)
        assert outcome.kind == "well", f"spindle {' '.join(words)}\n{outcome.text[-1500:]}"
