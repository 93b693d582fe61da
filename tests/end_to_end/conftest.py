"""Files that several tests of whole runs begin from."""

from __future__ import annotations

import os

import damage_run
import pytest


@pytest.fixture(scope="session")
def run_files(tmp_path_factory):
    """The files of every step of a small sweep; in long runs of three stills, too."""
    folder = tmp_path_factory.mktemp("run")
    damage_run.make_sweep(folder)
    if os.environ.get("SPINDLE_LONG_RUNS"):
        damage_run.make_stills(folder)
    return folder
