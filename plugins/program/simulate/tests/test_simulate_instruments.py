"""Goniometers, detectors, sweeps and formats that `simulate` writes: what is read from the images is what was written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.images import ImageSequence
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from spindle.prediction import predict_static
from spindle.testing.simulated import SMALL
from spindle.testing.simulated_sets import INSTRUMENTS

TINY = {
    **SMALL,
    "detector.image_size": (200, 180),
    "scan.n_images": 4,
    "structure.d_min": 2.5,
    "detector.distance": 60.0,
}
DARK = {"background.flat": 0.0, "background.air": 0.0, "background.solvent": 0.0}
STEADY = {"crystal.drift": 0.0, "crystal.decay": 0.0, "beam.jitter": 0.0, "beam.wobble": 0.0}


def simulate(folder, **parameters):
    """Summary and the contents of truth.json and truth.npz of each sweep."""
    summary = spindle.run("simulate", **{**TINY, "output.directory": str(folder), **parameters}).summary
    truths = []
    for place in summary["truth"]:
        models = json.loads((Path(place) / "truth.json").read_text())
        with np.load(Path(place) / "truth.npz") as arrays:
            truths.append((models, {name: arrays[name] for name in arrays.files}))
    return summary, truths


def imported(name, summary):
    options = {"format.multi_panel": True} if name == "cbf, modules" else {}
    return spindle.run("import", files=summary["images"], **options).experiments


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.sampled(3)
def test_import_reads_what_the_headers_were_told(tmp_path, name):
    """Each panel to 1 um, each axis and angle, the wavelength and the numbers of the images."""
    summary, truths = simulate(tmp_path, **INSTRUMENTS[name])
    experiments = imported(name, summary)
    assert len(experiments) == len(truths)
    for experiment, (models, _) in zip(experiments, truths, strict=True):
        headers = [panel["header"] for panel in models["panels"]]
        assert len(experiment.detector) == len(headers)
        for panel, header in zip(experiment.detector, headers, strict=True):
            np.testing.assert_allclose(panel.fast_axis, header["fast"], atol=1e-6)
            np.testing.assert_allclose(panel.slow_axis, header["slow"], atol=1e-6)
            np.testing.assert_allclose(panel.origin, header["origin"], atol=1e-3)  # headers give 1 um
        told, goniometer = models["goniometer"], experiment.goniometer
        np.testing.assert_allclose(goniometer.axis_lab, models["rotation_axis"], atol=1e-6)
        np.testing.assert_allclose(goniometer.fixed_rotation, told["fixed_rotation"], atol=1e-6)
        np.testing.assert_allclose(goniometer.setting_rotation, told["setting_rotation"], atol=1e-6)
        start, width = experiment.scan.oscillation_deg
        assert (start - models["phi0_deg"] + 180) % 360 - 180 == pytest.approx(0, abs=1e-5)
        assert width == pytest.approx(models["osc_deg"])
        first = models["first_image"]
        assert experiment.scan.image_range == (first, first + models["nframes"] - 1)
        assert experiment.beam.wavelength == pytest.approx(models["wavelength"])


def true_experiment(models):
    """The experiment without the errors of the headers."""
    sensor = {"thickness": models["detector"]["thickness_mm"], "mu": models["detector"]["mu_per_mm"]}
    panels = [
        Panel(
            fast_axis=p["fast"], slow_axis=p["slow"], origin=p["origin"], image_size=tuple(p["size"]),
            pixel_size=[models["detector"]["pixel_mm"]] * 2, parallax="normalised", **sensor,
        )
        for p in models["panels"]
    ]  # fmt: skip
    told = models["goniometer"]
    sense = np.sign(told["oscillation_deg"][1])
    return Experiment(
        beam=Beam(direction=-np.array(models["beam_direction_to_sample"]), wavelength=models["wavelength"]),
        detector=Detector(tuple(panels)),
        goniometer=Goniometer(
            rotation_axis=sense * np.array(told["axes"][told["scan_axis"]]),
            fixed_rotation=told["fixed_rotation"],
            setting_rotation=told["setting_rotation"],
        ),
        scan=Scan(image_range=(1, models["nframes"]), oscillation_deg=(models["phi0_deg"], models["osc_deg"])),
        crystal=Crystal.from_cell(models["cell"], np.array(models["lattices"][0]["U"]), models["space_group"]),
    )


@pytest.mark.parametrize(
    "name", ["cbf, backwards", "cbf, modules", "nexus, kappa", "nexus, phi scans", "nexus, fixed chi", "nexus, cylinder",
             "nexus, arm"],
)  # fmt: skip
def test_places_are_those_that_the_geometry_predicts(tmp_path, name):
    """By the host's prediction, panel by panel, to the 5e-3 px by which the two take the depth in the sensor."""
    _, truths = simulate(tmp_path, **{**INSTRUMENTS[name], **STEADY, "scan.n_images": 2})
    for models, a in truths:
        predicted = predict_static(true_experiment(models), d_min=2.5)
        keys = ((*map(int, h), int(p)) for h, p in zip(predicted["miller_index"], predicted["panel"], strict=True))
        place: dict[tuple[int, ...], list[np.ndarray]] = {}
        for key, xyz in zip(keys, predicted["xyzcal.px"], strict=True):
            place.setdefault(key, []).append(xyz)
        frames = np.array([[p["fast"], p["slow"], p["origin"]] for p in models["panels"]])[a["panel_0"]]
        size, pixel = np.array([p["size"] for p in models["panels"]])[a["panel_0"]], models["detector"]["pixel_mm"]
        xy = a["xy_pred_0"]
        ray = frames[:, 2] + pixel * (xy[:, :1] * frames[:, 0] + xy[:, 1:] * frames[:, 1])
        ray /= np.linalg.norm(ray, axis=1)[:, None]
        depth = (
            a["depth_mean_0"][:, None] * np.stack([(ray * frames[:, k]).sum(axis=1) for k in (0, 1)], axis=1) / pixel
        )
        ours = np.column_stack([xy + depth, a["z_pred_0"]])
        inside = (ours[:, :2] > 2).all(axis=1) & (ours[:, :2] < size - 2).all(axis=1) & (a["d_0"] > 2.5)
        inside &= (ours[:, 2] > 0.01) & (ours[:, 2] < models["nframes"] - 0.01) & (np.abs(a["zeta_0"]) > 0.05)
        assert inside.sum() > 15
        if len(models["panels"]) > 1:
            assert len(np.unique(a["panel_0"][inside])) > 1
        worst = 0.0
        for i in np.flatnonzero(inside):
            candidates = place.get((*map(int, a["hkl_0"][i]), int(a["panel_0"][i])), [])
            assert candidates, f"{a['hkl_0'][i]} on panel {a['panel_0'][i]} is not predicted"
            worst = max(worst, min(np.abs(c - ours[i]).max() for c in candidates))
        assert worst < 5e-3


@pytest.mark.parametrize("name", ["nexus, cylinder", "full cbf, arm", "cbf, modules", "smv", "nexus, kappa"])
def test_every_counted_photon_is_in_an_image_of_its_panel(tmp_path, name):
    dark = {**INSTRUMENTS[name], **DARK, "detector.gain": 1.0, "detector.offset": 0.0, "detector.read_noise": 0.0}
    summary, truths = simulate(tmp_path, **{**dark, "detector.hot_pixels": 0, "detector.dead_pixels": 0})
    for experiment, (models, a) in zip(imported(name, summary), truths, strict=True):
        sequence = ImageSequence(experiment)
        counts = np.zeros(len(models["panels"]))
        for i in range(len(sequence)):
            counts += [panel[panel > 0].sum() for panel in sequence.read(i)]
        assert counts.sum() == a["n_live_0"].sum() > 1000
        by_panel = np.bincount(a["panel_0"], weights=a["n_live_0"], minlength=len(counts))
        # photons of a spot on an edge are counted by the neighbour
        assert np.abs(counts - by_panel).sum() < 0.2 * counts.sum()


@pytest.mark.parametrize("name", ["nexus, integrating", "smv, integrating", "full cbf, arm"])
def test_counts_are_gain_times_photons_plus_offset_and_noise(tmp_path, name):
    flat = {"background.flat": 3.0, "background.air": 0.0, "background.solvent": 0.0, "structure.mean_counts": 0.0}
    summary, truths = simulate(tmp_path, **{**INSTRUMENTS[name], **flat, **STEADY, "detector.beamstop": 0.0})
    (experiment,), ((models, a),) = imported(name, summary), truths
    sequence = ImageSequence(experiment)
    live = ~a["bad"]
    values = []
    for i in range(len(sequence)):
        for panel, image in zip(models["panels"], sequence.read(i), strict=True):
            (x, y), (w, h) = panel["first_pixel"], panel["size"]
            values.append(image[live[y : y + h, x : x + w]])
    pixels = np.concatenate(values).astype(float)
    # a Poisson mean of 3 times 4, less 1.5; variance 16 * 3 + 2^2 + 1/12 of the rounding
    assert pixels.mean() == pytest.approx(4 * 3 - 1.5, abs=4 * np.sqrt(52.08 / len(pixels)))
    assert pixels.var() == pytest.approx(16 * 3 + 4 + 1 / 12, rel=0.03)
    assert pixels.min() < -4


ONE_PANEL, FLAT_PANELS, ANY = {"cbf", "smv", "full_cbf", "nexus"}, {"cbf", "full_cbf", "nexus"}, {"full_cbf", "nexus"}
MODULES = {"detector.panels": "modules", "detector.image_size": (60, 50), "detector.modules": (2, 2)}
PILATUS = {"detector.image_size": (487, 195), "detector.modules": (1, 2), "detector.gap": (7, 17)}


@pytest.mark.parametrize(
    ("detector", "n_panels", "formats"),
    [
        ({**MODULES, "detector.panels": "whole"}, 1, ONE_PANEL),
        ({**MODULES, "detector.modules": (1, 1)}, 1, ONE_PANEL),
        (MODULES, 4, ANY),
        ({**MODULES, "detector.misplaced": 0.1}, 4, ANY),
        ({**MODULES, "detector.panels": "whole", "detector.shape": "arm", "detector.arm_angle": 0.0}, 2, ANY),
        ({**PILATUS, "detector.panels": "modules"}, 2, FLAT_PANELS),
        ({**PILATUS, "detector.shape": "arm", "detector.arm_angle": 0.0}, 2, FLAT_PANELS),
        ({**PILATUS, "detector.panels": "modules", "detector.gap": (7, 6)}, 2, ANY),
        ({"detector.model": "300K", "detector.panels": "modules", "detector.misplaced": 0.1}, 3, ANY),
    ],
)
@pytest.mark.parametrize("kind", sorted(ONE_PANEL))
@pytest.mark.sampled(3)
def test_panels_are_read_back_or_refused_before_drawing(tmp_path, kind, detector, n_panels, formats):
    """With what the advice says and nothing more, import has the panels of the truth."""
    given = {**TINY, **DARK, "scan.n_images": 2, "output.format": kind, "output.directory": str(tmp_path / "new")}
    if kind not in formats:
        with pytest.raises(ParameterError, match=r"^detector: .*output\.format=nexus or full_cbf"):
            spindle.run("simulate", **{**given, **detector})
        assert not (tmp_path / "new").exists()
        return
    result = spindle.run("simulate", **{**given, **detector})
    options = [word.split("=") for word in result.next_step.split() if "=" in word]
    (experiment,) = spindle.run("import", files=result.summary["images"], **dict(options)).experiments
    told = json.loads((tmp_path / "new/truth.json").read_text())["panels"]
    assert len(experiment.detector) == len(told) == n_panels
    for panel, header in zip(experiment.detector, [p["header"] for p in told], strict=True):
        np.testing.assert_allclose(panel.origin, header["origin"], atol=1e-3)


def test_settings_are_those_of_each_sweep(tmp_path):
    """One crystal: the direction of a reflection at rotation angle 0 is that of its sweep's settings."""
    _, truths = simulate(tmp_path, **INSTRUMENTS["nexus, kappa"])
    (first, _), (second, _) = truths
    assert first["lattices"] == second["lattices"]
    assert [m["goniometer"]["angles_deg"] for m in (first, second)] == [[20.0, 40.0, 10.0], [75.0, -30.0, -30.0]]
    assert [m["detector"]["two_theta_deg"] for m in (first, second)] == [0.0, 15.0]


def test_a_crystal_for_each_sweep(tmp_path):
    _, truths = simulate(
        tmp_path, **{"scan.start": (0.0, 0.0, 0.0), "crystal.one_per_sweep": True, "crystal.lattices": 2}
    )
    crystals = [lattice["crystal"] for models, _ in truths for lattice in models["lattices"]]
    assert crystals == [0, 1, 2, 3, 4, 5]
    assert len({str(lattice["U"]) for models, _ in truths for lattice in models["lattices"]}) == 6


def test_missing_images_are_not_written_and_named_in_the_truth(tmp_path):
    summary, ((models, _),) = simulate(tmp_path, **{"scan.missing": (2,), "scan.first_image": 0})
    assert [Path(p).name for p in summary["images"]] == [f"simulated_000{k}.cbf" for k in (0, 1, 3)]
    assert models["images"] == ["simulated_0000.cbf", "simulated_0001.cbf", None, "simulated_0003.cbf"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"scan.start": (0.0, 1.0), "scan.n_images": (5, 5, 5)},
            "scan.start=0.0,1.0: 2 settings, but there are 3 sweeps",
        ),
        ({"detector.two_theta": 10.0}, "output.format=nexus or full_cbf"),
        ({"goniometer.geometry": "kappa"}, "one axis along x"),
        ({**INSTRUMENTS["nexus, arm"], "output.format": "smv"}, "panels that lie in several planes"),
        ({"output.format": "nexus", "scan.first_image": 7}, "counted from 1"),
        ({"scan.start": (0.0, 90.0), "output.folder": ""}, "an image of two sweeps"),
        ({"output.name": "x"}, "each image needs a name"),
        ({"output.name": "{crystal}_{image}"}, "may hold {prefix}, {sweep}, {image}"),
        ({"goniometer.scan_axis": "kappa"}, "one of omega"),
        ({"goniometer.axis": (0.0, 0.0, 1.0)}, "not that of the beam"),
        ({"detector.shape": "arm"}, "one at least must be left"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, parameters, message):
    with pytest.raises(ParameterError) as raised:
        simulate(tmp_path / "new", **parameters)
    assert message in str(raised.value)
    assert (
        not list(tmp_path.rglob("*.cbf")) and not list(tmp_path.rglob("*.nxs")) and not list(tmp_path.rglob("*.part"))
    )


@pytest.mark.parametrize("panels", ["whole", "modules"])
def test_headers_do_not_know_where_modules_have_moved(tmp_path, panels):
    """Two by two modules; what one who reads the headers predicts is off by what the truth says of each module."""
    apart = {
        "detector.model": "custom",
        "detector.modules": (2, 2),
        "detector.image_size": (110, 100),
        "detector.gap": (4, 6),
    }
    moved = {"detector.module_shift": 2.0, "detector.module_turn": 0.5, "detector.panels": panels}
    still = {"detector.tilt": (0.0, 0.0, 0.0), "detector.distance_error": 0.0, "detector.beam_centre_error": (0.0, 0.0)}
    written = {"output.format": "full_cbf"} if panels == "modules" else {}
    summary, ((models, a),) = simulate(tmp_path, **apart, **moved, **still, **STEADY, **DARK, **written)
    (experiment,) = spindle.run("import", files=summary["images"]).experiments
    assert len(experiment.detector) == models["n_header_panels"] == (1 if panels == "whole" else 4)
    assert len(models["panels"]) == 4
    pixel = models["detector"]["pixel_mm"]
    for p in models["panels"]:
        np.testing.assert_allclose(np.cross(p["fast"], p["slow"]), [0, 0, -1], atol=1e-12)
        middle = np.array(p["size"]) / 2
        true, told = (
            f["origin"] + pixel * (middle[0] * np.array(f["fast"]) + middle[1] * np.array(f["slow"]))
            for f in (p, p["header"])
        )
        assert 0.1 * pixel < np.linalg.norm(true - told) < 8 * pixel
        assert p["fast"] != p["header"]["fast"]
    seen = (a["n_live_0"] > 20) & (np.abs(a["zeta_0"]) > 0.2)
    first = np.array([p["first_pixel"] for p in models["panels"]])[a["panel_0"]]
    at = a["xyz_photon_mean_0"][seen, :2] + (first[seen] if panels == "whole" else 0)
    if panels == "modules":
        return
    counts = sum(np.maximum(ImageSequence(experiment).read(i)[0], 0) for i in range(4))
    inside = ((at > 4) & (at < np.array(counts.shape[::-1]) - 5)).all(axis=1)
    column, row = np.floor(at[inside]).astype(int).T
    box = range(-3, 4)
    around = sum(counts[row + dy, column + dx] for dy in box for dx in box)
    assert (around > 0.7 * a["n_live_0"][seen][inside]).mean() > 0.95, "photons are where the truth has them"


def test_modules_in_several_planes_move_as_panels_only(tmp_path):
    with pytest.raises(ParameterError, match=r"detector\.panels=modules"):
        simulate(tmp_path, **{"detector.shape": "cylinder", "detector.modules": (1, 3), "detector.module_shift": 1.0})
