"""The exporter passes the contract of its slot; instructions and reflections are read back by SHELX's own rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.models import Crystal
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, telling_data


def reflections(path):
    """Indices, intensities and sigmas by columns, up to the line of zeros."""
    rows = []
    for line in path.read_text().splitlines():
        rows.append([int(line[0:4]), int(line[4:8]), int(line[8:12]), float(line[12:20]), float(line[20:28])])
        assert len(line) == 28
    assert rows[-1] == [0, 0, 0, 0, 0]
    return np.array(rows[:-1]).reshape(-1, 5)


class TestShelxExporter(ExporterContract):
    name = "shelx"
    parameters = {"scale": False}

    def read_back(self, paths: list[Path]) -> ReadBack:
        rows = reflections(paths[0])
        assert paths[1].read_text().startswith("TITL")
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4])


def run(tmp_path, experiments, table, **params):
    result = spindle.run("export", experiments, table, format="shelx", **params)
    paths = {name: tmp_path / name for name in result.files}
    for name, writer in result.files.items():
        writer(paths[name])
    return paths, result.summary


def words(path):
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: line[1:] for line in lines if line[0] != "SYMM"} | {
        "SYMM": [" ".join(line[1:]) for line in lines if line[0] == "SYMM"]
    }


GROUPS = ["P 1", "P -1", "C 1 2 1", "P 21/c", "R 3 :H", "R -3 :R", "F d -3 m :1", "F d -3 m :2", "I 41 3 2", "A b a 2"]


@pytest.mark.parametrize("symbol", GROUPS)
def test_lattice_and_operators_give_back_the_space_group(symbol):
    """Completed as SHELX does: identity, inversion for a positive LATT, centring translations."""
    from spindle_exporter_shelx.instructions import lattice_and_symmetry

    group = gemmi.find_spacegroup_by_name(symbol)
    lattice, operators = lattice_and_symmetry(group)
    ops = [gemmi.Op("x,y,z"), *(gemmi.Op(o) for o in operators)]
    if lattice > 0:
        ops += [gemmi.Op("-x,-y,-z") * op for op in ops]
    shifts = {
        1: [], 2: ["x+1/2,y+1/2,z+1/2"], 3: ["x+2/3,y+1/3,z+1/3", "x+1/3,y+2/3,z+2/3"],
        4: ["x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"], 5: ["x,y+1/2,z+1/2"], 7: ["x+1/2,y+1/2,z"],
    }[abs(lattice)]  # fmt: skip
    centred = ops + [gemmi.Op(s) * op for s in shifts for op in ops]
    assert gemmi.GroupOps(centred) == group.operations()
    assert len(centred) == len(group.operations())


def test_the_largest_intensity_fills_the_columns(tmp_path):
    experiments, table = telling_data()
    paths, _ = run(tmp_path, experiments, table)
    rows = reflections(paths["spindle.hkl"])
    assert rows[:, 3].max() == 9999.0
    ratio = rows[:, 3] / (4000 + rows[:, :3] @ [100, 10, 1])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_allclose(rows[:, 4], 0.03 * rows[:, 3], atol=0.006)


def test_instructions_have_cell_wavelength_deviations_and_composition(tmp_path):
    experiments, table = integrated_data()
    cell = np.array([10.1, 11.2, 12.3, 90, 101.5, 90])
    crystal = replace(
        Crystal.from_cell(cell, np.eye(3), "P 1 21/c 1"),
        extra={"recalculated_unit_cell": (cell + [0.01, 0, 0, 0, 0.1, 0]).tolist()},
        cell_sd=np.array([0.002, 0.003, 0.004, 0, 0.011, 0]),
    )
    paths, _ = run(tmp_path, experiments.replace(0, crystal=crystal), table, composition="C6 H12 O6 Se")
    found = words(paths["spindle.ins"])
    assert [float(v) for v in found["CELL"]] == [1.0, 10.11, 11.2, 12.3, 90, 101.6, 90]
    assert [float(v) for v in found["ZERR"]] == [4, 0.002, 0.003, 0.004, 0, 0.011, 0]
    assert found["LATT"] == ["1"] and found["SYMM"] == ["-X,Y+1/2,-Z+1/2"]
    assert found["SFAC"] == ["C", "H", "O", "Se"] and found["UNIT"] == ["24", "48", "24", "4"]
    assert found["HKLF"] == ["4"] and "END" in found


def test_each_wavelength_gets_its_files(tmp_path):
    experiments, table = telling_data()
    experiments = experiments.replace(1, beam=replace(experiments[1].beam, wavelength=1.3))
    paths, _ = run(tmp_path, experiments, table)
    assert sorted(paths) == ["spindle_1.hkl", "spindle_1.ins", "spindle_2.hkl", "spindle_2.ins"]
    assert float(words(paths["spindle_2.ins"])["CELL"][0]) == 1.3


@pytest.mark.parametrize("formula", ["", "6C", "Xx2", "C6h12"])
def test_a_formula_that_is_none_is_refused(tmp_path, formula):
    with pytest.raises(ParameterError, match="composition"):
        run(tmp_path, *integrated_data(), composition=formula)
