"""Files that dials.export 3.12 wrote of a real electron data set (quartz), beside ours of the same experiments and reflections.

Every field that both have is compared. Where ours differ on purpose, the test says so.
"""

from __future__ import annotations

import json

import gemmi
import h5py
import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data


@pytest.fixture(scope="module")
def theirs():
    folder = shared_data("dials_processed").parents[1] / "design" / "spec" / "examples" / "quartz"
    if not folder.is_dir():
        pytest.skip("the files that dials.export wrote are not here")
    return folder


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    """What writes a format and gives its files by name."""
    stem = shared_data("dials_processed") / "quartz_processed"
    read = {}

    def write(step, **params):
        if step not in read:
            read[step] = read_experiments(stem / f"{step}.expt"), read_reflections(stem / f"{step}.refl")
        folder, paths = tmp_path_factory.mktemp("ours"), {}
        for name, writer in spindle.run("export", *read[step], **params).files.items():
            paths[name] = folder / name.replace("/", "_")
            writer(paths[name])
        return paths

    return write


def fixed(path, widths):
    ends = np.cumsum(widths)
    return np.array(
        [[float(line[e - w : e]) for e, w in zip(ends, widths, strict=True)] for line in path.read_text().splitlines()]
    )


def test_shelx(theirs, ours):
    """The same 1,401 lines; instructions alike, with the composition that DIALS 3.12 leaves out."""
    files = ours("scaled", format="shelx")
    assert files["spindle.hkl"].read_text() == (theirs / "dials.hkl").read_text()
    lines = [
        {line.strip() for line in p.read_text().splitlines()} for p in (files["spindle.ins"], theirs / "dials.ins")
    ]
    both = lines[0] & lines[1]
    assert sum(line.startswith("SYMM") for line in both) == 5 and "LATT -1" in both
    cells = [next(line for line in part if line.startswith("CELL")).split()[1:] for part in lines]
    np.testing.assert_allclose(np.array(cells[0], float), np.array(cells[1], float), atol=1e-4)


def test_sadabs(theirs, ours):
    """All columns of the rows that both have (1,518 of 1,520: DIALS leaves partial reflections apart that we add)."""
    widths = [4] * 3 + [8, 8, 4] + [8] * 6 + [7, 7, 8, 7, 5]
    mine, other = (
        fixed(ours("integrated", format="sadabs")["integrated.sad"], widths),
        fixed(theirs / "integrated.sad", widths),
    )
    known = {(*r[:3], round(r[12], 1), round(r[14], 1)): r for r in other}
    pairs = [(r, known[key]) for r in mine if (key := (*r[:3], round(r[12], 1), round(r[14], 1))) in known]
    assert len(pairs) > 1480
    a, b = np.array(pairs).transpose(1, 0, 2)
    np.testing.assert_allclose(a[:, 5:], b[:, 5:], atol=0.05)
    assert np.mean(np.all(np.abs(a[:, 5:] - b[:, 5:]) <= 0.011, axis=1)) > 0.99
    same = np.abs(a[:, 3] - b[:, 3]) <= 0.011
    assert same.mean() > 0.98


def test_reciprocal_lattice(theirs, ours):
    mine, other = (
        json.loads(p.read_text()) for p in (ours("integrated", format="json")["rlp.json"], theirs / "rlp.json")
    )
    for key in ("rlp", "experiment_id", "imageset_id"):
        np.testing.assert_allclose(mine[key], other[key], atol=1e-6)
    assert set(other["experiments"]) <= set(mine["experiments"])


def test_mosflm(theirs, ours):
    """A is the same; U is ours by MOSFLM's own B, as far as it goes a turn about the third axis."""
    files = ours("integrated", format="mosflm")
    mine, other = (
        [[float(v) for v in line.split()] for line in p.read_text().splitlines()]
        for p in (files["mosflm/index.mat"], theirs / "mosflm" / "index.mat")
    )
    np.testing.assert_allclose(mine[:3], other[:3], atol=1.1e-8)
    np.testing.assert_allclose(mine[7], other[7], atol=1e-4)
    np.testing.assert_allclose(np.array(mine[4:7])[:, 2], np.array(other[4:7])[:, 2], atol=1e-7)
    commands = [
        dict(line.split(None, 1) for line in p.read_text().splitlines())
        for p in (files["mosflm/mosflm.in"], theirs / "mosflm" / "mosflm.in")
    ]
    for word in ("TEMPLATE", "SYMMETRY", "BEAM", "DISTANCE", "MATRIX"):
        assert commands[0][word] == commands[1][word]


def test_pets(theirs, ours):
    """100 frames and all their 7,938 entries; ours have parts of reflections added, which DIALS leaves out."""
    mine, other = (
        gemmi.cif.read(str(p)).sole_block()
        for p in (
            ours("integrated", format="pets", intensity="sum")["spindle_dyn.cif_pets"],
            theirs / "dials_dyn.cif_pets",
        )
    )
    for i in range(1, 4):
        for j in range(1, 4):
            tag = f"_diffrn_orient_matrix_UB_{i}{j}"
            assert float(mine.find_value(tag)) == pytest.approx(float(other.find_value(tag)), abs=1.1e-5)
    names = ["id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale"]
    zones = [np.array([[float(v) for v in row] for row in b.find("_diffrn_zone_axis_", names)]) for b in (mine, other)]
    np.testing.assert_allclose(zones[0], zones[1], atol=1.1e-3)
    names = ["index_h", "index_k", "index_l", "zone_axis_id", "intensity_meas", "intensity_sigma"]
    entries = [np.array([[float(v) for v in row] for row in b.find("_refln_", names)]) for b in (mine, other)]
    known = {tuple(r[:4]): r for r in entries[0]}
    missing = [r for r in entries[1] if tuple(r[:4]) not in known]
    assert not missing
    pairs = np.array([(known[tuple(r[:4])], r) for r in entries[1]])
    # ours are divided by the recorded fraction, at least 0.99
    close = np.abs(pairs[:, 0] - pairs[:, 1]) <= 0.011 + 0.0102 * np.abs(pairs[:, 1])
    assert np.mean(np.all(close, axis=1)) > 0.98


def test_nexus(theirs, ours):
    """Every column of reflections, cells, orientations as far as the frame allows, and the place of pixels."""
    with (
        h5py.File(ours("integrated", format="nxs")["integrated.nxs"]) as mine,
        h5py.File(theirs / "integrated.nxs") as other,
    ):
        for name, values in other["entry/reflections"].items():
            if name not in ("experiments", "reflection_id"):
                np.testing.assert_array_equal(mine["entry/reflections"][name][()], values[()], err_msg=name)
        a, b = (f["entry/experiment_0"] for f in (mine, other))
        np.testing.assert_allclose(a["sample/unit_cell"], b["sample/unit_cell"], atol=1e-6)
        # frames differ by a rotation about the beam; what two vectors make with each other does not
        frames = []
        for group in (a, b):
            module = group["instrument/detector/module0"]
            corner = module["module_offset"][()] * module["module_offset"].attrs["vector"]
            vectors = [module[f"{n}_pixel_direction"].attrs["vector"] for n in ("fast", "slow")]
            frames.append(np.column_stack([*vectors, corner, *group["sample/orientation_matrix"][0].T, [0, 0, 100.0]]))
        np.testing.assert_allclose(frames[0].T @ frames[0], frames[1].T @ frames[1], atol=2e-2)


def test_xds_ascii(theirs, ours):
    """The same observations: DIALS holds sums, so ours are asked for sums; positions, factors and angles alike."""
    path = ours("integrated", format="xds_ascii", intensity="sum")["XDS_ASCII.HKL"]
    mine, other = (np.loadtxt(p, comments="!") for p in (path, theirs / "DIALS.HKL"))
    known = {(*r[:3], round(r[5]), round(r[7])): r for r in mine}
    pairs = np.array([(known[k], r) for r in other if (k := (*r[:3], round(r[5]), round(r[7]))) in known])
    assert len(pairs) > 1480
    a, b = pairs.transpose(1, 0, 2)
    same = np.abs(a[:, 3] - b[:, 3]) < 1e-4 * np.abs(b[:, 3]) + 1e-3
    assert same.mean() > 0.98
    np.testing.assert_allclose(a[:, 5:8], b[:, 5:8], atol=2e-3)  # RLP of DIALS 3.12 is in another order than its rows
    np.testing.assert_allclose(a[:, 11], b[:, 11], atol=0.02)


def test_mmcif(theirs, ours):
    """Loops of both dictionaries: same observations, scan, cell and intensities."""
    for step, theirs_name, kinds in (
        ("scaled", "scaled.cif", ("intensity_meas", "intensity_sigma")),
        (
            "integrated",
            "integrated_v5next.cif",
            ("intensity_sum", "intensity_sum_sigma", "intensity_profile", "intensity_profile_sigma"),
        ),
    ):
        (path,) = ours(step, format="mmcif", pdb_version="v5_next").values()
        items = ["index_h", "index_k", "index_l", "scan_angle_reflection", "partiality", *kinds]
        blocks = [gemmi.cif.read(str(p)).sole_block() for p in (path, theirs / theirs_name)]
        named = [
            items,
            [item.replace("profile", "prf") for item in items],
        ]  # the dictionary's name, and that of the file
        mine, other = (
            np.array([[float(v) for v in row] for row in b.find("_pdbx_diffrn_unmerged_refln.", names)])
            for b, names in zip(blocks, named, strict=True)
        )
        known = {(*r[:3], round(r[3], 2)): r for r in mine}
        pairs = np.array([(known[k], r) for r in other if (k := (*r[:3], round(r[3], 2))) in known])
        assert len(pairs) > 0.9 * len(other), (len(pairs), len(other))
        a, b = pairs.transpose(1, 0, 2)
        whole = b[:, 4] > 0.999
        np.testing.assert_allclose(a[whole, 5:], b[whole, 5:], atol=2e-3, rtol=2e-3)
        for item in ("image_id_begin", "image_id_end", "scan_angle_begin", "scan_angle_end"):
            values = [
                float(b.find_value(f"_pdbx_diffrn_scan.{item}") or next(iter(b.find_loop(f"_pdbx_diffrn_scan.{item}"))))
                for b in blocks
            ]
            assert values[0] == pytest.approx(values[1]), item
        lattices = [
            b.find_value("_pdbx_diffrn_unmerged_cell.Bravais_lattice")
            or b.find_loop("_pdbx_diffrn_unmerged_cell.Bravais_lattice")[0]
            for b in blocks
        ]
        assert lattices[0] == lattices[1]
        probe = blocks[0].find_value("_pdbx_diffrn_data_section.type_scattering")
        assert probe in ("electron", "x-ray")


@pytest.mark.parametrize("name", ["XPARM.XDS", "SPOT.XDS"])
def test_models_imported_from_xds(theirs, name):
    """Those that dials.import_xds 3.12 made of the same files; it leaves out the sensor that XDS.INP describes."""
    folder = theirs.parent / "import_xds"
    done = spindle.run("import", files=[folder / "in" / name])
    ours, other = done.experiments[0], read_experiments(folder / "xds_models.expt")[0]
    for attribute in ("fast_axis", "slow_axis", "origin", "pixel_size", "image_size", "trusted_range"):
        np.testing.assert_allclose(
            getattr(ours.detector[0], attribute), getattr(other.detector[0], attribute), atol=1e-9, err_msg=attribute
        )
    np.testing.assert_allclose(ours.beam.s0, other.beam.s0, atol=1e-12)
    np.testing.assert_allclose(ours.crystal.A, other.crystal.A, atol=1e-12)
    assert ours.crystal.hall == other.crystal.hall
    assert ours.scan.image_range == other.scan.image_range and ours.scan.oscillation_deg == other.scan.oscillation_deg
    if name == "SPOT.XDS":
        assert len(done.reflections) == len((folder / "in" / name).read_text().splitlines())
