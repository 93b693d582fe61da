"""An image that an image set does not name is said, whatever asks for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle.errors import ModelError
from spindle.images import ImageSequence
from spindle.models import ImageSet
from spindle.testing.scaling import scan_experiment

FEWER = {
    "neither template nor files": ImageSet(),
    "fewer files": ImageSet(paths=("a_1.cbf", "a_2.cbf")),
    "fewer frames": ImageSet(paths=("a.h5",) * 3, single_file_indices=(0, 1)),
}


@pytest.mark.parametrize("images", FEWER.values(), ids=list(FEWER))
def test_images_that_are_not_named_are_asked_for(images):
    experiment = replace(scan_experiment(3), imageset=images)
    with pytest.raises(
        ModelError, match=r"image 3 is asked for, .* names [02] and no template; run spindle import again"
    ):
        ImageSequence(experiment).reader(2)
    with pytest.raises(ModelError, match="image 0 is asked for"):  # not the last one
        images.file_of_image(0)
    assert experiment.image_name in ("image", "a_1.cbf", "a.h5 image 1")
