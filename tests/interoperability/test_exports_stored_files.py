"""The other files that dials.export 3.12 wrote: unmerged MTZ, XDS input files, mmCIF of the older version. Every field beside ours."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data


@pytest.fixture(scope="module")
def theirs():
    folder = shared_data("dials_processed").parents[1] / "design" / "spec" / "examples"
    if not folder.is_dir():
        pytest.skip("the files that dials.export wrote are not here")
    return folder


def written(folder, experiments, table, **params):
    """Paths of what is exported, by name."""
    paths = {}
    for name, writer in spindle.run("export", experiments, table, **params).files.items():
        paths[name] = folder / name.replace("/", "_")
        writer(paths[name])
    return paths


@pytest.mark.parametrize(("step", "n_ours", "n_theirs"), [("integrated", 1513, 1512), ("scaled", 1401, 1401)])
def test_unmerged_mtz(theirs, tmp_path, step, n_ours, n_theirs):
    """Batches and all columns. XDET, YDET and BATCH are of calculated places here and of observed ones there."""
    stem = shared_data("dials_processed") / "quartz_processed" / step
    (path,) = written(
        tmp_path, read_experiments(f"{stem}.expt"), read_reflections(f"{stem}.refl"), format="mtz"
    ).values()
    mine, other = (gemmi.read_mtz_file(str(p)) for p in (path, theirs / "quartz" / f"{step}.mtz"))
    labels = mine.column_labels()
    assert labels == other.column_labels() and [c.type for c in mine.columns] == [c.type for c in other.columns]
    assert (mine.nreflections, other.nreflections) == (n_ours, n_theirs)
    assert mine.spacegroup.hm == other.spacegroup.hm and [d.wavelength for d in mine.datasets] == [
        d.wavelength for d in other.datasets
    ]
    np.testing.assert_allclose(mine.cell.parameters, other.cell.parameters, atol=1e-4)
    assert [b.number for b in mine.batches] == [b.number for b in other.batches]
    for a, b in zip(mine.batches, other.batches, strict=True):
        np.testing.assert_allclose(list(a.floats), list(b.floats), atol=2e-4)
        assert list(a.ints) == list(b.ints)
    in_file = [np.array(m, np.float64) for m in (mine, other)]
    for m in (mine, other):
        m.switch_to_original_hkl()
    rows = [
        np.column_stack([np.array(m, np.float64), unique[:, :3]])
        for m, unique in zip((mine, other), in_file, strict=True)
    ]
    angle = labels.index("ROT")
    known = {(*r[:3], round(r[angle], 2)): r for r in rows[0]}
    pairs = np.array([(known[k], r) for r in rows[1] if (k := (*r[:3], round(r[angle], 2))) in known])
    assert len(pairs) > 0.995 * n_theirs
    a, b = pairs.transpose(1, 0, 2)
    np.testing.assert_array_equal(a[:, -3:], b[:, -3:])  # indices in the asymmetric unit
    for i, label in enumerate(labels):
        if label in ("XDET", "YDET"):
            assert np.median(np.abs(a[:, i] - b[:, i])) < 0.5
        elif label == "BATCH":  # of the calculated place here, of the observed one there
            assert np.mean(a[:, i] == b[:, i]) > 0.85 and np.median(np.abs(a[:, i] - b[:, i])) == 0
        elif label == "M/ISYM":  # several operators lead to the indices of a special reflection; the mate is the same
            np.testing.assert_array_equal(a[:, i] % 2, b[:, i] % 2)
        else:
            close = np.isclose(a[:, i], b[:, i], rtol=1e-4, atol=1e-4)
            # 22 reflections were measured in parts: sums are divided by the whole partiality, where DIALS divides each part and adds;
            # fits are weighted by the partiality, where DIALS weights them by their own (I / sigma)^2
            assert close.mean() > 0.98, label


def test_xds_input_files(theirs, tmp_path):
    """XDS.INP and XPARM.XDS of the models that the files themselves tell, and spots, of which DIALS lists those that are indexed."""
    data = shared_data("dials_processed") / "centroid_test_data"
    folder = theirs / "xds" / "xds"
    paths = written(tmp_path, spindle.run("import", files=[folder / "XPARM.XDS"]).experiments, None, format="xds")
    mine, other = ((p.read_text().splitlines()) for p in (paths["xds/XPARM.XDS"], folder / "XPARM.XDS"))
    numbers = [[np.array(line.split(), float) for line in lines[1:]] for lines in (mine, other)]
    for k, (a, b) in enumerate(zip(*numbers, strict=True)):
        if k == 1:  # the beam is a direction: one is of unit length, the other of 1/wavelength
            a, b = (np.array([v[0], *(v[1:] / np.linalg.norm(v[1:]))]) for v in (a, b))
        np.testing.assert_allclose(a, b, atol=2e-3, err_msg=f"line {k + 2}")
    fields = [_fields(p.read_text()) for p in (paths["xds/XDS.INP"], folder / "XDS.INP")]
    assert set(fields[1]) <= set(fields[0])
    for name, value in fields[1].items():
        found = fields[0][name]
        if name == "NAME_TEMPLATE_OF_DATA_FRAMES":
            assert found[0].rsplit("/", 1)[1] == value[0].rsplit("/", 1)[1]
        elif name in ("DETECTOR", "JOB"):
            assert found == value
        else:
            np.testing.assert_allclose(np.array(found, float), np.array(value, float), atol=2e-3, err_msg=name)
    paths = written(
        tmp_path, read_experiments(data / "indexed.expt"), read_reflections(data / "indexed.refl"), format="xds"
    )
    spots = [np.loadtxt(p) for p in (paths["xds/SPOT.XDS"], folder / "SPOT.XDS")]
    known = {tuple(r[:3]): r for r in spots[0]}
    missing = [r for r in spots[1] if tuple(r[:3]) not in known]
    assert not missing
    np.testing.assert_allclose([known[tuple(r[:3])] for r in spots[1]], spots[1], atol=0.006)


def _fields(text):
    """Values (list of words) of each keyword."""
    found, name = {}, ""
    for word in text.replace("=", "= ").split():
        if word.endswith("="):
            name = word[:-1]
            found[name] = []
        else:
            found[name].append(word)
    return found


def test_mmcif_of_the_older_version(theirs, tmp_path):
    """Indices, images, places and angles. DIALS writes no intensity there, and rows that are left out of every other file."""
    stem = shared_data("dials_processed") / "quartz_processed" / "integrated"
    (path,) = written(
        tmp_path, read_experiments(f"{stem}.expt"), read_reflections(f"{stem}.refl"), format="mmcif", pdb_version="v5"
    ).values()
    blocks = [gemmi.cif.read(str(p)).sole_block() for p in (path, theirs / "quartz" / "integrated.cif")]
    assert blocks[0].find_value("_diffrn_source.pdbx_wavelength_list") == blocks[1].find_value(
        "_diffrn_source.pdbx_wavelength_list"
    )
    items = ["index_h", "index_k", "index_l", "pdbx_scan_angle", "pdbx_image_id", "pdbx_detector_x", "pdbx_detector_y"]
    mine, other = (np.array([[float(v) for v in row] for row in b.find("_diffrn_refln.", items)]) for b in blocks)
    known = {(*r[:3], round(r[3], 2)): r for r in mine}
    pairs = np.array([(known[k], r) for r in other if (k := (*r[:3], round(r[3], 2))) in known])
    assert len(pairs) > 0.9 * len(other)
    a, b = pairs.transpose(1, 0, 2)
    assert np.mean(a[:, 4] == b[:, 4]) > 0.85  # the image, too
    assert np.median(np.abs(a[:, 5:] - b[:, 5:])) < 0.5  # calculated places here, observed there
