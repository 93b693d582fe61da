"""MTZ files of `dials.export` and of ours, written from the same experiments. Skipped without DIALS."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.prediction import lorentz_polarisation, predict_static
from spindle.table import Flag, ReflectionTable
from spindle.testing.dials import dials

KAPPA = [[1, 0, 0], [0.914, 0.279, -0.297], [1, 0, 0]]
GONIOMETERS = {
    "horizontal": Goniometer([1.0, 0, 0]),
    "tilted, with fixed and setting rotations": Goniometer(
        [0.8, 0.6, 0.0], rotation_matrix(np.array([0.0, 1, 0]), 0.4), rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.3)
    ),
    "omega of a kappa goniometer": Goniometer.multi_axis(KAPPA, [20.0, 35.0, 0.0], ["PHI", "KAPPA", "OMEGA"], 2),
    "phi of a kappa goniometer": Goniometer.multi_axis(KAPPA, [0.0, 35.0, 50.0], ["PHI", "KAPPA", "OMEGA"], 0),
    "vertical": Goniometer([0.0, -1.0, 0.0]),
}


def measured():
    """Crystals of general cells on each goniometer in turn, at two wavelengths; images numbered from 0, 1 and 5; a beam off the axis."""
    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610))
    crystals = [
        Crystal.from_cell(cell, rotation_matrix(np.array(axis), angle))
        for cell, axis, angle in (
            ([22.0, 25.0, 31.0, 83.0, 97.0, 104.0], [0.36, 0.48, 0.8], 0.7),
            ([22.1, 25.2, 31.3, 83.1, 97.0, 104.1], [0.6, 0.8, 0.0], 1.7),
        )
    ]
    beams = [Beam([0.01, -0.02, 1.0], wavelength) for wavelength in (0.98, 1.05)]
    experiments, tables = [], []
    for k, (goniometer, first) in enumerate(zip(GONIOMETERS.values(), (0, 0, 1, 1, 5), strict=True)):
        beam = beams[k % 2]
        experiment = Experiment(
            beam, Detector([panel]), goniometer, Scan((first, first + 9), (10.0 * k, 0.5)), crystals[k // 3],
            imageset=ImageSet(template=f"/data/{k}_####.cbf"),
        )  # fmt: skip
        table = predict_static(experiment, d_min=3.0)
        table["id"], table.identifiers = np.full(len(table), k), {}
        table["lp"] = lorentz_polarisation(beam, goniometer, table["s1"])
        table["d"] = 1 / np.linalg.norm(table["s1"] - beam.s0, axis=1)
        experiments.append(experiment)
        tables.append(table)
    table = ReflectionTable.concatenate(tables)
    n = len(table)
    table["xyzobs.px.value"] = table["xyzcal.px"]
    table["intensity.sum.value"] = np.linspace(10.0, 500.0, n)
    table["intensity.sum.variance"] = table["intensity.sum.value"].copy()
    table["partiality"], table["partial_id"] = np.ones(n), np.arange(n)
    table["flags"] = np.full(n, int(Flag.INTEGRATED_SUM))
    return Experiments(experiments), table


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mtz")
    experiments, table = measured()
    table.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
    write_experiments(experiments, folder / "integrated.expt")
    write_reflections(table, folder / "integrated.refl")
    dials(
        "dials.export", "integrated.expt", "integrated.refl", "format=mtz", "intensity=sum", "mtz.hklout=theirs.mtz",
        cwd=folder,
    )  # fmt: skip
    (writer,) = spindle.run("export", experiments, table, intensity="sum").files.values()
    writer(folder / "ours.mtz")
    return [gemmi.read_mtz_file(str(folder / name)) for name in ("ours.mtz", "theirs.mtz")]


def test_batches_have_the_same_numbers_and_orientations(both):
    """With a setting rotation DIALS puts the axis' datum on z and names the real axis in the header; ours is on z."""
    ours, theirs = ({b.number: b for b in mtz.batches} for mtz in both)
    assert set(ours) == set(theirs)
    frame = [*range(6, 15), *range(38, 41), *range(59, 62), *range(83, 86)]
    for number, batch in ours.items():
        mine, other = np.array(list(batch.floats)), np.array(list(theirs[number].floats))
        for floats in (mine, other):
            # Axis and source as the crystal sees them do not depend on the frame.
            U = floats[6:15].reshape(3, 3).T
            floats[38:41], floats[59:62], floats[83:86] = floats[38:41] @ U, floats[59:62] @ U, floats[83:86] @ U
            floats[6:15] = np.eye(3).ravel()
        np.testing.assert_allclose(mine[frame], other[frame], atol=1e-5, err_msg=str(number))
        np.testing.assert_allclose(mine, other, atol=2e-4, err_msg=str(number))
        if number // 100 in (0, 2, 4):
            np.testing.assert_allclose(list(batch.floats), list(theirs[number].floats), atol=2e-4, err_msg=str(number))
        assert list(batch.ints)[:4] == list(theirs[number].ints)[:4]
        assert batch.dataset_id == theirs[number].dataset_id
    assert {b.dataset_id for b in ours.values()} == {1, 2}
    for mine, other in zip(both[0].datasets, both[1].datasets, strict=True):
        np.testing.assert_allclose(
            [mine.wavelength, *mine.cell.parameters], [other.wavelength, *other.cell.parameters], atol=1e-4
        )
    assert len({tuple(np.round(list(b.floats)[:6], 3)) for b in ours.values()}) == 2


def test_observations_are_the_same(both):
    rows = []
    for mtz in both:
        mtz.switch_to_original_hkl()
        columns = [
            np.array(mtz.column_with_label(c)) for c in ("H", "K", "L", "BATCH", "I", "SIGI", "XDET", "YDET", "ROT")
        ]
        table = np.stack(columns, axis=1)
        rows.append(table[np.lexsort(np.round(table[:, [6, 3, 2, 1, 0]], 2).T)])
    assert len(rows[0]) == len(rows[1])
    np.testing.assert_array_equal(rows[0][:, :4], rows[1][:, :4])
    np.testing.assert_allclose(rows[0][:, 4:], rows[1][:, 4:], rtol=1e-4, atol=2e-3)
