"""`spindle import`: models set by hand, references and existing experiment lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_import.checks import detectors_text

import spindle
from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.files import read_experiments, write_experiments, write_map
from spindle.images import ImageSequence
from spindle.models import Beam, Detector, Experiments, Panel
from spindle.testing import shared_data
from spindle_lib_readers.testing.mini_cbf import write_sweep

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)


def load(files, **params):
    return spindle.run("import", files=files, **params).experiments


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_beam_parameters(tmp_path):
    beam = load(
        write_sweep(tmp_path, 2),
        **{
            "geometry.beam.wavelength": 1.3,
            "geometry.beam.direction": (0, 0.1, 1),
            "geometry.beam.polarization_normal": (1, 0, 0),
            "geometry.beam.polarization_fraction": 0.5,
            "transmission": 0.3,
            "flux": 1e12,
        },
    )[0].beam
    assert (
        beam.wavelength == 1.3 and beam.polarization_fraction == 0.5 and beam.transmission == 0.3 and beam.flux == 1e12
    )
    assert beam.direction == pytest.approx(np.array([0, 0.1, 1]) / np.sqrt(1.01))
    assert beam.polarization_normal.tolist() == [1, 0, 0]


def test_another_wavelength_changes_the_attenuation(tmp_path):
    paths = write_sweep(tmp_path, 2)
    assert load(paths, **{"geometry.beam.wavelength": 0.6889})[0].detector[0].mu == pytest.approx(1.4153536, rel=1e-6)


def test_distance_moves_the_detector_along_its_normal(tmp_path):
    paths = write_sweep(tmp_path, 2)
    before, after = load(paths)[0].detector[0], load(paths, **{"geometry.detector.distance": 150})[0].detector[0]
    assert after.distance == pytest.approx(150)
    assert after.origin[:2] == pytest.approx(before.origin[:2])


def test_small_changes_are_made_in_spite_of_tolerances(tmp_path):
    paths = write_sweep(tmp_path, 2)
    assert load(paths, **{"geometry.detector.distance": 100.01})[0].detector[0].distance == pytest.approx(100.01)
    assert load(paths, **{"geometry.beam.wavelength": 1.0000001})[0].beam.wavelength == 1.0000001


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    # DIALS 3.12.1 with the same parameters: {1} is slow, {0} fast for mosflm; pixels for the others.
    [
        ("mosflm_beam_centre", (0.4, 0.6), (0.6 / 0.172, 0.4 / 0.172)),
        ("fast_slow_beam_centre", (2, 1), (2, 1)),
        ("slow_fast_beam_centre", (2, 1), (1, 2)),
        ("fast_slow_beam_centre", (2, 1, 0), (2, 1)),
    ],
)
def test_beam_centre(tmp_path, name, value, expected):
    experiment = load(write_sweep(tmp_path, 2), **{f"geometry.detector.{name}": value})[0]
    assert experiment.detector.beam_centre_px(experiment.beam.s0, 0) == pytest.approx(expected)
    assert experiment.detector[0].distance == pytest.approx(100)


def test_images_of_two_detectors_are_told_of(tmp_path):
    one = load(write_sweep(tmp_path, 2))[0]
    panel = one.detector[0]
    other = replace(one, detector=one.detector.replace_panels([replace(panel, pixel_size=(0.1, 0.1))]))
    farther = replace(one, detector=one.detector.replace_panels([replace(panel, origin=panel.origin * 2)]))
    assert detectors_text(Experiments([one, farther])) == ""
    text = detectors_text(Experiments([one, farther, other]))
    assert text.startswith("the images are of 2 different detectors") and "0.172 mm" in text and "0.1 mm" in text


def test_panel_parameters(tmp_path):
    panel = load(
        write_sweep(tmp_path, 2, Silicon=None),
        **{
            "panel.name": "P",
            "panel.gain": 1.5,
            "panel.pedestal": 10.0,
            "panel.trusted_range": (1, 500),
            "panel.material": "CdTe",
            "panel.thickness": 0.75,
            "panel.origin": (-1, 2, -50),
            "panel.type": "SENSOR_CCD",
            "panel.fast_axis": (0, 1, 0),
            "panel.slow_axis": (1, 0, 0),
            "panel.pixel_size": (0.1, 0.1),
        },
    )[0].detector[0]
    assert (panel.name, panel.gain, panel.pedestal, panel.type) == ("P", 1.5, 10.0, "SENSOR_CCD")
    assert panel.trusted_range == (1, 500) and panel.parallax == "normalised" and panel.mu > 0
    assert panel.origin.tolist() == [-1, 2, -50] and panel.fast_axis.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"panel.id": 3, "panel.gain": 2.0}, "the detector has 1 panels"),
        ({"panel.type": "FILM"}, "SENSOR_PAD"),
        ({"panel.fast_axis": (1, 1, 0)}, "not perpendicular"),
        ({"panel.trusted_range": (5, 1)}, "must not exceed"),
        ({"mosflm_beam_centre": (1, 1), "fast_slow_beam_centre": (1, 1)}, "both set the beam centre"),
        ({"fast_slow_beam_centre": (1, 1, 4)}, "no panel 4"),
        ({"fast_slow_beam_centre": (1e9, 1e9)}, "fast_slow_beam_centre=1e.09,1e.09: .* more than 300 times .* px"),
        ({"mosflm_beam_centre": (1, -1e5)}, "mosflm_beam_centre=1,-100000: .* mm"),
        ({"goniometer.axis": (1, 0, 0), "goniometer.axes": (1, 0, 0)}, "give one of them"),
        ({"goniometer.axis": (0, 0, 0)}, "geometry.goniometer.axis=0,0,0: .* zero vector; give a direction"),
        ({"goniometer.axes": (1, 0, 0, 0, 0, 0)}, "geometry.goniometer.axes=1,0,0,0,0,0: .*; give a direction"),
        ({"goniometer.angles": (1, 2)}, "give axes= too"),
        ({"geometry.goniometer.fixed_rotation": (1, 0, 0, 0, 1, 0, 0, 0, 2)}, "is no rotation"),
        ({"goniometer.axes": (1, 0, 0, 1)}, "a multiple of 3"),
        ({"geometry.scan.oscillation": (0, -1)}, "must not be negative"),
        ({"image_range": (1, 9)}, "the images of .* are 1 to 2"),
        ({"extrapolate_scan": True}, "needs geometry.scan.image_range"),
        ({"lookup.gain": "gain.npz"}, r"lookup.gain=gain.npz: no such file"),
        ({"lookup.mask": "nothing.npz"}, "no such file"),
        ({"convert_stills_to_sequences": True, "convert_sequences_to_stills": True}, "contradict"),
        ({"as_grid_scan": True}, "needs input.grid_size"),
    ],
)
def test_impossible_parameters_are_errors(tmp_path, params, message):
    with pytest.raises(ParameterError, match=message):
        load(write_sweep(tmp_path, 2), **params)


def test_unknown_material_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no attenuation table for the sensor material 'Unobtainium'"):
        load(write_sweep(tmp_path, 2), **{"panel.material": "Unobtainium"})


@pytest.mark.parametrize("mode", ["normalised", "dials", "none"])
def test_depth_in_the_sensor(tmp_path, mode):
    assert load(write_sweep(tmp_path, 2), parallax=mode)[0].detector[0].parallax == mode


def test_depth_correction_of_lists_and_references_changes_on_demand_only(tmp_path):
    paths = write_sweep(tmp_path, 2)
    theirs = load(paths, parallax="dials")
    write_experiments(theirs, tmp_path / "reference.expt")
    name = str(tmp_path / "reference.expt")
    for given in ({"experiments": theirs}, {"files": paths, "reference_geometry": name}):
        for wanted in ({}, {"parallax": "normalised"}, {"parallax": "none"}):
            (found,) = spindle.run("import", **given, **wanted).experiments
            assert found.detector[0].parallax == wanted.get("parallax", "dials")


def test_parallax_can_be_switched_off_by_panel(tmp_path):
    assert load(write_sweep(tmp_path, 2), parallax_correction=False)[0].detector[0].parallax == "none"


def test_single_axis_parameters(tmp_path):
    paths = write_sweep(tmp_path, 2)
    goniometer = load(
        paths, **{"goniometer.axis": (0, 1, 0), "geometry.goniometer.setting_rotation": (0, -1, 0, 1, 0, 0, 0, 0, 1)}
    )[0].goniometer
    assert goniometer.axis_lab == pytest.approx([-1, 0, 0])
    assert load(paths, invert_rotation_axis=True)[0].goniometer.rotation_axis.tolist() == [-1, 0, 0]


def test_multi_axis_parameters(tmp_path):
    goniometer = load(
        write_sweep(tmp_path, 2),
        **{
            "goniometer.axes": (1, 0, 0, 0, 1, 0),
            "goniometer.angles": (30, 0),
            "goniometer.names": "PHI,OMEGA",
            "scan_axis": 1,
        },
    )[0].goniometer
    assert goniometer.names == ("PHI", "OMEGA") and goniometer.rotation_axis.tolist() == [0, 1, 0]
    assert goniometer.fixed_rotation[2, 1] == pytest.approx(0.5)


def test_image_range_selects_images(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 6), image_range=(3, 5))
    assert experiment.scan.image_range == (3, 5) and experiment.scan.oscillation_deg == (1.0, 0.5)


def test_scans_can_be_extrapolated(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 3, first=2), image_range=(1, 10), extrapolate_scan=True)
    assert experiment.scan.image_range == (1, 10) and experiment.scan.oscillation_deg == (-0.5, 0.5)


def test_batch_offset_and_identifiers(tmp_path):
    paths = write_sweep(tmp_path, 2)
    experiment = load(paths, batch_offset=100, identifier_type="timestamp")[0]
    assert experiment.scan.batch_offset == 100 and experiment.identifier == "20260102030405500"
    assert load(paths, identifier_type="None")[0].identifier == ""
    assert len(load(paths)[0].identifier) == 36


def test_hierarchy_moves_groups_of_panels(tmp_path):
    pixels = np.zeros((619, 487), dtype=np.int32)
    paths = write_sweep(tmp_path, 1, pixels=pixels)
    before = load(paths, multi_panel=True)[0].detector
    params = {
        "hierarchy": {"name": "root", "origin": (0, 0, -5)},
        "hierarchy.group": {"id": (0,), "origin": (1, 0, 0), "panel": [1]},
    }
    after = load(paths, multi_panel=True, **{f"geometry.detector.{k}": v for k, v in params.items()})[0].detector
    assert after[0].origin - before[0].origin == pytest.approx([0, 0, -5])
    assert after[1].origin - before[1].origin == pytest.approx([1, 0, -5])
    assert after.hierarchy["children"][0]["children"] == [{"panel": 1}]


def test_mask_is_used_by_readers(tmp_path):
    mask = np.ones((3, 4), dtype=bool)
    mask[1, 2] = False
    np.savez(tmp_path / "mask.npz", mask)
    (experiment,) = load(write_sweep(tmp_path, 2), **{"lookup.mask": str(tmp_path / "mask.npz")})
    assert np.array_equal(ImageSequence(experiment).mask(0), mask)


def test_a_number_for_a_map_is_that_of_all_panels(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 2), **{"lookup.gain": "4", "lookup.pedestal": "-1.5"})
    (panel,) = experiment.detector
    assert (panel.gain, panel.pedestal) == (4.0, -1.5)
    assert experiment.imageset.gain is None
    with pytest.raises(ParameterError, match="positive number or a file"):
        load(write_sweep(tmp_path, 2), **{"lookup.gain": "0"})


def test_maps_are_checked_and_kept_in_the_file(tmp_path):
    images = write_sweep(tmp_path, 2)
    write_map(tmp_path / "gain.h5", [np.full((3, 4), 2.0)])
    write_map(tmp_path / "wrong.npz", [np.full((4, 3), 2.0)])
    experiments = load(images, **{"lookup.gain": str(tmp_path / "gain.h5")})
    write_experiments(experiments, tmp_path / "i.expt")
    (experiment,) = read_experiments(tmp_path / "i.expt")
    assert experiment.imageset.gain == str(tmp_path / "gain.h5")
    assert ImageSequence(experiment).corrections[0].gain.mean() == 2
    with pytest.raises(FileFormatError, match="transposed"):
        load(images, **{"lookup.pedestal": str(tmp_path / "wrong.npz")})


# -- references and existing lists -------------------------------------------------------------------------------------


def test_reference_geometry_replaces_the_models(tmp_path):
    paths = write_sweep(tmp_path, 3)
    reference = load(
        paths, **{"geometry.detector.distance": 123.0, "geometry.beam.wavelength": 1.1, "goniometer.axis": (0, 0, 1)}
    )
    write_experiments(reference, tmp_path / "reference.expt")
    name = str(tmp_path / "reference.expt")
    (experiment,) = load(paths, reference_geometry=name)
    assert experiment.detector[0].distance == pytest.approx(123)
    assert experiment.beam.wavelength == 1.1 and experiment.goniometer.rotation_axis.tolist() == [0, 0, 1]
    (experiment,) = load(paths, reference_geometry=name, use_beam_reference=False, use_gonio_reference=False)
    assert experiment.beam.wavelength == 1.0 and experiment.goniometer.rotation_axis.tolist() == [1, 0, 0]


@pytest.mark.parametrize("as_list", [False, True])
def test_a_reference_at_another_wavelength_is_told_of_and_sensors_stop_photons_of_the_one_taken(
    tmp_path, as_list, caplog
):
    paths = write_sweep(tmp_path, 3)
    plain = load(paths)
    write_experiments(load(paths, **{"geometry.beam.wavelength": 1.3}), tmp_path / "reference.expt")
    images = {"experiments": plain} if as_list else {"files": paths}
    taken = {"reference_geometry": str(tmp_path / "reference.expt")}
    for own, wavelength in (("wavelength", 1.0), ("use_beam_reference", False), ("use_detector_reference", False)):
        caplog.clear()
        (experiment,) = spindle.run("import", **images, **taken, **{own: wavelength}).experiments
        is_other = own == "use_detector_reference"
        assert experiment.beam.wavelength == (1.3 if is_other else 1.0)
        assert (experiment.detector[0].mu == pytest.approx(plain[0].detector[0].mu)) == (not is_other)
        assert ("wavelength of 1.00000 A" in caplog.text) == is_other


def test_reference_of_another_detector_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    other = load(write_sweep(tmp_path / "other", 1, pixels=np.zeros((5, 6), dtype=np.int32)))
    write_experiments(other, tmp_path / "reference.expt")
    with pytest.raises(ModelError, match=r"image size of panel 0: images \(4, 3\), reference \(6, 5\)"):
        load(write_sweep(tmp_path, 2), reference_geometry=str(tmp_path / "reference.expt"))


def test_a_reference_completes_headers_that_lack_what_it_has(tmp_path):
    (tmp_path / "whole").mkdir()
    write_experiments(load(write_sweep(tmp_path / "whole", 1)), tmp_path / "reference.expt")
    paths = write_sweep(tmp_path, 2, Wavelength=None, Detector_distance=None, Pixel_size=None)
    (experiment,) = load(paths, reference_geometry=str(tmp_path / "reference.expt"))
    assert experiment.beam.wavelength == 1.0 and experiment.detector[0].distance == pytest.approx(100)
    with pytest.raises(ParameterError, match=r"no meaning without input\.reference_geometry"):
        load(paths, use_beam_reference=False)


def test_existing_list_is_changed(tmp_path):
    experiments = load(write_sweep(tmp_path, 4))
    (changed,) = spindle.run(
        "import", experiments=experiments, **{"geometry.detector.distance": 90.0, "geometry.scan.image_range": (2, 3)}
    ).experiments
    assert changed.detector[0].distance == pytest.approx(90) and changed.scan.image_range == (2, 3)
    assert changed.identifier == experiments[0].identifier


# -- real data, against dials.import 3.12.1 ----------------------------------------------------------------------------


def test_l_cysteine_makes_three_sweeps():
    folder = shared_data("l_cysteine")
    experiments = load([folder])
    assert [(e.scan.image_range, e.scan.oscillation_deg) for e in experiments] == [
        ((1, 15), (-145.0, 0.1)),
        ((1, 15), (-145.0, 0.1)),
        ((1, 15), (0.0, 0.1)),
    ]
    assert [e.goniometer.scan_axis for e in experiments] == [1, 1, 0]
    # dials.import: one beam, two detectors (two-theta 30 and 0), three goniometers.
    assert [len(experiments.unique(name)) for name in ("beam", "detector", "goniometer")] == [1, 2, 3]


def test_thaumatin_grid_makes_ten_stills():
    experiments = load([shared_data("thaumatin_grid")])
    assert len(experiments) == 10 and all(e.is_still for e in experiments)
    assert len(experiments.unique("imageset")) == len(experiments.unique("goniometer")) == 1


def test_a_written_list_is_read_back(tmp_path):
    experiments = load(sorted(shared_data("l_cysteine").glob("*_01_*.bz2")))
    write_experiments(experiments, tmp_path / "imported.expt")
    (again,) = read_experiments(tmp_path / "imported.expt")
    assert again.detector[0].parallax == "normalised" and again.detector[0].trusted_range == (0.0, 388705.0)
    assert again.detector[0].origin == pytest.approx(experiments[0].detector[0].origin)


def test_values_of_the_sensor_are_for_all_panels_and_places_for_one():
    from spindle_program_import.overrides import changed_detector
    from spindle_program_import.params import DetectorOverrides

    from spindle.params import Assignment
    from spindle.params.resolve import build

    panel = Panel(
        fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-2, 2, -100), pixel_size=(0.1, 0.1), image_size=(40, 20)
    )
    detector = Detector([panel] * 3)
    beam = Beam(direction=(0, 0, 1), wavelength=1.0)

    def changed(**values):
        params = build(DetectorOverrides, [Assignment(f"panel.{k}", v) for k, v in values.items()])
        return changed_detector(detector, beam, params, None, False)

    assert [p.gain for p in changed(gain="2.5")] == [2.5, 2.5, 2.5]
    assert [p.gain for p in changed(id="1", gain="2.5")] == [1.0, 2.5, 1.0]
    for name, value in (("origin", "1,2,-90"), ("fast_axis", "1,0,0"), ("name", "x"), ("image_size", "4,5")):
        with pytest.raises(ParameterError, match=rf"panel\.{name}=: the detector has 3 panels.*panel\.id= \(0 to 2\)"):
            changed(**{name: value})


def test_maps_of_a_reference_geometry_are_taken_over(tmp_path):
    """What was learned of the modules serves the next data set of the same detector."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [write_sweep(tmp_path / name, 2) for name in ("a", "b")]
    (first,) = load(paths[0])
    shape = first.detector[0].image_size[::-1]
    for name, value in (("dx", 0.25), ("dy", -0.5)):
        write_map(tmp_path / f"{name}.npz", [np.full(shape, value)])
    named = replace(first.imageset, dx=str(tmp_path / "dx.npz"), dy=str(tmp_path / "dy.npz"))
    write_experiments(Experiments([replace(first, imageset=named)]), tmp_path / "reference.expt")
    (second,) = load(paths[1], reference_geometry=str(tmp_path / "reference.expt"))
    assert (second.imageset.dx, second.imageset.dy) == (named.dx, named.dy)
    mm = first.detector.pixel_to_mm(0, [[2.0, 2.0]])
    np.testing.assert_allclose(second.detector.mm_to_pixel(0, mm), [[2.25, 1.5]])
    other = tmp_path / "other.npz"
    write_map(other, [np.zeros(shape)])
    (own,) = load(paths[1], reference_geometry=str(tmp_path / "reference.expt"), **{"lookup.dx": str(other)})
    assert (own.imageset.dx, own.imageset.dy) == (str(other), None)
