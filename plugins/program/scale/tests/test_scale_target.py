"""The scale program against references: files, structures and data that were scaled before, of known scale and B."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from spindle_program_scale.target import Target, TargetOfGroups

import spindle
from spindle.contracts.scaling import ScaleTarget
from spindle.errors import ParameterError, UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import asu_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan

CELL = (60.0, 60.0, 60.0, 90.0, 90.0, 90.0)


def drifting(z: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Illuminated volume and decay along 90 images, far from one."""
    return 40.0 * (1 + 0.15 * np.sin(z / 20.0)) * np.exp((-8.0 - 0.02 * z) / (2 * d**2))


def write_mtz(path: Path, hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray, group: str, cell=CELL) -> str:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup(group), gemmi.UnitCell(*cell)
    mtz.add_dataset("x")
    for label, kind in (("I", "J"), ("SIGI", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, value, sigma]).astype(np.float32))
    mtz.write_to_file(str(path))
    return str(path)


def truth_file(
    path: Path, table: ReflectionTable, intensity: np.ndarray, error: float = 0.0, group: str = "P 4 3 2"
) -> str:
    """The true intensities, wrong by a part of each, as a merged file."""
    asu = asu_indices(table["miller_index"], group)[0]
    unique, first = np.unique(asu, axis=0, return_index=True)
    value = intensity[first] * (1 + error * np.random.default_rng(9).normal(size=len(first)))
    return write_mtz(path, unique, value, 0.01 * np.abs(value) + 0.1, group)


def ln_ratio(table: ReflectionTable, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln(g / true g) and 1/(2 d^2) of the scaled reflections: nothing is taken out."""
    good = table.has_flags(Flag.SCALED)
    return np.log(table["inverse_scale_factor"][good] / scale[good]), 0.5 / table["d"][good] ** 2


@pytest.fixture(scope="module")
def drift():
    experiment, table, truth = simulated_scan(scale=drifting)
    return Experiments([experiment]), table, truth


@pytest.mark.parametrize("model", ["physical", "KB", "array", "dose_decay"])
@pytest.mark.sampled(2)
def test_data_come_to_the_scale_and_b_of_the_reference(drift, tmp_path, model) -> None:
    experiments, table, truth = drift
    mtz = truth_file(tmp_path / "r.mtz", table, truth["intensity"])
    result = spindle.run("scale", experiments, table, reference=mtz, model=model)
    difference, x = ln_ratio(result.reflections, truth["scale"])
    slope, intercept = np.polyfit(x, difference, 1)
    assert intercept == pytest.approx(0.0, abs=0.02)
    assert slope == pytest.approx(0.0, abs=0.4 if model in ("physical", "KB", "dose_decay") else 0.8)
    assert difference.std() < {"physical": 0.012, "dose_decay": 0.03, "array": 0.05, "KB": 0.2}[model]


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize(("part", "more"), [(0.2, 0.0), (0.0, 20.0)])
@pytest.mark.sampled(2)
def test_the_scale_is_right_though_a_reference_tells_small_errors_where_it_came_out_too_small(
    tmp_path, part, more, only
) -> None:
    """Errors of a fifth of each intensity, or as large as the weak ones, which the reference tells by what it has."""
    experiment, table, truth = simulated_scan(multiplicity=4, scale=drifting, seed=1)
    unique, first = np.unique(asu_indices(table["miller_index"], "P 4 3 2")[0], axis=0, return_index=True)
    true = truth["intensity"][first]
    value = true + np.hypot(part * true, more) * np.random.default_rng(51).normal(size=len(true))
    mtz = write_mtz(tmp_path / "r.mtz", unique, value, np.hypot(part * value, more) + 0.1, "P 4 3 2")
    result = spindle.run("scale", Experiments([experiment]), table, reference=mtz, only_target=only)
    difference, _ = ln_ratio(result.reflections, truth["scale"])
    assert difference.mean() == pytest.approx(0.0, abs=0.01)


def test_the_model_of_the_file_has_the_scale_of_the_reference(drift, tmp_path) -> None:
    """Scaling again from the written model begins where it ended, and a model of scale 40 does no harm without a reference."""
    experiments, table, truth = drift
    mtz = truth_file(tmp_path / "r.mtz", table, truth["intensity"])
    result = spindle.run("scale", experiments, table, reference=mtz, model="KB")
    model = result.experiments[0].scaling_model
    k, b = model["scale"]["parameters"][0], model["decay"]["parameters"][0]
    good = result.reflections.has_flags(Flag.SCALED)
    expected = k * np.exp(0.5 * b / result.reflections["d"][good] ** 2)
    np.testing.assert_allclose(result.reflections["inverse_scale_factor"][good], expected, rtol=1e-9)
    assert 30 < k < 50 and 0 < model["scale"]["est_standard_devs"][0] < 0.05 * k
    again = spindle.run("scale", result.experiments, result.reflections, model="KB")
    assert again.experiments[0].scaling_model["scale"]["parameters"][0] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("only", [False, True])
def test_reflections_that_were_measured_once_are_scaled(tmp_path, only) -> None:
    experiment, table, truth = simulated_scan(n_unique=3000, multiplicity=1, scale=drifting, seed=3)
    mtz = truth_file(tmp_path / "r.mtz", table, truth["intensity"], 0.05)
    result = spindle.run("scale", Experiments([experiment]), table, reference=mtz, only_target=only)
    difference, x = ln_ratio(result.reflections, truth["scale"])
    assert truth["scale"].std() > 1
    assert difference.std() < 0.03
    assert abs(np.polyval(np.polyfit(x, difference, 1), 0.0)) < 0.03


@pytest.mark.parametrize("part", [1.0, 0.7])
def test_a_structure_that_lacks_atoms_still_tells_the_scale(tmp_path, part, caplog) -> None:
    """Data of 300 atoms; the reference has all of them, or seven of ten."""
    rng = np.random.default_rng(4)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*CELL), "P 4 3 2"
    chain, residue = gemmi.Chain("A"), gemmi.Residue()
    residue.name, residue.seqid = "ALA", gemmi.SeqId("1")
    for k in range(300):
        atom = gemmi.Atom()
        atom.name, atom.element, atom.b_iso = "CA", gemmi.Element(["C", "N", "O"][k % 3]), 15.0
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*rng.uniform(0, 1, 3)))
        residue.add_atom(atom)
    chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.write_pdb(str(tmp_path / "whole.pdb"))
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate = 2.0, 2.0
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.put_model_density_on_grid(structure[0])
    data = gemmi.transform_map_to_f_phi(calculator.grid).prepare_asu_data(dmin=2.0, unblur=calculator.blur)
    of = {tuple(h): abs(f) ** 2 for h, f in zip(np.array(data.miller_array).tolist(), data.value_array, strict=True)}
    experiment, table, _ = simulated_scan(multiplicity=3)
    asu = asu_indices(table["miller_index"], "P 4 3 2")[0].tolist()
    keep = np.array([tuple(h) in of for h in asu])
    table, asu = table.select(keep), [h for h, k in zip(asu, keep, strict=True) if k]
    true = np.array([of[tuple(h)] for h in asu])
    scale = drifting(table["xyzcal.px"][:, 2], table["d"]) * 1e-3
    value = true * scale
    sigma = np.sqrt(np.maximum(value, 1.0) + 25.0)
    measured = value + sigma * np.random.default_rng(6).normal(size=len(value))
    for name in ("intensity.prf", "intensity.sum"):
        table[f"{name}.value"], table[f"{name}.variance"] = measured, sigma**2
    last = structure[0][0][0]
    for _ in range(int(300 * (1 - part))):
        del last[len(last) - 1]
    structure.write_pdb(str(tmp_path / "part.pdb"))
    with caplog.at_level("INFO"):
        result = spindle.run(
            "scale", Experiments([experiment]), table, reference=str(tmp_path / "part.pdb"), k_sol=0, b_sol=0
        )
    difference, x = ln_ratio(result.reflections, scale)
    slope, intercept = np.polyfit(x, difference, 1)
    lost = 0.0 if part == 1.0 else np.log(1 / part)  # the scattering power of missing atoms is taken for scale
    assert intercept == pytest.approx(lost, abs=0.02 if part == 1.0 else 0.15)
    assert (difference - intercept - slope * x).std() < 0.03
    assert "on the scale of the reference (calculated from part.pdb)" in caplog.text


def test_new_data_are_scaled_against_scaled_ones(tmp_path) -> None:
    """A factor of 1000 between the sets; the first keeps its scale factors, and only the second is saved."""
    first, one, _ = simulated_scan(n_unique=600, multiplicity=5, n_images=30, scale=lambda z, d: 1 + 0.01 * z)
    second, two, truth = simulated_scan(
        n_unique=600, multiplicity=5, n_images=30, scale=lambda z, d: 1000 * (1.2 - 0.01 * z) * np.exp(-3 / (2 * d**2))
    )
    base = spindle.run("scale", Experiments([first]), one)
    both = Experiments([base.experiments[0], second])
    tables = [base.reflections, two]
    held = spindle.run("scale", both, tables, only_target=True)
    assert len(held.experiments) == 1 and held.experiments[0].identifier == second.identifier
    assert set(np.unique(held.reflections["id"])) == {0}
    difference, _ = ln_ratio(held.reflections, truth["scale"])
    assert difference.std() < 0.02
    shown = spindle.run("scale", both, tables, only_target=True, only_save_targeted=False)
    for name in ("scale", "decay"):
        np.testing.assert_allclose(
            shown.experiments[0].scaling_model[name]["parameters"],
            base.experiments[0].scaling_model[name]["parameters"],
            rtol=1e-12,
        )
    joint = spindle.run("scale", both, tables)
    assert len(joint.experiments) == 2
    of_both = np.concatenate([1 + 0.01 * one["xyzcal.px"][:, 2], truth["scale"]])
    difference, x = ln_ratio(joint.reflections, of_both)
    assert (difference - np.polyval(np.polyfit(x, difference, 1), x)).std() < 0.02
    with pytest.raises(UserError, match="only_target=True needs a reference="):
        spindle.run("scale", Experiments([first]), one, only_target=True)


def polar_sweep(seed: int, turned: bool, n: int = 4000):
    """A sweep of a P 4 crystal whose lattice has a two-fold more, indexed in one of two ways."""
    experiment, table, _ = simulated_scan(n_unique=n // 8 + 400, multiplicity=8, seed=seed)
    cell = (60.0, 60.0, 75.0, 90.0, 90.0, 90.0)
    experiment = replace(experiment, crystal=Crystal.from_cell(cell, np.eye(3), "P 4"))
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-14, 15, (len(table), 3))
    hkl[~hkl.any(axis=1)] = [1, 2, 3]
    asu = asu_indices(hkl, "P 4")[0]
    size = np.random.default_rng(77).exponential(1500.0, (40, 40, 40))
    true = size[asu[:, 0] + 15, asu[:, 1] + 15, asu[:, 2] + 15]
    sigma = np.sqrt(true + 25.0)
    measured = true + sigma * rng.normal(size=len(true))
    table["miller_index"] = (hkl[:, [1, 0, 2]] * [1, 1, -1] if turned else hkl).astype(np.int32)
    table["d"] = 1 / np.linalg.norm(hkl / cell[:3], axis=1)
    for name in ("intensity.prf", "intensity.sum"):
        table[f"{name}.value"], table[f"{name}.variance"] = measured, sigma**2
    return experiment, table, asu, true


def test_data_sets_are_brought_to_one_indexing(tmp_path, caplog) -> None:
    made = [polar_sweep(k, turned) for k, turned in enumerate((False, True, False, True))]
    experiments, tables = Experiments([m[0] for m in made]), [m[1] for m in made]
    wrong = spindle.run("scale", experiments, tables, model="KB")
    right = spindle.run("scale", experiments, tables, model="KB", check_consistent_indexing=True)
    assert wrong.summary["cc_half"] < 0.9 and right.summary["cc_half"] > 0.99
    asu = asu_indices(right.reflections["miller_index"], "P 4")[0]
    for k, (_, _, first, _) in enumerate(made):
        here = right.reflections["id"] == k
        same = np.array_equal(asu[here], first)
        assert same or k in (1, 3) or not np.array_equal(asu[right.reflections["id"] == 0], made[0][2])
    # against a reference all are in its indexing
    mtz = write_mtz(tmp_path / "r.mtz", *_unique(made[0]), "P 4", (60.0, 60.0, 75.0, 90.0, 90.0, 90.0))
    with caplog.at_level("WARNING"):
        spindle.run("scale", experiments, tables, model="KB", reference=mtz)
    assert "Data set(s) 1, 3 agree with the reference in another indexing" in caplog.text
    told = spindle.run("scale", experiments, tables, model="KB", reference=mtz, check_consistent_indexing=True)
    for k, (_, _, first, _) in enumerate(made):
        here = told.reflections["miller_index"][told.reflections["id"] == k]
        np.testing.assert_array_equal(asu_indices(here, "P 4")[0], first)
    # a cell edge of the crystal follows its indices: a and b are equal, c is the same
    np.testing.assert_allclose(told.experiments[1].crystal.cell, (60.0, 60.0, 75.0, 90.0, 90.0, 90.0), rtol=1e-6)
    assert not np.allclose(told.experiments[1].crystal.A, experiments[1].crystal.A)


def _unique(made):
    unique, first = np.unique(made[2], axis=0, return_index=True)
    value = made[3][first]
    return unique, value, 0.02 * value + 1


def test_an_earlier_error_model_is_begun_with_or_forgotten(drift) -> None:
    experiments, table, _ = drift
    model = {
        "__id__": "KB",
        "configuration_parameters": {"error_model_type": "BasicErrorModel", "error_model_parameters": [3.0, 0.3]},
    }
    earlier = Experiments([replace(experiments[0], scaling_model=model)])
    options = {"model": "physical", "basic.minimisation": "None"}
    kept = spindle.run("scale", earlier, table, **options)
    fresh = spindle.run("scale", earlier, table, **options, reset_error_model=True)
    without = spindle.run("scale", experiments, table, **options)
    assert fresh.summary == without.summary
    assert kept.summary["r_meas"] != without.summary["r_meas"]


def test_references_that_cannot_serve_are_refused(drift, tmp_path) -> None:
    experiments, table, truth = drift
    mtz = truth_file(tmp_path / "r.mtz", table, truth["intensity"])
    with pytest.raises(ParameterError, match="name two references"):
        spindle.run("scale", experiments, table, reference=mtz, target_mtz=mtz)
    few = write_mtz(tmp_path / "few.mtz", np.array([[1, 0, 0]]), np.array([5.0]), np.array([1.0]), "P 4 3 2")
    with pytest.raises(UserError, match=r"has [01] of the .* measured reflections, at least 20"):
        spindle.run("scale", experiments, table, reference=few)
    other = write_mtz(
        tmp_path / "o.mtz", np.array([[1, 0, 0]]), np.array([5.0]), np.array([1.0]), "P 1", (9, 9, 9, 90, 90, 90)
    )
    with pytest.raises(UserError, match="another crystal form"):
        spindle.run("scale", experiments, table, reference=other)
    with pytest.raises(ParameterError, match="no factor that could take up"):
        spindle.run("scale", experiments, table, reference=mtz, model="KB", **{"KB.correction.fix": ["scale"]})


@pytest.mark.parametrize(("part", "told"), [(0.2, 0.01), (0.2, 0.2)])
def test_the_error_of_the_scale_is_that_of_a_reference_that_is_wrong_in_proportion(part, told) -> None:
    """Many references whose intensities are wrong by a fifth each, and say so or not: the scale is as uncertain as it scatters."""
    rng = np.random.default_rng(2)
    m = 400
    d = rng.uniform(1.5, 6.0, m)
    true = 1000.0 * np.exp(-10.0 / d**2) * rng.exponential(size=m)
    sigma = np.sqrt(true + 25.0) / 2
    x, one = 0.5 / d**2, np.ones(m)
    found, errors = [], []
    for _ in range(150):
        raw = true * (1 + part * rng.normal(size=m))
        value = np.where(raw > 0, raw, np.nan)
        variance = (told * true) ** 2 + 0.01
        nothing = Target(ScaleTarget(np.zeros((0, 3), int), np.zeros(0), np.zeros(0), "test"), False, False)
        target = TargetOfGroups(nothing, value, variance, d, one, 1.0, 0.0, value, variance)
        mean, weight = true + sigma * rng.normal(size=m), sigma**-2.0
        errors.append(target.uncertainty(mean, weight))
        use = np.isfinite(value)
        w = (value**2 / (1 / weight + variance))[use]
        design = np.column_stack([one, x])[use]
        fit = np.linalg.solve(design.T @ (w[:, None] * design), design.T @ (w * (mean / value - 1.0)[use]))
        found.append(fit)
    ratio = np.std(found, axis=0) / np.mean(errors, axis=0)
    assert (ratio > 0.75).all() and (ratio < 1.3).all()
