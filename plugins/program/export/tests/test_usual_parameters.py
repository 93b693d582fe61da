"""Every parameter that users know from dials.export acts, or is refused with its reason: none is unknown, none is ignored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.testing.exporter import telling_data

#: parameter, value that is not the default, and the intensities of the data
PARAMETERS = [
    ("mtz.combine_partials", False),
    ("mtz.partiality_threshold", 0.8),
    ("mtz.min_isigi", 34.0),
    ("mtz.force_static_model", True),
    ("mtz.filter_ice_rings", True),
    ("mtz.d_min", 5.0),
    ("mtz.hklout", "other.mtz"),
    ("mtz.crystal_name", "INSULIN"),
    ("mtz.project_name", "P1"),
    ("mtz.best_unit_cell", (61, 61, 41, 90, 90, 90)),
    ("sadabs.hklout", "other.sad"),
    ("sadabs.run", 3),
    ("sadabs.predict", True),
    ("xds_ascii.hklout", "other.hkl"),
    ("nxs.hklout", "other.nxs"),
    ("nxs.instrument_name", "I03"),
    ("nxs.instrument_short_name", "I03"),
    ("nxs.source_name", "DLS"),
    ("nxs.source_short_name", "DLS"),
    ("mmcif.hklout", "other.cif"),
    ("mmcif.compress", "xz"),
    ("mmcif.pdb_version", "v5_next"),
    ("mosflm.directory", "other"),
    ("xds.directory", "other"),
    ("json.filename", "other.json"),
    ("json.compact", False),
    ("json.n_digits", 3),
    ("shelx.hklout", "other.hkl"),
    ("shelx.ins", "other.ins"),
    ("shelx.scale", False),
    ("shelx.scale_range", (-99, 99)),
    ("shelx.composition", "C2H6O"),
    ("pets.filename_prefix", "other"),
    ("pets.id", 1),
    ("pets.partiality_cutoff", 0.5),
    ("pets.flag_filtering", False),
    ("pets.virtual_frame.excitation_error_cutoff", 0.001),
    ("pets.virtual_frame.n_merged", 3),
    ("pets.virtual_frame.step", 2),
]


@pytest.fixture(scope="module")
def data():
    """Two sweeps of a crystal that varies, with reflections in two parts, recorded in part, and on a ring of ice."""
    experiments, table = telling_data()
    rng = np.random.default_rng(1)
    changed = []
    for experiment in experiments:
        crystal = experiment.crystal
        points = crystal.A * (1 + 1e-4 * np.arange(31))[:, None, None]
        changed.append(replace(experiment, crystal=replace(crystal, A_at_scan_points=points)))
    n = len(table)
    table["partiality"] = rng.choice([0.5, 0.7, 1.0], n, p=[0.2, 0.2, 0.6])
    table["partial_id"] = np.repeat(np.arange(n // 2 + 1), 2)[:n]
    table["d"] = np.where(np.arange(n) % 9 == 0, 3.67, 8.0 - 4.0 * np.arange(n) / n)
    table["xyzobs.mm.value"] = table["xyzcal.mm"] + rng.normal(0, 0.05, (n, 3))
    table["xyzobs.px.value"] = table["xyzcal.px"] + rng.normal(0, 0.3, (n, 3))
    table["xyzobs.px.variance"] = np.full((n, 3), 0.1)
    table["intensity.scale.variance"] = table["intensity.scale.variance"] * rng.choice([1.0, 0.5], n)
    return Experiments(changed), table


def files(data, folder, **params):
    """Names and contents."""
    folder.mkdir()
    contents = {}
    params = {"intensity": "sum" if params["format"] == "pets" else "auto"} | params
    for number, (name, writer) in enumerate(spindle.run("export", *data, **params).files.items()):
        path = folder / str(number)
        writer(path)
        contents[name] = path.read_bytes()
    return contents


@pytest.fixture(scope="module")
def usual(data, tmp_path_factory):
    """What each format writes with the defaults, made once."""
    made: dict[str, dict[str, bytes]] = {}

    def of(name):
        if name not in made:
            made[name] = files(data, tmp_path_factory.mktemp("usual") / name, format=name)
        return made[name]

    return of


@pytest.mark.parametrize(("name", "value"), PARAMETERS, ids=[p[0] for p in PARAMETERS])
def test_every_parameter_acts(data, usual, tmp_path, name, value):
    kind = name.partition(".")[0]
    found = files(data, tmp_path / "out", format=kind, **{name: value})
    assert found != usual(kind), f"{name}={value} changes nothing"


@pytest.mark.parametrize("intensity", ["profile", "sum", "profile+sum", "scale"])
def test_every_kind_of_intensity_acts(data, usual, tmp_path, intensity):
    found = files(data, tmp_path / "out", format="csv", intensity=intensity)
    assert (found == usual("csv")) == (intensity == "scale")


def test_the_list_is_that_of_the_usual_names(data):
    """Names of dials.export 3.12; more of ours may stand beside them."""
    known = {name for name, _ in PARAMETERS}
    assert len(known) == 39
    with pytest.raises(ParameterError, match="log say all"):
        spindle.run("export", *data, debug=True)
