"""Files for SHELX, read by cctbx: reflections, cell and symmetry. Skipped without DIALS."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

import spindle
from spindle.models import Crystal
from spindle.testing.exporter import telling_data

READ = """
import json, sys
from iotbx.shelx import crystal_symmetry_from_ins, hklf
found = []
for hkl, ins in json.load(open(sys.argv[1])):
    rows = hklf.reader(file_object=open(hkl))
    symmetry = crystal_symmetry_from_ins.extract_from(ins)
    found.append(dict(
        indices=list(rows.indices()), data=list(rows.data()), sigmas=list(rows.sigmas()),
        cell=symmetry.unit_cell().parameters(), group=[str(op) for op in symmetry.space_group().all_ops()],
    ))
json.dump(found, open(sys.argv[2], "w"))
"""
CELLS = {
    "P 1 21/c 1": (10.1, 11.2, 12.3, 90, 101.5, 90),
    "C 1 2 1": (30.1, 11.2, 22.3, 90, 95.25, 90),
    "R -3 :H": (20.0, 20.0, 31.0, 90, 90, 120),
    "R -3 :R": (14.0, 14.0, 14.0, 83.5, 83.5, 83.5),
    "I 41 3 2": (25.0, 25.0, 25.0, 90, 90, 90),
    "F d -3 m :2": (25.0, 25.0, 25.0, 90, 90, 90),
}


def test_cctbx_reads_the_same_reflections_cells_and_groups(tmp_path, ask_cctbx):
    """Of two sweeps, in settings with and without a centre, of one wavelength and of two."""
    experiments, table = telling_data()
    wanted, paths = [], []
    for name, cell in CELLS.items():
        crystal = Crystal.from_cell(cell, np.eye(3), name)
        for wavelength in (1.0, 1.3) if name == "C 1 2 1" else (1.0,):
            own = experiments.replace(0, crystal=crystal).replace(
                1, crystal=crystal, beam=replace(experiments[1].beam, wavelength=wavelength)
            )
            files = spindle.run("export", own, table, format="shelx", scale=False).files
            folder = tmp_path / f"{len(wanted)}"
            folder.mkdir()
            for file, writer in files.items():
                writer(folder / file)
            for hkl in sorted(folder.glob("*.hkl")):
                paths.append([str(hkl), str(hkl.with_suffix(".ins"))])
                wanted.append((name, cell))
    assert len(paths) == len(CELLS) + 2
    for (name, cell), found, (hkl, _) in zip(wanted, ask_cctbx(READ, paths), paths, strict=True):
        np.testing.assert_allclose(found["cell"], cell, atol=1e-3)
        operators = {op.triplet() for op in gemmi.SpaceGroup(name).operations()}
        assert {gemmi.Op(op).wrap().triplet() for op in found["group"]} == operators, hkl
        index, data = np.array(found["indices"]), np.array(found["data"])
        assert len(index) > 100
        np.testing.assert_allclose(found["sigmas"], 0.03 * data, rtol=0.01, atol=0.006)
        np.testing.assert_allclose(data, 2.5 * (4000 + index @ [100, 10, 1]), rtol=1e-4, err_msg=hkl)
