"""A finished run of multiplex is filtered again, as multiplex itself would have done."""

from __future__ import annotations

import json

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.testing import PluginContract
from spindle.testing.data_sets import rotation_data_sets

CELL = (45.0, 45.0, 36.0, 90.0, 90.0, 120.0)
BAD = 5
FILTER = {"stdcutoff": 1.5, "max_percent_removed": 30, "filtering.deltacchalf.max_cycles": 1}
RUN = {"space_group": "P3", "refine": None, "unit_cell_clustering.threshold": 100.0}


class TestMultiplexFiltering(PluginContract):
    slot = "program"
    name = "multiplex_filtering"


def write(result, folder):
    for name, writer in result.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(path)


@pytest.fixture(scope="module")
def sets():
    """Eight crystals, one of which has intensities that are wrong by up to a half."""
    made = rotation_data_sets("P 3", [CELL] * 8, 5, degrees=(12.0, 20.0), d_min=4.0, image_width=1.0, spread=0.001)
    rng = np.random.default_rng(0)
    bad = np.flatnonzero(made.table["id"] == BAD)
    for kind in ("sum", "prf"):
        value = np.array(made.table[f"intensity.{kind}.value"])
        value[bad] *= rng.uniform(0.5, 1.5, len(bad))
        made.table[f"intensity.{kind}.value"] = value
    return made


@pytest.fixture(scope="module")
def finished(sets, tmp_path_factory):
    """Folder of a run that has filtered, and kept the data between its steps."""
    folder = tmp_path_factory.mktemp("finished")
    options = {**RUN, **FILTER, "filtering.method": "deltacchalf", "output.cleanup": False}
    write(spindle.run("multiplex", sets.experiments, sets.table, **options), folder)
    modified = {"symmetry.space_group": "P 3", "unit_cell.refine": None, "filtering.deltacchalf.stdcutoff": 1.5}
    record = {"format": "spindle run record", "format_version": 1, "program": "multiplex", "working_folder": str(folder), "parameters": {},
              "modified": modified, "versions": {}, "plugins": [], "inputs": [], "outputs": []}  # fmt: skip
    (folder / "spindle.multiplex.json").write_text(json.dumps(record))
    return folder


def test_the_same_limits_give_what_multiplex_gave(finished, sets, tmp_path):
    result = spindle.run("multiplex_filtering", **{"input.directory": str(finished)}, **FILTER)
    write(result, tmp_path)
    name = sets.experiments[BAD].identifier
    (removed,) = (t for t in result.tables if t.key == "removed")
    assert [row[:4] for row in removed.rows] == [[str(BAD), name, removed.rows[0][2], 1]]
    numbers = json.loads((tmp_path / "multiplex_filtering.json").read_text())
    assert name not in numbers["data_sets"] and len(numbers["data_sets"]) == 7
    assert numbers["cycles"][0]["removed_datasets"] == [name]
    assert numbers["final_stats"]["overall"]["r_pim"] < numbers["before"]["overall"]["r_pim"]
    mine, theirs = (gemmi.read_mtz_file(str(f / "DataFiles" / "filtered.mtz")) for f in (tmp_path, finished))
    for label in ("IMEAN", "SIGIMEAN", "FreeR_flag"):
        a, b = (np.array(m.column_with_label(label)) for m in (mine, theirs))
        np.testing.assert_allclose(a, b, rtol=1e-5, equal_nan=True)
    page = (tmp_path / "spindle.multiplex_filtering.html").read_text()
    assert "Removed by the filter" in page and "after cycle 1" in page


def test_images_are_judged_where_that_is_asked_for_and_nothing_is_removed_in_vain(finished):
    result = spindle.run(
        "multiplex_filtering",
        **{"input.directory": str(finished), "stdcutoff": 50, "mode": "image_group", "group_size": 6},
    )
    assert result.summary["n_removed"] == 0 and result.summary["termination_reason"] == "no_more_removed"
    assert result.next_step.startswith("go on with DataFiles/scaled.mtz")


def test_what_is_no_finished_run_is_refused(tmp_path, finished, sets):
    with pytest.raises(UserError, match=r"has no multiplex.json, DataFiles/scaled.expt"):
        spindle.run("multiplex_filtering", **{"input.directory": str(tmp_path)})
    with pytest.raises(ParameterError, match="is not a folder"):
        spindle.run("multiplex_filtering", **{"input.directory": str(finished / "multiplex.json")})
    with pytest.raises(UserError, match="give the folder"):
        spindle.run("multiplex_filtering", sets.experiments)
