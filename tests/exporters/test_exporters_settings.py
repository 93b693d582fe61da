"""Every exporter in every setting that gemmi tabulates: what is written means the crystal that was measured.

A few atoms in general positions, multiplied by the operators of the setting, give intensities whose equivalents and
absences are those of the crystal and no others. A file must show the same when it is read by its own conventions: an MTZ
file by its operators, the files of XDS by the reference setting of their number.
"""

from __future__ import annotations

import itertools
from functools import cache, lru_cache

import gemmi
import numpy as np
import pytest

import spindle
from spindle.contracts.exporter import MergedColumn, MergedData, MergedDataset
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import Flag, ReflectionTable
from spindle.testing import make_context
from spindle_lib_merging import intensity_columns, merge_pairs

REFERENCE_CELLS = {
    "triclinic": (8, 9, 10, 80, 85, 95),
    "monoclinic": (8, 9, 10, 90, 104, 90),
    "orthorhombic": (8, 9, 10, 90, 90, 90),
    "tetragonal": (8, 8, 10, 90, 90, 90),
    "trigonal": (8, 8, 10, 90, 90, 120),
    "hexagonal": (8, 8, 10, 90, 90, 120),
    "cubic": (9, 9, 9, 90, 90, 90),
}
SETTINGS = list(gemmi.spacegroup_table())
BLOCKS = [SETTINGS[i : i + 47] for i in range(0, len(SETTINGS), 47)]
TURN = np.diag([1.0, -1.0, -1.0])  # from the laboratory to the frame of the panel


def indices():
    """(n, 3) int32: a small block and the axes far enough for any screw axis."""
    block = list(itertools.product(range(-2, 3), repeat=3))
    axes = [tuple(n * np.eye(3, dtype=int)[i]) for i in range(3) for n in (-6, -4, -3, 3, 4, 6)]
    whole = [h for h in block + axes if any(h)]
    return np.array([h for n, h in enumerate(whole) if n % 2 == 0 or 0 in h], dtype=np.int32)


def cell_of(group):
    """(6,): a cell with the metric of the setting and no more symmetry, by the operator from the reference setting."""
    frame = gemmi.UnitCell(*REFERENCE_CELLS[group.crystal_system_str()]).orth.mat
    change = np.array(group.basisop.rot) / gemmi.Op.DEN  # x = change x_reference
    a, b, c = (np.array(frame.tolist()) @ np.linalg.inv(change)).T
    sides = [np.linalg.norm(v) for v in (a, b, c)]
    angles = [np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in ((b, c), (a, c), (a, b))]
    return np.array([*sides, *angles])


def intensities(group, hkl):
    """(n,) float64: |F|^2 of three atoms and their mates, 0 where the group has an absence."""
    atoms = np.array([[0.1273, 0.0631, 0.2191], [0.3127, 0.4159, 0.0713], [0.2741, 0.1877, 0.3673]])
    weights = np.array([6.0, 17.0, 11.0])
    ops = list(group.operations())
    rot = np.array([op.rot for op in ops]) / gemmi.Op.DEN
    tran = np.array([op.tran for op in ops]) / gemmi.Op.DEN
    x = np.einsum("oij,aj->aoi", rot, atoms) + tran
    f = np.einsum("a,hao->h", weights, np.exp(2j * np.pi * np.einsum("hi,aoi->hao", hkl, x)))
    return np.abs(f / len(ops)) ** 2


@cache
def known_intensities(symbol):
    """`intensities` of `indices`; the tests of all exporters need them."""
    return intensities(gemmi.find_spacegroup_by_name(symbol), indices())


def measured(group):
    """A crystal in this setting on a goniometer, its reflections in order of their pixel in x, |F|^2 + 2 as intensity."""
    hkl = indices()
    n = len(hkl)
    crystal = Crystal.from_cell(cell_of(group), rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7))
    crystal = Crystal(crystal.A, hall=" " + group.hall)
    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610))
    goniometer = Goniometer(
        [0.8, 0.6, 0.0], fixed_rotation=rotation_matrix(np.array([0.0, 1, 0]), 0.3),
        setting_rotation=rotation_matrix(np.array([0.0, 0, 1]), 0.2),
    )  # fmt: skip
    experiment = Experiment(
        Beam([0, 0, 1], 1.0), Detector([panel]), goniometer, Scan((1, 3), (10.0, 0.5)), crystal,
        imageset=ImageSet(template="/data/x_####.cbf"),
    )  # fmt: skip
    position = np.stack([np.arange(n) + 0.25, np.full(n, 7.0), np.linspace(0.1, 2.9, n)], axis=1)
    value = known_intensities(group.xhm()) + 2.0
    table = ReflectionTable({
        "id": np.zeros(n, dtype=int), "panel": np.zeros(n, dtype=int), "miller_index": hkl,
        "flags": np.zeros(n, dtype=int), "xyzcal.px": position, "xyzobs.px.value": position,
        "xyzcal.mm": position * [0.172, 0.172, np.deg2rad(0.5)], "d": 1 / np.linalg.norm(hkl @ crystal.A.T, axis=1),
        "intensity.sum.value": value, "intensity.sum.variance": np.ones(n), "partial_id": np.arange(n),
        "partiality": np.ones(n), "intensity.scale.value": value, "intensity.scale.variance": np.ones(n),
        "inverse_scale_factor": np.ones(n),
    })  # fmt: skip
    table.set_flags(np.arange(n), Flag.STRONG | Flag.INTEGRATED_SUM | Flag.SCALED)
    return Experiments([experiment]), table


@lru_cache(maxsize=3)
def exporter(kind):
    return make_context().algorithm("exporter", kind)


def written(experiments, table, folder, kind):
    exported = exporter(kind).export(experiments=experiments, reflections=table, intensity="sum", path=None)
    paths = {}
    for name, writer in exported.files.items():
        paths[name.rpartition("/")[2]] = path = folder / name.replace("/", "_")
        writer(path)
    return paths


def assert_means_the_crystal(group, written_group, rows, hkl, written_hkl, d):
    """The group that a reader takes has the crystal's absences and equivalents, and no reflection changes its d."""
    true = known_intensities(group.xhm())
    label = f"{group.xhm()} read as {written_group.xhm()}"
    ops = written_group.operations()
    absent = np.array(ops.systematic_absences(np.ascontiguousarray(written_hkl, dtype=np.int32)))
    assert np.array_equal(absent, true[rows] < 1e-9), label
    asu = gemmi.ReciprocalAsu(written_group)
    seen = {}
    for h, value in zip(written_hkl.tolist(), true[rows], strict=True):
        seen.setdefault(tuple(asu.to_asu(h, ops)[0]), []).append(value)
    assert all(np.ptp(v) < 1e-6 * max(v) + 1e-9 for v in seen.values()), label
    here = {}
    for h, value in zip(hkl[rows].tolist(), true[rows], strict=True):
        here.setdefault(tuple(gemmi.ReciprocalAsu(group).to_asu(h, group.operations())[0]), []).append(value)
    assert len(here) == len(seen), label
    np.testing.assert_allclose(d, true_d(group, hkl)[rows], rtol=2e-4, err_msg=label)


def true_d(group, hkl):
    return gemmi.UnitCell(*cell_of(group)).calculate_d_array(hkl)


def assert_fits(cell, group):
    """The metric of the cell has the symmetry of the group."""
    frame = np.array(cell.orth.mat.tolist())
    metric = frame.T @ frame
    for op in group.operations().sym_ops:
        turn = np.array(op.rot) / gemmi.Op.DEN
        np.testing.assert_allclose(turn.T @ metric @ turn, metric, atol=0.05, err_msg=group.xhm())


def lattice_rows(group, hkl):
    """Rows that the lattice of the setting has."""
    cen = np.array(group.operations().cen_ops) / gemmi.Op.DEN
    return np.flatnonzero(np.all(np.abs(hkl @ cen.T - np.rint(hkl @ cen.T)) < 1e-6, axis=1))


@pytest.mark.parametrize("groups", BLOCKS, ids=lambda b: f"{b[0].number}-{b[-1].number}")
@pytest.mark.sampled(4)
def test_unmerged_mtz(groups, tmp_path):
    for group in groups:
        experiments, table = measured(group)
        path = written(experiments, table, tmp_path, "mtz")["integrated.mtz"]
        order, primitive, letter, number = next(r for r in path_records(path) if r.startswith("SYMINF"))[6:21].split()
        symops = [gemmi.Op(r[4:].strip()) for r in path_records(path) if r.startswith("SYMM")]
        ops = group.operations()
        assert gemmi.GroupOps(symops) == ops, group.xhm()
        assert (int(order), int(primitive)) == (len(symops), len(ops.sym_ops)), group.xhm()
        assert int(number) % 1000 == group.number and int(number) > 0, group.xhm()
        assert letter == ("H" if group.xhm().endswith(":H") else group.hm[0]), group.xhm()
        mtz = gemmi.read_mtz_file(str(path))
        hkl = table["miller_index"]
        rows = np.floor(np.array(mtz.column_with_label("XDET"))).astype(int)
        assert sorted(rows) == list(range(len(hkl)))
        asu = np.array(mtz.make_miller_array())
        isym = np.array(mtz.column_with_label("M/ISYM")).astype(int)
        turned = np.array(
            [hkl[r] @ (np.array(symops[(k - 1) // 2].rot) // 24) for r, k in zip(rows, isym, strict=True)]
        )
        assert np.array_equal(np.where(isym % 2 == 1, 1, -1)[:, None] * turned, asu), group.xhm()
        d = mtz.cell.calculate_d_array(np.ascontiguousarray(hkl[rows]))
        # gemmi takes a symbol without origin for the first choice: same absences and equivalents
        reader = mtz.spacegroup
        assert_means_the_crystal(group, reader, rows, hkl, hkl[rows], d)
        batch = mtz.batches[0]
        U = np.array([batch.floats[i] for i in range(6, 15)]).reshape(3, 3).T
        # B of Busing & Levy (1967), as in MTZ files: a* along x, b* in the xy plane.
        metric = gemmi.UnitCell(*[batch.floats[i] for i in range(6)]).reciprocal_metric_tensor().as_mat33()
        A = U @ np.linalg.cholesky(np.array(metric.tolist())).T
        gonio, crystal = experiments[0].goniometer, experiments[0].crystal
        laboratory = gonio.setting_rotation @ gonio.fixed_rotation @ crystal.A
        to_mtz = A @ np.linalg.inv(laboratory)
        np.testing.assert_allclose(to_mtz @ to_mtz.T, np.eye(3), atol=2e-5, err_msg=group.xhm())
        np.testing.assert_allclose(to_mtz @ gonio.axis_lab, [0, 0, 1], atol=2e-5, err_msg=group.xhm())
        np.testing.assert_allclose(to_mtz @ [0, 0, -1], [1, 0, 0], atol=2e-5, err_msg=group.xhm())


def path_records(path):
    """80-character records of the header of an MTZ file."""
    data = path.read_bytes()
    start = 4 * (int.from_bytes(data[4:8], "little") - 1)
    text = data[start:].decode("ascii", "replace")
    return [text[i : i + 80] for i in range(0, len(text), 80)]


@pytest.mark.parametrize("groups", BLOCKS, ids=lambda b: f"{b[0].number}-{b[-1].number}")
@pytest.mark.sampled(4)
def test_xds_ascii(groups, tmp_path):
    for group in groups:
        experiments, table = measured(group)
        hkl = table["miller_index"]
        path = written(experiments, table, tmp_path, "xds_ascii")["XDS_ASCII.HKL"]
        found = gemmi.read_xds_ascii(str(path))
        rows = np.floor(found.xd_array).astype(int)
        assert set(lattice_rows(group, hkl)) <= set(rows.tolist())
        reader = gemmi.get_spacegroup_reference_setting(found.spacegroup_number)
        cell = gemmi.UnitCell(*found.cell_constants)
        assert_fits(cell, reader)
        new = np.ascontiguousarray(found.miller_array)
        assert_means_the_crystal(group, reader, rows, hkl, new, cell.calculate_d_array(new))
        text = path.read_text().splitlines()
        axes = [
            [float(v) for v in line.split("=")[1].split()]
            for line in text
            if line.startswith("!UNIT_CELL_") and "AXIS" in line
        ]
        assert_same_vectors(experiments[0], hkl[rows], np.array(axes), new, group)


@pytest.mark.parametrize("groups", BLOCKS, ids=lambda b: f"{b[0].number}-{b[-1].number}")
@pytest.mark.sampled(4)
def test_xds_input_files(groups, tmp_path):
    for group in groups:
        experiments, table = measured(group)
        hkl = table["miller_index"]
        files = written(experiments, table, tmp_path, "xds")
        spots = np.loadtxt(files["SPOT.XDS"])
        rows, new = np.floor(spots[:, 0]).astype(int), spots[:, 4:].astype(np.int32)
        numbers = [[float(v) for v in line.split()] for line in files["XPARM.XDS"].read_text().splitlines()[1:]]
        number, *cell = numbers[2]
        reader = gemmi.get_spacegroup_reference_setting(int(number))
        unit_cell = gemmi.UnitCell(*cell)
        assert_fits(unit_cell, reader)
        assert_means_the_crystal(group, reader, rows, hkl, new, unit_cell.calculate_d_array(new))
        assert_same_vectors(experiments[0], hkl[rows], np.array(numbers[3:6]), new, group)
        told = dict(line.split("=", 1) for line in files["XDS.INP"].read_text().splitlines() if line.count("=") == 1)
        assert int(told["SPACE_GROUP_NUMBER"]) == number
        np.testing.assert_allclose([float(v) for v in told["UNIT_CELL_CONSTANTS"].split()], cell, atol=2e-3)
        axes = [[float(v) for v in told[f"UNIT_CELL_{n}-AXIS"].split()] for n in "ABC"]
        np.testing.assert_allclose(axes, numbers[3:6], atol=1e-5)


def assert_same_vectors(experiment, hkl, axes, new, group):
    """Scattering vectors at rotation angle 0 are those of the model, turned into the panel's frame."""
    gonio = experiment.goniometer
    old = hkl @ (TURN @ gonio.setting_rotation @ gonio.fixed_rotation @ experiment.crystal.A).T
    np.testing.assert_allclose(new @ np.linalg.inv(axes).T, old, atol=2e-3 * np.abs(old).max(), err_msg=group.xhm())


def merged_by_program(group, folder):
    experiments, table = measured(group)
    params = {"truncate": False, "output": {"html": None, "json": None, "log": None}}
    result = spindle.run("merge", experiments, table, **params)
    path = folder / "merged.mtz"
    next(iter(result.files.values()))(path)
    return path


def merged_directly(group, folder):
    """As the program does, without its statistics, which take most of its time."""
    _, table = measured(group)
    value, variance = table["intensity.scale.value"], table["intensity.scale.variance"]
    pairs = merge_pairs(table["miller_index"], value, variance, group)
    columns = [MergedColumn(*c) for c in intensity_columns(pairs, True, "")]
    dataset = MergedDataset("NATIVE", "XTAL", "TEST", cell_of(group), 1.0)
    merged = MergedData(pairs.mean.hkl, columns, [dataset], group.xhm())
    path = folder / "merged.mtz"
    exporter("mtz").export_merged(merged=merged, path=str(path)).files[str(path)](path)
    return path


def assert_merged(path, group):
    mtz = gemmi.read_mtz_file(str(path))
    symops = [gemmi.Op(r[4:].strip()) for r in path_records(path) if r.startswith("SYMM")]
    assert gemmi.GroupOps(symops) == group.operations(), group.xhm()
    hkl = np.ascontiguousarray(mtz.make_miller_array(), dtype=np.int32)
    found = np.array(mtz.column_with_label("IMEAN"))
    np.testing.assert_allclose(found, intensities(group, hkl) + 2, rtol=1e-5, err_msg=group.xhm())
    asu = gemmi.ReciprocalAsu(group)
    assert all(asu.is_in(h) for h in hkl.tolist()), group.xhm()
    np.testing.assert_allclose(mtz.cell.calculate_d_array(hkl), true_d(group, hkl), rtol=1e-5)


@pytest.mark.parametrize("groups", BLOCKS, ids=lambda b: f"{b[0].number}-{b[-1].number}")
@pytest.mark.sampled(4)
def test_merged_mtz(groups, tmp_path):
    for group in groups:
        assert_merged(merged_directly(group, tmp_path), group)


@pytest.mark.parametrize("symbol", ["I 1 2 1", "R 3:R", "P 1 1 21", "C -1"])
def test_mtz_of_the_program_merge(symbol, tmp_path):
    group = gemmi.find_spacegroup_by_name(symbol)
    assert_merged(merged_by_program(group, tmp_path), group)
