"""Images in memory stand where images of files do."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, ShapeError
from spindle.files import read_experiments, write_experiments, write_mask
from spindle.images import ImageSequence
from spindle.models import Detector, Experiments, ImageSet
from spindle.testing.profile import rotation_experiment, simulate_spots


@pytest.fixture
def experiment():
    return rotation_experiment(4)


def arrays(n=4):
    return np.arange(n * 300 * 280, dtype=np.uint16).reshape(n, 300, 280)


def test_what_is_given_is_read(experiment):
    sequence = ImageSequence.from_arrays(experiment, arrays())
    assert len(sequence) == 4
    kept = None
    for i in (2, 0, 3):
        (kept,) = sequence.read(i, None if kept is None else [kept])
        assert kept.dtype == np.int32
        assert np.array_equal(kept, arrays()[i])
    kept[...] = -1
    assert np.array_equal(sequence.read(3)[0], arrays()[3]), "what a caller does with its pixels is its own"
    again = pickle.loads(pickle.dumps(sequence))
    assert np.array_equal(again.read(1)[0], arrays()[1])
    with pytest.raises(IndexError):
        sequence.read(4)


def test_numbers_are_those_of_the_scan(experiment):
    scan = replace(experiment.scan, image_range=(11, 14))
    sequence = ImageSequence.from_arrays(replace(experiment, scan=scan), arrays().astype(float))
    part = ImageSequence(replace(sequence.experiment, scan=scan.slice(12, 13)))
    assert [p.dtype for p in part.read(0)] == [np.float32]
    assert np.array_equal(part.read(1)[0], arrays()[2])


def test_panels_and_stills(experiment):
    panel = experiment.detector[0]
    two = Detector((replace(panel, image_size=(280, 100)), replace(panel, image_size=(280, 200))))
    still = replace(experiment, detector=two, scan=None, goniometer=None)
    sequence = ImageSequence.from_arrays(still, [[a[:100], a[100:]] for a in arrays(2)])
    assert len(sequence) == 2
    assert [p.shape for p in sequence.read(1)] == [(100, 280), (200, 280)]
    with pytest.raises(ShapeError, match="image 0 has 1 panels, the detector 2"):
        ImageSequence.from_arrays(still, arrays(1))


def test_lookup_files_are_used(experiment, tmp_path):
    good = np.ones((300, 280), bool)
    good[5, 7] = False
    write_mask(tmp_path / "mask.npz", [good])
    given = replace(experiment, imageset=ImageSet(template="x_####.cbf", mask=str(tmp_path / "mask.npz")))
    sequence = ImageSequence.from_arrays(given, arrays())
    assert np.array_equal(sequence.mask(), good)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 280, 300)), r"panel 0 of image 0 is \(280, 300\)"),
        (np.full((4, 300, 280), 2**40), "do not fit 32 bits"),
        (np.zeros((4, 300, 280), complex), "complex128"),
    ],
)
def test_what_are_no_images_of_the_detector_is_refused(experiment, images, message):
    with pytest.raises(ShapeError, match=message):
        ImageSequence.from_arrays(experiment, images)


def test_their_number_is_that_of_the_scan(experiment):
    with pytest.raises(ModelError, match="3 images in memory, the scan has 4"):
        ImageSequence.from_arrays(experiment, arrays(3))


def test_a_file_says_that_images_were_in_memory(experiment, tmp_path):
    write_experiments(Experiments([ImageSequence.from_arrays(experiment, arrays()).experiment]), tmp_path / "a.expt")
    with pytest.raises(ModelError, match="no images on disk"):
        ImageSequence(read_experiments(tmp_path / "a.expt")[0])


def test_programs_run_on_images_in_memory():
    truth = simulate_spots(mean=2000.0, n_images=12)
    experiment = replace(truth.experiments[0], crystal=None)
    sequence = ImageSequence.from_arrays(experiment, truth.images.astype(np.uint16))
    found = spindle.run("find_spots", Experiments([sequence.experiment])).reflections
    strong = truth.table["xyzcal.px"][truth.intensity > 1000]
    away = np.linalg.norm(found["xyzobs.px.value"][:, None, :2] - strong[None, :, :2], axis=2).min(axis=0)
    assert np.mean(away < 1.0) > 0.9


def test_stills_of_one_image_set_share_it_after_a_journey(experiment, tmp_path):
    """Else each of thousands of stills would keep the file open that they share."""
    still = replace(experiment, scan=None, goniometer=None)
    shared = ImageSet(paths=tuple(str(tmp_path / f"{i}.cbf") for i in range(3)))
    experiments = [replace(still, imageset=shared, identifier=str(i)) for i in range(2)]
    first, second = (pickle.loads(pickle.dumps(ImageSequence(e))) for e in experiments)
    assert first.imageset is second.imageset and first.experiment.identifier != second.experiment.identifier
    other = replace(still, imageset=replace(shared, paths=shared.paths[:1]))
    assert pickle.loads(pickle.dumps(ImageSequence(other))).imageset.paths == other.imageset.paths
