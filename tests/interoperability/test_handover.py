"""At every step, DIALS goes on from our files and we go on from those of DIALS.

Runs where DIALS is installed. A small data set is simulated; each program gets the other's output of the step before and must come to
the same result as on its own: as many spots, the same cell, the same space group, intensities that correlate.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.files import read_experiments, read_reflections
from spindle.table import Flag
from spindle.testing import dials as peer

CELL = (37.95, 78.9, 78.9)


def dials(folder: Path, program: str, *arguments: object) -> None:
    """Run a DIALS program in a folder of its own."""
    folder.mkdir(exist_ok=True)
    peer.dials(f"dials.{program}", *arguments, cwd=folder)


def spindle(folder: Path, *arguments: object) -> None:
    """Run our command line in a folder."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        assert main([*map(str, arguments)]) == 0


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """Folders with our chain and DIALS's chain of one simulated set."""
    root = tmp_path_factory.mktemp("handover")
    spindle(root, "simulate", "n_images=40")
    images = sorted((root / "simulated").glob("*.cbf"))
    ours, theirs = root / "ours", root / "theirs"
    dials(theirs, "import", *images)  # skips where there is no DIALS
    spindle(ours, "process", *images)
    dials(theirs, "find_spots", "imported.expt", "nproc=2")
    dials(theirs, "index", "imported.expt", "strong.refl", "nproc=2")
    dials(theirs, "refine", "indexed.expt", "indexed.refl", "scan_varying=False")
    dials(theirs, "integrate", "refined.expt", "refined.refl", "nproc=1")
    dials(theirs, "symmetry", "integrated.expt", "integrated.refl")
    dials(theirs, "scale", "symmetrized.expt", "symmetrized.refl", "full_matrix=False")
    return ours, theirs, root


def n_indexed(folder, name="indexed.refl"):
    return int((read_reflections(folder / name)["id"] >= 0).sum())


def sorted_cell(folder, name):
    return np.sort(read_experiments(folder / name)[0].crystal.cell[:3])


def n_strong(folder):
    return len(read_reflections(folder / "strong.refl"))


def test_dials_finds_spots_from_our_import(chains):
    ours, theirs, root = chains
    dials(root / "a", "find_spots", ours / "imported.expt", "nproc=2")
    assert n_strong(root / "a") == n_strong(theirs)


def test_dials_indexes_our_spots(chains):
    ours, theirs, root = chains
    dials(root / "b", "index", ours / "imported.expt", ours / "strong.refl", "nproc=2")
    np.testing.assert_allclose(sorted_cell(root / "b", "indexed.expt"), CELL, rtol=2e-3)
    assert n_indexed(root / "b") > 0.98 * n_indexed(theirs)


def test_dials_refines_what_we_indexed(chains):
    ours, _, root = chains
    dials(root / "c", "refine", ours / "indexed.expt", ours / "indexed.refl", "scan_varying=False")
    np.testing.assert_allclose(sorted_cell(root / "c", "refined.expt"), CELL, rtol=2e-3)


def test_dials_integrates_what_we_refined(chains):
    ours, theirs, root = chains
    dials(root / "d", "integrate", ours / "refined.expt", ours / "refined.refl", "nproc=1")
    table = read_reflections(root / "d" / "integrated.refl")
    reference = read_reflections(theirs / "integrated.refl")
    wanted = Flag.INTEGRATED_SUM
    assert table.has_flags(wanted).sum() > 0.97 * reference.has_flags(wanted).sum()


def test_dials_finds_the_symmetry_of_what_we_integrated(chains):
    ours, _, root = chains
    dials(root / "e", "symmetry", ours / "integrated.expt", ours / "integrated.refl")
    assert read_experiments(root / "e" / "symmetrized.expt")[0].crystal.space_group.point_group_hm() == "422"


def test_dials_scales_our_symmetrized_data(chains):
    ours, _, root = chains
    dials(root / "f", "scale", ours / "symmetrized.expt", ours / "symmetrized.refl", "full_matrix=False")
    assert (read_reflections(root / "f" / "scaled.refl")["inverse_scale_factor"] > 0).sum() > 1000


def test_dials_exports_and_merges_what_we_scaled(chains):
    ours, _, root = chains
    dials(root / "g", "export", ours / "scaled.expt", ours / "scaled.refl", "format=mtz")
    dials(root / "g", "merge", ours / "scaled.expt", ours / "scaled.refl")
    import gemmi

    theirs = gemmi.read_mtz_file(str(root / "g" / "merged.mtz"))
    mine = gemmi.read_mtz_file(str(ours / "merged_all.mtz"))  # DIALS does not cut where the data end
    merged = []
    for mtz in (theirs, mine):
        value = np.array(mtz.column_with_label("IMEAN"))
        merged.append({tuple(h): v for h, v in zip(mtz.make_miller_array().tolist(), value, strict=True)})
    common = sorted(merged[0].keys() & merged[1].keys())
    assert len(common) > 0.97 * len(merged[0])
    x, y = (np.array([m[k] for k in common]) for m in merged)
    assert np.corrcoef(x, y)[0, 1] > 0.9995


def test_we_find_the_spots_of_a_dials_import(chains):
    ours, theirs, root = chains
    spindle(root / "h", "find_spots", theirs / "imported.expt")
    assert abs(n_strong(root / "h") - n_strong(ours)) <= 0.001 * n_strong(ours)


def test_we_index_the_spots_of_dials(chains):
    _, theirs, root = chains
    spindle(root / "i", "index", theirs / "imported.expt", theirs / "strong.refl")
    np.testing.assert_allclose(sorted_cell(root / "i", "indexed.expt"), CELL, rtol=2e-3)
    assert n_indexed(root / "i") >= 0.99 * n_indexed(theirs)


def test_we_refine_what_dials_indexed(chains):
    _, theirs, root = chains
    spindle(root / "j", "refine", theirs / "indexed.expt", theirs / "indexed.refl")
    np.testing.assert_allclose(sorted_cell(root / "j", "refined.expt"), CELL, rtol=2e-3)


def test_we_integrate_what_dials_refined(chains):
    _, theirs, root = chains
    spindle(root / "k", "integrate", theirs / "refined.expt", theirs / "refined.refl")
    table, reference = read_reflections(root / "k" / "integrated.refl"), read_reflections(theirs / "integrated.refl")
    assert table.has_flags(Flag.INTEGRATED_SUM).sum() > 0.97 * reference.has_flags(Flag.INTEGRATED_SUM).sum()


def test_we_find_the_symmetry_of_what_dials_integrated(chains):
    _, theirs, root = chains
    spindle(root / "l", "symmetry", theirs / "integrated.expt", theirs / "integrated.refl")
    assert read_experiments(root / "l" / "symmetrized.expt")[0].crystal.space_group.point_group_hm() == "422"


def test_we_scale_and_export_what_dials_symmetrized_and_scaled(chains):
    _, theirs, root = chains
    spindle(root / "m", "scale", theirs / "symmetrized.expt", theirs / "symmetrized.refl")
    spindle(root / "m", "export", theirs / "scaled.expt", theirs / "scaled.refl", "mtz.hklout=theirs.mtz")
    spindle(root / "m", "merge", theirs / "scaled.expt", theirs / "scaled.refl")
    assert (root / "m" / "theirs.mtz").exists() and (root / "m" / "merged.mtz").exists()
