"""Every program on damaged experiments, reflections and parameter files and records: a message or a sound result, never anything else.

A small fixed part; ``SPINDLE_FUZZ_CASES=2500 SPINDLE_FUZZ_SEED=...`` asks for more and others, tools/damage.py for the report.
"""

from __future__ import annotations

import os
import sys

import damage
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="children are made by fork")


@pytest.mark.parametrize(("kind", "few"), [("expt", 18), ("refl", 18), ("text", 18), ("data", 6), ("record", 4)])
def test_no_damage_ends_in_anything_but_a_message(run_files, kind, few):
    asked = int(os.environ.get("SPINDLE_FUZZ_CASES", "0"))
    n = few if not asked else asked if kind in ("expt", "refl") else max(asked // 5, few)
    if asked:  # what kernels cost to compile, or to load, is no run's time
        damage.warm(run_files, damage.programs_of(kind, run_files))
    seed = int(os.environ.get("SPINDLE_FUZZ_SEED", "20"))
    faults = [
        damage.told(kind, number, program, words, outcome)
        for number, program, words, outcome in damage.cases(kind, run_files, n, seed)
        if outcome.is_fault
    ]
    assert not faults, "\n\n".join(faults)


def test_a_case_is_made_again_from_its_number(run_files, tmp_path):
    made = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        words, outcome = damage.case("expt", "generate_mask", run_files, tmp_path / name, 7_000_003)
        made.append((words, outcome.kind, (tmp_path / name / "imported.expt").read_bytes()))
    assert made[0] == made[1] and made[0][2] != (run_files / "imported.expt").read_bytes()
    (number, program, *_), *more = damage.cases("expt", run_files, 4, 7, ["generate_mask"], 3)
    assert (number, program, more) == (7_000_003, "generate_mask", [])
    assert "--kind expt --program generate_mask --case 7000003" in damage.told("expt", number, program, words, outcome)


@pytest.mark.long
def test_the_undamaged_files_run(run_files, tmp_path):
    """Otherwise every damage would look well refused."""
    for program in damage.programs_of("", run_files):
        folder = tmp_path / program.replace(" ", "_")
        folder.mkdir()
        words, outcome = damage.case("none", program, run_files, folder, 1)
        assert outcome.kind == "well", f"spindle {' '.join(words)}\n{outcome.text[-1500:]}"
