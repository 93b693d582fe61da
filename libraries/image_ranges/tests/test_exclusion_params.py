"""The parameters by which images are left out are declared in one place."""

from __future__ import annotations

import pytest

from spindle.errors import ParameterError
from spindle.params import Assignment, Params, build
from spindle_lib_image_ranges import ImageRange, excluded_images
from spindle_lib_image_ranges import params as ranges


class Choice(Params):
    """Images."""

    exclude_images = ranges.exclude_images()
    exclude_images_multiple = ranges.exclude_images_multiple()


def test_what_the_parameter_takes_the_reader_understands():
    chosen = build(
        Choice, [Assignment("exclude_images", "7", "test"), Assignment("exclude_images", "0:3:5,9:11", "test")]
    )
    assert excluded_images(chosen.exclude_images, 1) == [ImageRange(0, 7, 7), ImageRange(0, 3, 5), ImageRange(0, 9, 11)]
    assert build(Choice).exclude_images_multiple is None
    with pytest.raises(ParameterError, match="exclude_images_multiple"):
        build(Choice, [Assignment("exclude_images_multiple", "1", "test")])
