"""Electrons and neutrons on detectors whose headers were made for X-rays."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, ParameterError
from spindle.files import read_experiments, write_experiments
from spindle.geometry.attenuation import attenuation_coefficient, sensor_depth
from spindle.geometry.reflections import lorentz_factor
from spindle.models import Beam
from spindle.prediction import lorentz_polarisation, quantum_efficiency
from spindle_lib_readers.testing.images import write_smv
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf, write_sweep
from spindle_lib_readers.testing.nexus import change, write_nxmx

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)
# de Broglie wavelength of 200 kV, relativistic: h / sqrt(2 m e V (1 + e V / 2 m c^2)).
WAVELENGTH_200_KV = 0.02508


def cbf(folder, wavelength):
    header = mini_cbf_header(Wavelength=f"{wavelength} A")
    return write_mini_cbf(folder / "t_0001.cbf", PIXELS, header)


def nexus(folder, wavelength):
    path = write_nxmx(folder / "x.h5", np.zeros((2, 5, 6), np.uint16))
    return change(path, entry__instrument__beam__incident_wavelength=wavelength)


def smv(folder, wavelength):
    return write_smv(folder / "a_0001.img", PIXELS, WAVELENGTH=wavelength)


def load(files, **params):
    return spindle.run("import", files=files, **params).experiments


def is_without_depth(detector):
    return all(p.mu == 0.0 and p.parallax == "none" for p in detector)


@pytest.mark.parametrize("write", [cbf, nexus, smv])
def test_short_wavelengths_are_electrons_by_themselves_and_said(write, tmp_path, caplog):
    experiment = load([write(tmp_path, WAVELENGTH_200_KV)])[0]
    assert experiment.beam.probe == "electron" and experiment.beam.polarization_fraction == 0.5
    assert experiment.beam.wavelength == pytest.approx(WAVELENGTH_200_KV) and is_without_depth(experiment.detector)
    # SMV's own rule for cameras on electron microscopes is silent, being theirs.
    assert write is smv or any(
        "0.02508 A; taken for electrons" in m and "geometry.beam.probe=" in m for m in caplog.messages
    )
    assert not any("corrected for depth" in m for m in caplog.messages)


@pytest.mark.parametrize("write", [cbf, nexus, smv])
@pytest.mark.parametrize("probe", ["electron", "neutron"])
def test_the_probe_can_be_given(probe, write, tmp_path, caplog):
    experiment = load([write(tmp_path, 0.07 if probe == "electron" else 1.8)], probe=probe)[0]
    assert experiment.beam.probe == probe and is_without_depth(experiment.detector)
    assert not any("electrons" in m or "corrected for depth" in m for m in caplog.messages)
    write_experiments(
        spindle.run("import", files=[write(tmp_path, 0.07)], probe=probe).experiments, tmp_path / "a.expt"
    )
    assert read_experiments(tmp_path / "a.expt")[0].beam.probe == probe


def test_photons_stay_photons(tmp_path):
    (experiment,) = load([cbf(tmp_path, 0.061)])
    assert experiment.beam.probe == "x-ray" and experiment.detector[0].mu > 0
    # Given as a photon, whatever its wavelength: read, though no table reaches there.
    (experiment,) = load([cbf(tmp_path, 0.03)], probe="x-ray")
    assert experiment.beam.probe == "x-ray" and is_without_depth(experiment.detector)


def test_a_wavelength_that_is_given_decides(tmp_path, caplog):
    (experiment,) = load([cbf(tmp_path, 1.0)], wavelength=WAVELENGTH_200_KV)
    assert experiment.beam.probe == "electron" and is_without_depth(experiment.detector)
    assert any("taken for electrons" in m for m in caplog.messages)


def test_experiments_that_exist_are_changed_too(tmp_path, caplog):
    experiments = load(write_sweep(tmp_path, 2))
    assert experiments[0].detector[0].mu > 0
    changed = spindle.run("import", experiments=experiments, probe="electron").experiments
    assert changed[0].beam.probe == "electron" and is_without_depth(changed[0].detector)
    changed = spindle.run("import", experiments=experiments, wavelength=WAVELENGTH_200_KV).experiments
    assert changed[0].beam.probe == "electron" and is_without_depth(changed[0].detector)
    assert any("taken for electrons" in m for m in caplog.messages)


def test_what_is_for_photons_only_is_refused(tmp_path):
    path = cbf(tmp_path, WAVELENGTH_200_KV)
    for params in ({"parallax": "normalised"}, {"panel.parallax_correction": True}):
        with pytest.raises(ParameterError, match="the probe is electron"):
            load([path], **params)
    with pytest.raises(ModelError, match="knows the probes"):
        Beam(direction=(0, 0, 1), wavelength=1.0, probe="muon")


def test_depth_in_the_sensor():
    assert sensor_depth("Si", 0.32, 1.0, "dials") == (attenuation_coefficient("Si", 1.0), "dials")
    assert (
        sensor_depth("Si", 0.32, 0.025, "dials") == (0.0, "none") == sensor_depth("Si", 0.32, 1.0, "dials", "neutron")
    )
    assert sensor_depth("", 0.32, 1.0, "dials") == (0.0, "none") == sensor_depth("Si", 0.0, 1.0, "dials")


def test_intensities_of_electrons_are_neither_polarised_nor_lost_in_the_sensor(tmp_path):
    (experiment,) = load([cbf(tmp_path, WAVELENGTH_200_KV)])
    beam = experiment.beam
    s1 = beam.s0 + np.array([[0.5, 0.3, 0.0], [-0.4, 0.6, 0.0]])
    expected = lorentz_factor(beam.s0, s1, experiment.goniometer.axis_lab)
    assert np.allclose(lorentz_polarisation(beam, experiment.goniometer, s1), expected)
    assert np.all(quantum_efficiency(experiment.detector, np.zeros(2, int), s1) == 1.0)
