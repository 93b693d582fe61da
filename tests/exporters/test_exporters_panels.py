"""Exporters and detectors of several panels, or tilted ones."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Detector, Experiments, Panel


def in_tiles(experiments, table, columns, rows):
    """The same detector and reflections with the panel cut into columns x rows panels."""
    whole = experiments[0].detector[0]
    nx, ny = whole.image_size
    dx, dy = nx // columns, ny // rows
    tiles = []
    for j in range(rows):
        for i in range(columns):
            size = (dx if i < columns - 1 else nx - dx * i, dy if j < rows - 1 else ny - dy * j)
            shift = whole.fast_axis * i * dx * whole.pixel_size[0] + whole.slow_axis * j * dy * whole.pixel_size[1]
            tiles.append(replace(whole, origin=whole.origin + shift, image_size=size, mask=(), name=f"tile {i} {j}"))
    cut = table.view()
    i = np.clip(table["xyzcal.px"][:, 0] // dx, 0, columns - 1).astype(int)
    j = np.clip(table["xyzcal.px"][:, 1] // dy, 0, rows - 1).astype(int)
    cut["panel"] = j * columns + i
    cut["xyzcal.px"] = table["xyzcal.px"] - np.stack([i * dx, j * dy, 0 * i], axis=1)
    return Experiments([replace(experiments[0], detector=Detector(tiles))]), cut


@pytest.mark.parametrize("kind", ["mtz", "xds_ascii"])
def test_a_panel_cut_into_tiles_is_exported_as_the_whole(data, kind, export):
    experiments, table = data
    (one,) = export(experiments, table, format=kind).values()
    (many,) = export(*in_tiles(experiments, table, 3, 8), format=kind).values()
    if kind == "mtz":
        first, second = gemmi.read_mtz_file(str(one)), gemmi.read_mtz_file(str(many))
        np.testing.assert_allclose(np.array(second), np.array(first), rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(list(second.batches[0].floats), list(first.batches[0].floats), atol=1e-5)
    else:
        assert many.read_text() == one.read_text()


def test_panels_of_a_half_cylinder_keep_apart_in_mtz_and_are_refused_by_xds_ascii(data, export):
    """24 strips around the sample: no plane holds them; every position is its own and inside the limits."""
    experiments, table = data
    strips = []
    for k in range(24):
        turn = rotation_matrix(np.array([1.0, 0, 0]), np.deg2rad(-92 + 8 * k))
        strips.append(
            Panel(turn @ [1, 0, 0], turn @ [0, -1, 0], turn @ [-80.0, 10.0, -150.0], [0.172, 0.172], (930, 116))
        )
    many = Experiments([replace(experiments[0], detector=Detector(strips))])
    n = 24 * 4
    rows = table.select(np.arange(n))
    rows["panel"] = np.repeat(np.arange(24), 4)
    rows["partial_id"] = np.arange(n)
    position = rows["xyzcal.px"].copy()
    position[:, :2] = np.tile([[5, 5], [900, 5], [5, 110], [900, 110]], (24, 1))
    rows["xyzcal.px"] = position
    mtz = gemmi.read_mtz_file(str(export(many, rows)["integrated.mtz"]))
    xy = np.stack([np.array(mtz.column_with_label(c)) for c in ("XDET", "YDET")], axis=1)
    distances = np.linalg.norm(xy[:, None] - xy[None], axis=2)[~np.eye(n, dtype=bool)]
    assert distances.min() > 3.0
    limits = [mtz.batches[0].floats[i] for i in range(113, 117)]
    assert xy.min() >= 0 and xy[:, 0].max() <= limits[1] and xy[:, 1].max() <= limits[3]
    with pytest.raises(UserError, match="80 degrees"):
        spindle.run("export", many, rows, format="xds_ascii")


def test_positions_on_a_tilted_arm_are_where_the_header_puts_the_rays(data, export):
    """XDS_ASCII of two panels, one 25 degrees up: the header's flat detector gives back each direction."""
    experiments, table = data
    base = replace(experiments[0].detector[0], mask=(), parallax="none")
    turn = rotation_matrix(np.array([1.0, 0, 0]), np.deg2rad(-25.0))
    arm = replace(
        base, fast_axis=turn @ base.fast_axis, slow_axis=turn @ base.slow_axis,
        origin=turn @ (base.origin + [0.0, 60.0, 0.0]),
    )  # fmt: skip
    two = Experiments([replace(experiments[0], detector=Detector([arm, base]))])
    rows = table.select(np.arange(200))
    rows["panel"] = np.arange(200) % 2
    path = export(two, rows, format="xds_ascii")["XDS_ASCII.HKL"]
    words = {
        line[1:].split("=")[0].strip(): line.split("=", 1)[1].split()
        for line in path.read_text().splitlines()
        if line.startswith("!") and "=" in line
    }
    body = np.loadtxt([line for line in path.read_text().splitlines() if not line.startswith("!")])
    xyz = np.stack([
        (body[:, 5] - float(words["ORGX"][0])) * 0.172, (body[:, 6] - float(words["ORGX"][2])) * 0.172,
        np.full(len(body), float(words["DETECTOR_DISTANCE"][0])),
    ], axis=1)  # fmt: skip
    found = xyz / np.linalg.norm(xyz, axis=1)[:, None]
    lab = two[0].detector.lab_coordinate(rows["panel"], rows["xyzcal.px"][:, :2] * 0.172)
    frame = np.stack([base.fast_axis, base.slow_axis, base.normal])
    true = (lab / np.linalg.norm(lab, axis=1)[:, None]) @ frame.T
    order = np.argsort(rows["xyzcal.px"][:, 2], kind="stable")
    mine = np.argsort(body[:, 7], kind="stable")
    np.testing.assert_allclose(found[mine], true[order], atol=2e-3)
