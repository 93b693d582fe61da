"""Every parameter of `spindle find_spots` does what it says, or says why not: one row of a table each."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_find_spots.params import FindSpotsParams

import spindle
from spindle.errors import UserError
from spindle.files import write_mask
from spindle.models import Detector
from spindle.params import walk
from spindle.params.resolve import build
from spindle_lib_readers.testing.spot_images import SWEEP_SHAPE, render_spots, write_spot_sweep

# Resolution of the pixels of the sweep: the beam hits near the middle, the corners are at about 9 angstrom.
MIDDLE = 15.0
_, HEIGHT, WIDTH = SWEEP_SHAPE


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    images, _ = render_spots(counts=2000.0)
    images[:, 5:7, 100:102] = 3000
    experiments = write_spot_sweep(folder, images)
    left = np.ones((HEIGHT, WIDTH), np.bool_)
    left[:, :60] = False
    write_mask(folder / "left.h5", [left])
    return folder, experiments


@pytest.fixture(scope="module")
def plain(sweep):
    return spindle.run("find_spots", sweep[1])


def outside(low_x, high_x, low_y, high_y):
    """Check that no spot begins in a rectangle, and that some spots are left."""

    def check(table, plain, experiments):
        x, y = table["xyzobs.px.value"][:, :2].T
        return len(table) and not ((x > low_x) & (x < high_x) & (y > low_y) & (y < high_y)).any()

    return check


def fewer(table, plain, experiments):
    return 0 < len(table) < len(plain)


def same(table, plain, experiments):
    return len(table) == len(plain) and np.array_equal(table["bbox"], plain["bbox"])


def resolution(low, high):
    """Check that there is no spot between two resolutions, only outside."""

    def check(table, plain, experiments):
        detector: Detector = experiments[0].detector
        d = detector.resolution_at(0, table["xyzobs.px.value"][:, :2], experiments[0].beam.s0)
        return 0 < len(table) < len(plain) and not ((d > low * 1.02) & (d < high / 1.02)).any()

    return check


def images(*numbers):
    """Check that spots lie on these images only."""

    def check(table, plain, experiments):
        z = np.unique(np.concatenate([np.arange(a, b) for a, b in table["bbox"][:, 4:]])) + 1
        return set(z) <= set(numbers) and len(z) > 1

    return check


def sizes(low, high):
    return lambda table, plain, _: (
        0 < len(table) < len(plain) and low <= table["n_signal"].min() <= table["n_signal"].max() <= high
    )


EVERY = range(1, 25)
ROWS = {
    "output.shoeboxes": ({"output.shoeboxes": False}, lambda t, p, _: "shoebox" not in t and len(t) == len(p)),
    "maximum_trusted_value": ({"maximum_trusted_value": 150.0}, lambda t, p, _: t["shoebox"].data.max() <= 150),
    "per_image_statistics": ({"per_image_statistics": True}, same),
    "lookup.mask": ({"lookup.mask": "{folder}/left.h5"}, outside(0, 60, 0, HEIGHT)),
    "write_hot_mask": ({"write_hot_mask": True}, same),
    "hot_mask_prefix": ({"write_hot_mask": True, "hot_mask_prefix": "{folder}/hm"}, same),
    "force_2d": ({"force_2d": True, "min_spot_size": 1}, lambda t, p, _: (np.diff(t["bbox"][:, 4:]) == 1).all()),
    "scan_range": ({"scan_range": [(2, 5), (9, 12)]}, images(2, 3, 4, 5, 9, 10, 11, 12)),
    "region_of_interest": ({"region_of_interest": (30, 90, 0, HEIGHT)}, outside(0, 30, 0, HEIGHT)),
    "exclude_images": ({"exclude_images": ["0:1:8", "20:24"]}, images(*range(9, 20))),
    "exclude_images_multiple": (
        {"exclude_images_multiple": 3, "min_spot_size": 1}, images(*(i for i in EVERY if i % 3)),
    ),
    "compute_mean_background": ({"compute_mean_background": True}, same),
    "filter.border": ({"border": 20}, lambda t, p, _: (t["bbox"][:, [0, 2]] >= 20).all() and fewer(t, p, _)),
    "filter.d_min": ({"filter.d_min": MIDDLE}, resolution(0, MIDDLE)),
    "filter.d_max": ({"filter.d_max": MIDDLE}, resolution(MIDDLE, 1e9)),
    "disable_parallax_correction": ({"disable_parallax_correction": True, "filter.d_min": MIDDLE}, resolution(0, MIDDLE)),
    "resolution_range": ({"resolution_range": [(12, 15), (20, 30)]}, resolution(12, 15)),
    "untrusted.panel": ({"untrusted.panel": 0, "untrusted.rectangle": (0, 60, 0, HEIGHT)}, outside(0, 60, 0, HEIGHT)),
    "untrusted.circle": ({"untrusted.circle": (30, 30, 28)}, outside(12, 48, 12, 48)),
    "untrusted.rectangle": ({"untrusted.rectangle": (10, 70, 20, 60)}, outside(12, 68, 22, 58)),
    "untrusted.polygon": ({"untrusted.polygon": (0, 0, 60, 0, 60, HEIGHT, 0, HEIGHT)}, outside(0, 60, 0, HEIGHT)),
    "untrusted.pixel": (
        {"untrusted.pixel": (13, 44)},
        lambda t, p, _: t["n_signal"].sum() < p["n_signal"].sum(),
    ),
    "ice_rings.filter": ({"ice_rings.filter": True, "ice_rings.unit_cell": (20, 20, 30, 90, 90, 120)}, fewer),
    "ice_rings.unit_cell": ({"ice_rings.filter": True, "ice_rings.unit_cell": (3, 3, 3, 90, 90, 90)}, same),
    "ice_rings.space_group": (
        {"ice_rings.filter": True, "ice_rings.unit_cell": (30, 30, 30, 90, 90, 90), "ice_rings.space_group": "F m -3 m"},
        fewer,
    ),
    "ice_rings.width": (
        {"ice_rings.filter": True, "ice_rings.unit_cell": (20, 20, 30, 90, 90, 120), "ice_rings.width": 1e-9}, same,
    ),
    "ice_rings.d_min": (
        {"ice_rings.filter": True, "ice_rings.unit_cell": (20, 20, 30, 90, 90, 120), "ice_rings.d_min": 19.0},
        lambda t, p, _: len(t) > 0,
    ),
    "min_spot_size": ({"min_spot_size": 74}, sizes(74, 1000)),
    "max_spot_size": ({"max_spot_size": 74}, sizes(6, 74)),
    "max_separation": ({"max_separation": 0.2}, fewer),
    "max_strong_pixel_fraction": ({"max_strong_pixel_fraction": None}, same),
    "automatic_mask": ({"automatic_mask": True}, lambda t, p, _: len(t) > 0),
    "background_gradient.filter": ({"background_gradient.filter": True}, lambda t, p, _: 0 < len(t) <= len(p)),
    "background_gradient.background_size": (
        {"background_gradient.filter": True, "background_size": 4, "gradient_cutoff": 0.05}, fewer,
    ),
    "background_gradient.gradient_cutoff": ({"background_gradient.filter": True, "gradient_cutoff": 0.05}, fewer),
    "spot_density.filter": ({"spot_density.filter": True}, lambda t, p, _: 0 < len(t) <= len(p)),
    "mp.method": ({"mp.method": "serial"}, same),
    "mp.nproc": ({"mp.nproc": 3}, same),
    "mp.njobs": ({"spotfinder.mp.njobs": 1}, same),
    "mp.chunksize": ({"spotfinder.mp.chunksize": "Auto"}, same),
    "mp.min_chunksize": ({"spotfinder.mp.min_chunksize": 20}, same),
    "threshold.algorithm": ({"threshold.algorithm": "radial_profile"}, lambda t, p, _: not same(t, p, _) and len(t) > 0),
    "dispersion.gain": ({"dispersion.gain": 4.0}, lambda t, p, _: t["n_signal"].sum() < p["n_signal"].sum()),
    "dispersion.kernel_size": ({"kernel_size": (5, 4)}, lambda t, p, _: len(t) > 0 and not same(t, p, _)),
    "dispersion.sigma_background": ({"sigma_background": 30.0}, lambda t, p, _: t["n_signal"].sum() < p["n_signal"].sum()),
    "dispersion.sigma_strong": ({"sigma_strong": 8.0}, lambda t, p, _: t["n_signal"].sum() < p["n_signal"].sum()),
    "dispersion.min_local": ({"min_local": 0}, lambda t, p, _: (t["bbox"][:, [0, 2]] >= 3).all()),
    "dispersion.global_threshold": ({"global_threshold": 50.0}, lambda t, p, _: t["shoebox"].data[t["shoebox"].mask > 0].min() > 50),
    "dispersion.legacy_erosion": (
        {"legacy_erosion": True, "lookup.mask": "{folder}/left.h5"}, outside(0, 60, 0, HEIGHT),
    ),
}  # fmt: skip
ELSEWHERE = {
    "output.reflections", "output.experiments", "output.log",  # names of files: the host writes them
    "spotfinder.centroid.algorithm",  # tests of strangers' plugins choose another centroid
    "watch", "watch_timeout", "watch_images",  # test_find_spots_watching.py
}  # fmt: skip
ERRORS = [
    ({"lookup.mask": "nothing.npz"}, "no such file"),
    ({"scan_range": (9, 5)}, "first image comes after the last"),
    ({"scan_range": [(1, 5), (5, 9)]}, "the ranges overlap"),
    ({"region_of_interest": (5, 1, 0, 9)}, "the order is x0,x1,y0,y1"),
    ({"exclude_images": ["5:x"]}, "write experiment:first:last"),
    ({"exclude_images": ["3:1:2"]}, "there is no experiment 3"),
    ({"exclude_images": ["9:2"]}, "write experiment:first:last"),
    ({"untrusted.panel": 0}, "the parameters of spotfinder.filter mask every pixel"),
    ({"untrusted.panel": 3}, "counted from 0"),
    ({"untrusted.polygon": (0, 0, 5)}, "at least three corners"),
    ({"untrusted.rectangle": (5, 1, 0, 9)}, "the order is x0,x1,y0,y1"),
    ({"untrusted.pixel": (5, 1000)}, "the order is y,x"),
    ({"min_spot_size": 9, "max_spot_size": 5}, "larger than max_spot_size"),
    ({"max_strong_pixel_fraction": 1e-4}, "raise the limit"),
    ({"spotfinder.mp.chunksize": 5}, "one by one"),
    ({"spotfinder.mp.min_chunksize": 5}, "one by one"),
    ({"spotfinder.mp.njobs": 2}, "workers on this machine only"),
    ({"threshold.algorithm": "nothing"}, "there is no threshold 'nothing'"),
    ({"min_local": 1}, "choose 2 to 49"),
    ({"dispersion.gain": 0.0}, "must be positive"),
]


def row_of(path: str) -> str | None:
    """The row of the table for a leaf of the parameter tree."""
    found = [name for name in ROWS if path.endswith(f".{name}") or path == name]
    return max(found, key=len) if found else None


def test_the_table_has_every_parameter():
    paths = [entry.path for entry in walk(build(FindSpotsParams), templates=True)]
    paths = [path for path in paths if not path.startswith("input.tolerance.")]  # of the import of images, see below
    missing = [path for path in paths if path not in ELSEWHERE and row_of(path) is None]
    assert not missing
    assert {row_of(path) for path in paths} - {None} == set(ROWS)


def filled(values, folder):
    return {k: v.format(folder=folder) if isinstance(v, str) else v for k, v in values.items()}


@pytest.mark.parametrize("name", ROWS)
def test_parameter_does_what_it_says(name, sweep, plain):
    folder, experiments = sweep
    values, check = ROWS[name]
    result = spindle.run("find_spots", experiments, **filled(values, folder))
    assert check(result.reflections, plain.reflections, experiments)


def test_the_executor_may_be_none_as_in_scripts_for_dials(sweep, plain):
    result = spindle.run("find_spots", sweep[1], **{"spotfinder.mp.method": "none", "mp.nproc": 2})
    assert same(result.reflections, plain.reflections, sweep[1])


def test_tables_and_files_that_are_asked_for(sweep):
    folder, experiments = sweep
    result = spindle.run(
        "find_spots", experiments, per_image_statistics=True, compute_mean_background=True, write_hot_mask=True,
        max_separation=None,
    )  # fmt: skip
    (background,) = [t for t in result.tables if t.key == "mean_background"]
    assert np.mean([row[1] for row in background.rows]) == pytest.approx(1.0, abs=0.1)
    (counts,) = [t for t in result.tables if "centroids per image" in t.title]
    assert sum(row[1] for row in counts.rows) == len(result.reflections)
    ((name, write),) = result.files.items()
    assert name == "hot_mask_0.npz"
    write(folder / name)
    without = spindle.run("find_spots", experiments, max_separation=None, **{"lookup.mask": str(folder / name)})
    assert len(without.reflections) == len(result.reflections) - 1


@pytest.mark.parametrize(("values", "message"), ERRORS, ids=lambda v: next(iter(v)) if isinstance(v, dict) else None)
def test_what_cannot_be_is_said(values, message, sweep):
    with pytest.raises(UserError, match=message):
        spindle.run("find_spots", sweep[1], **filled(values, sweep[0]))


def test_tolerances_reach_the_import_of_images(tmp_path):
    images, _ = render_spots()
    write_spot_sweep(tmp_path, images[:4])
    files = sorted(tmp_path.glob("*.cbf"))
    header = files[2].read_bytes()
    assert header.count(b"Wavelength 1.0") == 1
    files[2].write_bytes(header.replace(b"Wavelength 1.0", b"Wavelength 1.1"))
    assert len(spindle.run("find_spots", files=files).experiments.unique("beam")) == 2
    wide = spindle.run("find_spots", files=files, **{"input.tolerance.beam.wavelength": 0.2})
    assert len(wide.experiments.unique("beam")) == 1
