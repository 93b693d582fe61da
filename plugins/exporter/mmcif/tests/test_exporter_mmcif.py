"""The exporter passes the contract of its slot; its files are read back by gemmi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.contracts.exporter import MergedColumn, MergedData, MergedDataset
from spindle.models import Experiments
from spindle.testing.data import make_context
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, merged_data, telling_data

DICTIONARY = Path(__file__).parent / "pdbx_items.dic"
#: Names of gemmi, DIALS and deposited files, which the dictionary's extension for unmerged reflections has no item for.
CUSTOMARY = {"_diffrn_refln.pdbx_image_id", "_diffrn_refln.pdbx_scan_angle"}


def numbers(block, category, *items):
    table = block.find(category, list(items))
    return np.array([[float(v) for v in row] for row in table]).reshape(-1, len(items))


class TestMmcifExporter(ExporterContract):
    name = "mmcif"

    def read_back(self, paths: list[Path]) -> ReadBack:
        block = gemmi.cif.read(str(paths[0])).sole_block()
        rows = numbers(
            block, "_diffrn_refln.", "index_h", "index_k", "index_l", "intensity_net", "intensity_sigma",
            "pdbx_image_id", "pdbx_scan_angle",
        )  # fmt: skip
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4], rows[:, 5] - 0.5)


class TestNextVersion(ExporterContract):
    name = "mmcif"
    parameters = {"pdb_version": "v5_next", "compress": "gz"}

    def read_back(self, paths: list[Path]) -> ReadBack:
        block = gemmi.cif.read(str(paths[0])).sole_block()
        items = ["index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "image_id_begin"]
        rows = numbers(block, "_pdbx_diffrn_unmerged_refln.", *items)
        for kind in () if len(rows) else ("profile", "sum"):
            items[3:5] = [f"intensity_{kind}", f"intensity_{kind}_sigma"]
            rows = rows if len(rows) else numbers(block, "_pdbx_diffrn_unmerged_refln.", *items)
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4])


def written(result, folder):
    path = folder / "out.cif"
    next(iter(result.files.values()))(path)
    return gemmi.cif.read(str(path))


def test_both_unscaled_intensities_scans_and_cells_are_in_the_next_version(tmp_path):
    experiments, table = telling_data()
    experiments = experiments.replace(1, beam=replace(experiments[1].beam, wavelength=1.2, probe="electron"))
    result = spindle.run("export", experiments, table, format="mmcif", pdb_version="v5_next", intensity="profile+sum")
    block = written(result, tmp_path).sole_block()
    rows = numbers(
        block, "_pdbx_diffrn_unmerged_refln.", "index_h", "index_k", "index_l", "intensity_sum", "intensity_profile"
    )
    value = 4000 + rows[:, :3] @ [100, 10, 1]
    np.testing.assert_allclose(rows[:, 3], value, rtol=1e-5)
    np.testing.assert_allclose(rows[:, 4], 1.5 * value, rtol=1e-5)
    scans = numbers(
        block, "_pdbx_diffrn_scan.", "scan_id", "image_id_begin", "image_id_end", "scan_angle_begin", "scan_angle_end"
    )
    assert scans.tolist() == [[1, 3, 32, 10, 25], [2, 101, 130, 100, 115]]
    assert numbers(block, "_diffrn_source.", "pdbx_wavelength_list").ravel().tolist() == [1.0, 1.2]
    assert list(block.find_loop("_diffrn_radiation.pdbx_scattering_type")) == ["x-ray", "electron"]
    assert block.find_value("_pdbx_diffrn_unmerged_cell.Bravais_lattice") == "tP"


def test_the_recalculated_cell_is_that_of_the_file(tmp_path):
    experiments, table = integrated_data()
    crystal = replace(experiments[0].crystal, extra={"recalculated_unit_cell": [61.0, 61.0, 41.0, 90, 90, 90]})
    changed = Experiments([replace(experiments[0], crystal=crystal)])
    result = spindle.run("export", changed, table, format="mmcif")
    block = written(result, tmp_path).sole_block()
    assert float(block.find_value("_cell.length_a")) == 61.0


def test_merged_data_of_two_wavelengths_are_read_by_gemmi_as_structure_factors(tmp_path):
    cell = np.array([60.0, 61.0, 62.0, 90, 90, 90])
    hkl = np.array([[1, 2, 3], [2, 0, 0], [4, 5, 6]])
    sets = [MergedDataset("peak", "X", "P", cell, 0.98), MergedDataset("remote", "X", "P", cell, 0.91)]
    columns = [
        MergedColumn("IMEAN_WAVE1", "J", np.array([5.0, np.nan, 7.0]), 0),
        MergedColumn("SIGIMEAN_WAVE1", "Q", np.array([0.5, np.nan, 0.7]), 0),
        MergedColumn("I(+)_WAVE1", "K", np.array([4.0, np.nan, 7.0]), 0),
        MergedColumn("I(-)_WAVE1", "K", np.array([6.0, np.nan, np.nan]), 0),
        MergedColumn("IMEAN_WAVE2", "J", np.array([1.5, 2.5, 3.5]), 1),
        MergedColumn("SIGIMEAN_WAVE2", "Q", np.array([0.1, 0.2, 0.3]), 1),
    ]
    merged = MergedData(hkl, columns, sets, "P 21 21 21")
    result = make_context().algorithm("exporter", "mmcif").export_merged(merged=merged, path="m.cif")
    document = written(result, tmp_path)
    blocks = gemmi.as_refln_blocks(document)
    assert [b.wavelength for b in blocks] == [0.98, 0.91]
    assert blocks[0].spacegroup.hm == "P 21 21 21"
    assert blocks[0].make_miller_array().tolist() == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_allclose(blocks[0].make_float_array("intensity_meas"), [5, 7])
    minus = blocks[0].make_float_array("pdbx_I_minus")
    assert minus[0] == 6 and np.isnan(minus[1])
    mtz = gemmi.CifToMtz().convert_block_to_mtz(blocks[1])
    assert mtz.nreflections == 3 and "IMEAN" in mtz.column_labels()


def faults(document, **options):
    """What gemmi finds that the dictionary does not allow."""
    said = []
    ddl = gemmi.cif.Ddl(said.append, **options)
    ddl.read_ddl(gemmi.cif.read(str(DICTIONARY)))
    ddl.validate_cif(document)
    return [line for line in said if not any(line.endswith(f"unknown tag {name}") for name in CUSTOMARY)]


@pytest.mark.parametrize(
    ("version", "intensity"),
    [("v5", "scale"), ("v5", "profile"), ("v5_next", "scale"), ("v5_next", "sum"), ("v5_next", "profile+sum")],
)
def test_unmerged_files_keep_to_the_dictionary(tmp_path, version, intensity):
    result = spindle.run("export", *telling_data(), format="mmcif", pdb_version=version, intensity=intensity)
    assert faults(written(result, tmp_path)) == []


def test_merged_files_keep_to_the_dictionary_which_tells_what_is_wrong(tmp_path):
    result = make_context().algorithm("exporter", "mmcif").export_merged(merged=merged_data(), path="m.cif")
    document = written(result, tmp_path)
    assert faults(document) == []
    (block,) = document
    block.set_pair("_cell.length_a", "long")
    block.set_pair("_cell.colour", "red")
    block.find_pair_item("_cell.entry_id").erase()
    said = " ".join(faults(document))
    assert "expected number, got: long" in said and "_cell.colour" in said and "_cell.entry_id" in said
