"""The simulator: photons are conserved, the physics is that of the formulas, the same seed gives the same images."""

from __future__ import annotations

import json

import gemmi
import numpy as np
import pytest
from scipy.stats import poisson
from spindle_program_simulate.random_kernels import poisson as draw_poisson
from spindle_program_simulate.random_kernels import start_stream
from spindle_program_simulate.render import normal_quantiles
from spindle_program_simulate.structure import random_structure, structure_from_coordinates, structure_from_intensities

import spindle
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.geometry import lorentz_factor, polarisation_factor
from spindle.images import ImageSequence
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from spindle.prediction import predict_static
from spindle.testing import shared_data
from spindle.testing.simulated import simulate_sweep

DARK = {"background__flat": 0.0, "background__air": 0.0, "background__solvent": 0.0}
STEADY = {"crystal__drift": 0.0, "crystal__decay": 0.0, "beam__jitter": 0.0, "beam__wobble": 0.0}


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A sweep without background."""
    return simulate_sweep(tmp_path_factory.mktemp("dark"), **DARK)


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """A sweep in which nothing changes, with many photons."""
    return simulate_sweep(tmp_path_factory.mktemp("steady"), structure__mean_counts=600.0, **DARK, **STEADY)


def pixels(sweep):
    sequence = ImageSequence(spindle.run("import", files=sweep.images).experiments[0])
    return np.stack([sequence.read(i)[0].copy() for i in range(len(sequence))])


def test_every_counted_photon_is_in_an_image(dark):
    images = pixels(dark)
    assert images[images > 0].sum() == dark.arrays["n_live_0"].sum() > 1e5


def test_gaps_and_dead_pixels_are_marked(tmp_path):
    sweep = simulate_sweep(tmp_path, detector__model="300K", scan__n_images=1, structure__d_min=4.0)
    image = pixels(sweep)[0]
    assert image.shape == (619, 487)
    bad = sweep.arrays["bad"]
    assert (image[bad] < 0).all() and (image[~bad] >= 0).all()
    assert (image[195:212] == -1).all() and (image == -2).sum() == 5


def test_the_beamstop_lets_no_bragg_photon_through(dark):
    ny, nx = dark.arrays["bad"].shape
    y, x = np.mgrid[0:ny, 0:nx] + 0.5
    centre = dark.models["detector"]["beam_centre_px"]
    shadow = (
        np.hypot(x - centre[0], y - centre[1]) * dark.models["detector"]["pixel_mm"] < dark.models["params"]["beamstop"]
    )
    assert shadow.sum() > 100
    assert (pixels(dark)[:, shadow] <= 0).all()


def test_numbers_of_photons_are_poisson_with_the_expected_mean(steady):
    a = steady.arrays
    expected = a["n_mean_0"]
    chosen = (expected > 20) & (np.abs(a["zeta_0"]) > 0.15)
    z = (a["n_all_0"][chosen] - expected[chosen]) / np.sqrt(expected[chosen])
    assert abs(z.mean()) < 4 / np.sqrt(chosen.sum())
    assert z.std() == pytest.approx(1.0, abs=0.06)


def test_factors_are_those_of_the_formulas(steady):
    a, models = steady.arrays, steady.models
    d = models["detector"]
    xy = a["xy_pred_0"] * d["pixel_mm"]
    s1 = np.array(d["origin"]) + xy[:, :1] * np.array(d["fast"]) + xy[:, 1:] * np.array(d["slow"])
    s1 /= np.linalg.norm(s1, axis=1)[:, None] * models["wavelength"]
    s0, axis = np.array(models["s0"]), np.array(models["rotation_axis"], float)
    assert np.allclose(1 / a["lorentz_0"], lorentz_factor(s0, s1, axis), rtol=1e-8)
    normal = np.array(models["polarisation_plane_normal"], float)
    assert np.allclose(a["polarisation_0"], polarisation_factor(s0, s1, normal, 0.999), rtol=1e-8)
    product = a["I_true_0"] * a["lorentz_0"] * a["polarisation_0"] * a["qe_0"] * a["absorption_0"]
    assert np.allclose(product, a["n_mean_0"])
    assert (a["absorption_0"] < 1).all() and (a["absorption_0"] > np.exp(-0.35 * 2 * 0.26)).all()


def true_experiment(sweep):
    """The experiment without the errors of the headers."""
    m, d = sweep.models, sweep.models["detector"]
    panel = Panel(
        fast_axis=np.array(d["fast"]),
        slow_axis=np.array(d["slow"]),
        origin=np.array(d["origin"]),
        pixel_size=np.array([d["pixel_mm"]] * 2),
        image_size=(d["nx"], d["ny"]),
        thickness=d["thickness_mm"],
        mu=d["mu_per_mm"],
        parallax="normalised",
    )
    return Experiment(
        beam=Beam(direction=-np.array(m["beam_direction_to_sample"]), wavelength=m["wavelength"]),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array(m["rotation_axis"], float)),
        scan=Scan(image_range=(1, m["nframes"]), oscillation_deg=(m["phi0_deg"], m["osc_deg"])),
        crystal=Crystal.from_cell(m["cell"], np.array(m["lattices"][0]["U"]), m["space_group"]),
    )


def seen_positions(sweep):
    """(n, 3) px, px, images: front of the sensor moved by the mean depth along the ray."""
    a, d = sweep.arrays, sweep.models["detector"]
    fast, slow = np.array(d["fast"]), np.array(d["slow"])
    xy = a["xy_pred_0"]
    ray = np.array(d["origin"]) + d["pixel_mm"] * (xy[:, :1] * fast + xy[:, 1:] * slow)
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    shift = a["depth_mean_0"][:, None] * np.stack([ray @ fast, ray @ slow], axis=1) / d["pixel_mm"]
    return np.column_stack([xy + shift, a["z_pred_0"]])


def test_places_are_those_that_the_geometry_predicts(steady):
    predicted = predict_static(true_experiment(steady), d_min=2.0)
    a = steady.arrays
    place = {}
    for h, e, xyz in zip(predicted["miller_index"], predicted["entering"], predicted["xyzcal.px"], strict=True):
        place[(*map(int, h), bool(e))] = xyz
    ours = seen_positions(steady)
    ours_inside = (a["z_pred_0"] > 0.01) & (a["z_pred_0"] < steady.models["nframes"] - 0.01) & (a["d_0"] > 2.0)
    nx, ny = steady.models["detector"]["nx"], steady.models["detector"]["ny"]
    ours_inside &= (ours[:, 0] > 1) & (ours[:, 0] < nx - 1) & (ours[:, 1] > 1) & (ours[:, 1] < ny - 1)
    differences = []
    for i in np.flatnonzero(ours_inside):
        both = [place[k] for e in (True, False) if (k := (*map(int, a["hkl_0"][i]), e)) in place]
        differences.append(min((np.abs(p - ours[i]).max() for p in both), default=np.inf))
    assert len(differences) > 500
    # pixel_to_mm and mm_to_pixel take the ray from different points: up to 1e-3 px
    assert max(differences) < 5e-3


def test_photons_lie_around_the_predicted_places(steady):
    a = steady.arrays
    chosen = (a["n_all_0"] > 300) & (np.abs(a["zeta_0"]) > 0.4)
    assert chosen.sum() > 200
    difference = (a["xyz_photon_mean_0"] - seen_positions(steady))[chosen]
    assert np.abs(np.median(difference, axis=0)).max() < 0.02
    # 0.12 deg of mosaic spread with 0.03 deg of divergence
    sigma_m = np.degrees(np.sqrt(a["var_e123_0"][chosen, 2].mean()))
    assert sigma_m == pytest.approx(np.hypot(0.12, 0.03), rel=0.05)


def test_images_do_not_depend_on_workers(tmp_path):
    one = simulate_sweep(tmp_path / "one", scan__n_images=9, **{"mp.nproc": 1})
    two = simulate_sweep(tmp_path / "two", scan__n_images=9, **{"mp.nproc": 2, "mp.method": "threads"})
    assert len(one.images) == 9
    for a, b in zip(one.images, two.images, strict=True):
        assert a.read_bytes() == b.read_bytes()
    for name, values in one.arrays.items():
        assert np.array_equal(values, two.arrays[name], equal_nan=True), name


def test_another_seed_gives_other_images(tmp_path):
    one = simulate_sweep(tmp_path / "one", scan__n_images=1)
    two = simulate_sweep(tmp_path / "two", scan__n_images=1, run__seed=7)
    assert one.images[0].read_bytes() != two.images[0].read_bytes()
    assert one.models["lattices"][0]["U"] != two.models["lattices"][0]["U"]


def test_background_has_the_expected_mean(tmp_path):
    sweep = simulate_sweep(tmp_path, structure__mean_counts=0.0, scan__n_images=30, **STEADY)
    images = pixels(sweep)
    expected = sweep.arrays["background"]
    live = ~sweep.arrays["bad"]
    mean = images.mean(axis=0)
    z = (mean[live] - expected[live]) / np.sqrt(expected[live] / len(images))
    assert abs(z.mean()) < 0.02
    assert z.std() == pytest.approx(1.0, abs=0.03)


def test_decay_and_beam_follow_the_truth(tmp_path):
    sweep = simulate_sweep(tmp_path, crystal__decay=30.0, beam__wobble=0.3, scan__n_images=30, **DARK)
    a = sweep.arrays
    chosen = (np.abs(a["zeta_0"]) > 0.5) & (a["z_pred_0"] > 0) & (a["z_pred_0"] < 30) & (a["n_mean_0"] > 0)
    frame = np.floor(a["z_pred_0"][chosen]).astype(int)
    factor = a["frame_scale"][frame] * np.exp(-a["frame_B"][frame] / (2 * a["d_0"][chosen] ** 2))
    for late in (False, True):
        part = (frame >= 15) == late
        assert a["n_all_0"][chosen][part].sum() == pytest.approx((a["n_mean_0"][chosen] * factor)[part].sum(), rel=0.02)


def test_several_sweeps_and_lattices(tmp_path):
    result = spindle.run(
        "simulate",
        **{
            "output.directory": str(tmp_path / "s"),
            "scan.start": (0.0, 120.0),
            "crystal.lattices": 2,
            "detector.model": "custom",
            "detector.image_size": (200, 200),
            "scan.n_images": 3,
        },
    )
    folders = result.summary["folders"]
    assert [f.rsplit("/", 1)[1] for f in folders] == ["sweep_1", "sweep_2"]
    models = [json.loads((tmp_path / "s" / f"sweep_{k}" / "truth.json").read_text()) for k in (1, 2)]
    assert models[0]["lattices"] == models[1]["lattices"] and len(models[0]["lattices"]) == 2
    assert [m["phi0_deg"] for m in models] == pytest.approx([0.0, 120.0])
    with np.load(tmp_path / "s" / "sweep_2" / "truth.npz") as arrays:
        assert len(arrays["hkl_1"]) > 100


def test_old_images_are_not_overwritten_unasked(tmp_path):
    simulate_sweep(tmp_path, scan__n_images=2)
    with pytest.raises(UserError, match=r"holds 2 images.*output.overwrite"):
        simulate_sweep(tmp_path, scan__n_images=1)
    assert len(simulate_sweep(tmp_path, scan__n_images=1, output__overwrite=True).images) == 1


def test_impossible_requests_say_why(tmp_path):
    with pytest.raises(ParameterError, match="cannot have space group"):
        simulate_sweep(tmp_path, crystal__space_group="P 4")
    with pytest.raises(ParameterError, match="half the wavelength"):
        simulate_sweep(tmp_path, structure__d_min=0.4)


def test_import_reads_the_images_without_an_option(steady):
    experiments = spindle.run("import", files=steady.images).experiments
    assert len(experiments) == 1
    experiment = experiments[0]
    m = steady.models
    assert experiment.scan.n_images == m["nframes"]
    assert experiment.scan.oscillation_deg == pytest.approx((m["phi0_deg"], m["osc_deg"]))
    assert experiment.beam.wavelength == pytest.approx(m["wavelength"])
    assert experiment.detector[0].distance == pytest.approx(m["header"]["distance"], abs=1e-3)
    assert experiment.detector.beam_centre_px(experiment.beam.s0) == pytest.approx(
        m["header"]["beam_centre_px"], abs=2e-3
    )
    assert experiment.goniometer.axis_lab == pytest.approx(m["rotation_axis"])
    assert experiment.detector[0].mu == pytest.approx(m["detector"]["mu_per_mm"], rel=1e-6)


def test_another_program_reads_the_images(dark):
    fabio = pytest.importorskip("fabio", reason="fabio is an independent reader of CBF, not needed otherwise")
    ours = pixels(dark)
    for i, path in enumerate(dark.images):
        assert np.array_equal(fabio.open(str(path)).data, ours[i])


@pytest.mark.parametrize("mean", [0.05, 0.8, 7.0, 14.9, 15.1, 80.0, 3000.0])
def test_poisson_deviates_have_the_distribution(mean):
    state = np.empty(2, np.uint64)
    start_stream(state, 1, 2, 3)
    n = 20000
    drawn = np.array([draw_poisson(state, mean) for _ in range(n)])
    low, high = poisson.ppf([1e-3, 1 - 1e-3], mean)
    edges = np.unique(np.round(np.linspace(low, high, 12)))
    observed = np.histogram(drawn, np.concatenate([[-0.5], edges + 0.5, [np.inf]]))[0]
    expected = n * np.diff(np.concatenate([[0], poisson.cdf(edges, mean), [1]]))
    enough = expected > 5
    chi2 = ((observed - expected)[enough] ** 2 / expected[enough]).sum()
    assert chi2 < 45  # 13 cells at most: beyond 1e-4
    assert drawn.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / n))


def test_quantiles_are_normal():
    q = normal_quantiles().astype(float)
    assert q.mean() == pytest.approx(0, abs=1e-6)
    assert q.std() == pytest.approx(1, abs=1e-3)
    assert (q**4).mean() == pytest.approx(3, abs=0.02)


CELL, GROUP = np.array([40.0, 50.0, 60.0, 90, 90, 90]), gemmi.SpaceGroup("P 21 21 21")


def test_random_intensities_obey_wilson_and_symmetry():
    structure = random_structure(CELL, GROUP, 2.0, 0.0, 0.0, np.random.default_rng(0))
    ops = GROUP.operations()
    absent = ops.systematic_absences(structure.hkl)
    assert absent.any() and (structure.intensity[absent] == 0).all()
    general = (structure.hkl != 0).all(axis=1)
    i = structure.intensity[general]
    assert (i**2).mean() / i.mean() ** 2 == pytest.approx(2.0, abs=0.1)
    known = {tuple(map(int, h)): v for h, v in zip(structure.hkl, structure.intensity, strict=True)}
    for h in [(3, 5, 7), (1, 0, 4), (0, 2, 6)]:
        equivalents = [tuple(op.apply_to_hkl(list(h))) for op in ops.sym_ops]
        assert len({known[tuple(s * x for x in e)] for e in equivalents for s in (1, -1)}) == 1


def test_the_wilson_b_that_is_told_is_that_of_its_atoms(tmp_path):
    """Atoms of an average protein at random, all with B = 20: expected 20, with the noise of some 100 atoms."""
    rng = np.random.default_rng(4)
    model, chain, residue = gemmi.Model(1), gemmi.Chain("A"), gemmi.Residue()
    residue.name, residue.seqid = "ALA", gemmi.SeqId("1")
    for element, n in (("C", 250), ("N", 68), ("O", 75), ("S", 3)):
        for position in rng.uniform(0, (40, 30, 30), (n, 3)):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos, atom.b_iso = (
                element,
                gemmi.Element(element),
                gemmi.Position(*position),
                20.0,
            )
            residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    whole = gemmi.Structure()
    whole.cell, whole.spacegroup_hm = gemmi.UnitCell(40, 30, 30, 90, 90, 90), "P 1"
    whole.add_model(model)
    whole.make_mmcif_document().write_file(str(tmp_path / "atoms.cif"))
    for added in (0.0, 15.0):
        structure = structure_from_coordinates(tmp_path / "atoms.cif", None, None, 1.8, added)
        assert structure.wilson_b() == pytest.approx(20.0 + added, abs=1.5)


def test_the_wilson_b_of_random_intensities_lacks_the_fall_of_scattering_factors():
    """Known from exp(-B / (2 d^2)) and f of carbon, 6 electrons at rest and 2.6 at 2 sin(theta) / lambda = 0.5 / A."""
    structure = random_structure(CELL, GROUP, 1.8, 30.0, 0.0, np.random.default_rng(0))
    carbon = gemmi.Element("C").it92
    fall = [2 * np.log(carbon.calculate_sf(0.25 / d**2)) for d in (4.0, 1.8)]
    scattering = -2 * (fall[1] - fall[0]) / (1 / 1.8**2 - 1 / 4.0**2)
    assert structure.wilson_b() == pytest.approx(30.0 - scattering, abs=1.5)
    assert structure.scaled(7.0).wilson_b() == pytest.approx(structure.wilson_b(), abs=1e-6)


def test_anomalous_mates_differ_as_asked():
    structure = random_structure(CELL, GROUP, 2.5, 0.0, 0.1, np.random.default_rng(0))
    known = {tuple(map(int, h)): v for h, v in zip(structure.hkl, structure.intensity, strict=True)}
    pairs = [(v, known[-h[0], -h[1], -h[2]]) for h, v in known.items() if min(h) > 0]
    ratio = np.array([(a - b) / (0.5 * (a + b)) for a, b in pairs])
    assert ratio.std() == pytest.approx(0.1, rel=0.1)
    assert all(known[h] == pytest.approx(known[-h[0], -h[1], -h[2]]) for h in [(0, 2, 4), (3, 0, 5)])


def test_intensities_of_coordinates_are_those_of_direct_summation():
    path = shared_data("structures") / "1aki.pdb"
    structure = structure_from_coordinates(path, None, None, 3.0, 0.0)
    model = gemmi.read_structure(str(path))
    model.setup_cell_images()
    calculator = gemmi.StructureFactorCalculatorX(model.cell)
    rng = np.random.default_rng(0)
    strong = np.flatnonzero(structure.intensity > np.median(structure.intensity))
    for i in rng.choice(strong, 25, replace=False):
        direct = abs(calculator.calculate_sf_from_model(model[0], [int(v) for v in structure.hkl[i]])) ** 2
        assert structure.intensity[i] == pytest.approx(direct, rel=0.02)  # density on a grid of d_min / 3


def test_intensities_come_from_files(tmp_path):
    (tmp_path / "i.hkl").write_text("1 2 3 50.0\n0 0 4 7.5\n")
    structure = structure_from_intensities(tmp_path / "i.hkl", CELL, GROUP, 5.0, 0.0)
    known = {tuple(map(int, h)): v for h, v in zip(structure.hkl, structure.intensity, strict=True)}
    assert known[1, 2, 3] == known[-1, -2, 3] == known[-1, -2, -3] == 50.0
    assert known[0, 0, -4] == 7.5 and known[2, 1, 1] == 0.0
    (tmp_path / "i.hkl").write_text("1 2 3 50.0\n0 3e9 4 7.5\n")
    with pytest.raises(FileFormatError, match=r"i\.hkl: reflection 2: whole indices"):
        structure_from_intensities(tmp_path / "i.hkl", CELL, GROUP, 5.0, 0.0)


MICROSCOPE = {
    "beam__wavelength": 0.0251, "beam__divergence": 0.001, "detector__pixel_size": 0.055, "detector__distance": 1000.0,
    "crystal__unit_cell": (8.1, 9.7, 13.2, 90.0, 101.3, 90.0), "crystal__space_group": "P 21", "structure__d_min": 1.6,
}  # fmt: skip


def test_electrons_are_neither_polarised_nor_lost_in_the_sensor(tmp_path):
    sweep = simulate_sweep(tmp_path, output__format="nexus", scan__n_images=8, **MICROSCOPE)
    assert (sweep.arrays["polarisation_0"] == 1).all() and (sweep.arrays["qe_0"] == 1).all()
    assert (sweep.arrays["depth_mean_0"] == 0).all() and sweep.models["probe"] == "electron"
    (experiment,) = spindle.run("import", files=[sweep.folder / "simulated.nxs"]).experiments
    assert experiment.beam.probe == "electron" and experiment.beam.polarization_fraction == 0.5
    assert experiment.detector[0].parallax == "none"


def test_a_probe_that_headers_cannot_say_is_in_the_next_step(tmp_path):
    params: dict = {"output__directory": str(tmp_path), "scan__n_images": 1, "structure__d_min": 4.0}
    result = spindle.run("simulate", beam__probe="neutron", beam__wavelength=1.8, **params)
    assert "geometry.beam.probe=neutron" in result.next_step
    with pytest.raises(ParameterError, match=r"wavelength=0\.001: must be between"):
        spindle.run("simulate", beam__wavelength=0.001, **params)


def test_the_pattern_drifts_as_the_truth_says(tmp_path):
    still, moving = (
        simulate_sweep(
            tmp_path / str(drift), beam__drift=drift, structure__mean_counts=400.0, **DARK, **STEADY, **MICROSCOPE
        )
        for drift in (0.0, 2.0)
    )
    shift = moving.arrays["beam_drift"]
    assert np.sqrt((shift**2).mean(axis=0)) == pytest.approx([2.0, 2.0]) and (still.arrays["beam_drift"] == 0).all()
    z = still.arrays["z_pred_0"]
    expected = np.stack([np.interp(z, np.arange(len(shift)) + 0.5, shift[:, k]) for k in range(2)], axis=1)
    assert moving.arrays["xy_pred_0"] - still.arrays["xy_pred_0"] == pytest.approx(expected)
    many = moving.arrays["n_all_0"] > 200
    seen = moving.arrays["xyz_photon_mean_0"][many, :2] - still.arrays["xyz_photon_mean_0"][many, :2]
    assert many.sum() >= 20 and np.abs(seen - expected[many]).max() < 0.25
