"""A program that is ended, or whose disk or memory fails, at any moment: outputs are whole, and there is one message.

A small fixed part; ``SPINDLE_CRASH_ALL=1`` tries every operation of every program, ``SPINDLE_FUZZ_SEED`` other ones.
"""

from __future__ import annotations

import contextlib
import os
import sys

import crashes
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="children are made by fork, open files looked up in /proc"
)

EVERYTHING = bool(os.environ.get("SPINDLE_CRASH_ALL"))
PART = {"generate_mask": 8, "apply_mask": 4, "merge": 3, "export": 3}


@pytest.mark.parametrize("program", list(crashes.PROGRAMS) if EVERYTHING else list(PART))
@pytest.mark.sampled(2)
def test_outputs_are_whole_and_failures_are_one_message(run_files, program):
    rng = np.random.default_rng(int(os.environ.get("SPINDLE_FUZZ_SEED", "5")))

    def some(total: int) -> list[int]:
        return sorted(rng.choice(total, min(PART[program], total), replace=False).tolist())

    words = crashes.PROGRAMS[program].split()
    if not all((run_files / word).exists() for word in words if word.startswith("stills") and word.endswith(".expt")):
        pytest.skip("needs the files of a run of stills; SPINDLE_LONG_RUNS=1 makes them")
    crashes.warm_up()
    tried = list(crashes.cases(program, run_files, choose=None if EVERYTHING else some))
    assert {mode for mode, _, _ in tried} == set(crashes.MODES)
    findings = [found for _, _, several in tried for found in several]
    assert not findings, "\n".join(map(str, findings))


def test_what_a_page_writes_is_whole(run_files, tmp_path):
    """Masks and chosen reflections, whose failures are answers of the server, which goes on."""
    warmed = tmp_path / "warmed"
    warmed.mkdir()
    with contextlib.chdir(tmp_path):
        crashes.run_in_process(crashes.prepare("image_viewer", run_files, warmed), warmed, tmp_path / "printed.txt")
    case = crashes.Case("image_viewer", run_files)
    assert set(case.old) == {"drawn.npz", "drawn.phil", "chosen.refl"}
    renames = [i for i, operation in enumerate(case.operations, 1) if operation.startswith("rename")]
    assert len(renames) == 3
    findings = [case.try_out(mode, n) for mode, n in zip(("kill", "fails", "full"), renames, strict=True)]
    assert findings == [[], [], []]


def test_damage_is_found(run_files, tmp_path):
    """The tool itself: a file that is half written in place, and a message that is a traceback, do not pass."""
    case = crashes.Case("generate_mask", run_files)
    writes = [i for i, operation in enumerate(case.operations, 1) if operation.startswith("rename")]
    assert len(writes) == 2 and not case.try_out("kill", writes[0])
    (tmp_path / "new.npz").write_bytes(b"half")
    (tmp_path / "new.expt").write_bytes(b"{")
    assert not crashes.whole(tmp_path / "new.npz") and not crashes.whole(tmp_path / "new.expt")
