"""Parameters as tutorials of DIALS write them: each resolves, or is refused with what to write instead."""

from __future__ import annotations

import pytest

from spindle.errors import UserError
from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment

UNDERSTOOD = """
import template=image_1_####.cbf
find_spots nproc=4
find_spots output.reflections=strong.refl
find_spots_server nproc=8
find_spots_server port=1234
find_spots_client host=hostname
find_spots_client port=1234
refine scan_varying=True
refine do_outlier_rejection=true
refine use_all_reflections=true
refine bin_size_fraction=0.0
refine output.experiments=sv_refined_experiments.json
integrate profile.fitting=False
integrate background.algorithm=glm
integrate output.reflections=integrated.refl
scale physical.absorption_correction=False
scale physical.scale_interval=15.0
scale d_min=1.4
export intensity=scale
export format=xds
generate_mask border=5
generate_mask untrusted.rectangle=50,100,50,100
generate_mask untrusted.circle=200,200,100
generate_mask d_max=2.00
search_beam_position method=midpoint
merge_cbf merge_n_images=10
export_bitmaps display=variance
export_bitmaps colour_scheme=inverse_greyscale
spot_counts_per_image plot=per_image.png
process scan_varying=true
process mp.nproc=1
"""
REFUSED = [
    ("process", "intensity.algorithm=sum", "profile.fitting=False"),
    ("integrate", "intensity.algorithm=sum", "profile.fitting=False"),
    ("process", "block_size=10", "leave it out"),
    ("integrate", "block_size=10", "leave it out"),
    ("export", "format=numbers", "installed are: best, csv"),
    ("process", "gain=2", "import.geometry.detector.panel.gain"),
]


def resolve(program, word):
    key, _, value = word.partition("=")
    return effective_params(program, [Assignment(key, value)], make_host())


@pytest.mark.parametrize("line", UNDERSTOOD.strip().splitlines())
def test_names_of_the_tutorials_are_understood(line):
    resolve(*line.split(maxsplit=1))


@pytest.mark.parametrize(("program", "word", "said"), REFUSED)
def test_what_is_not_understood_is_refused_with_what_to_write(program, word, said):
    with pytest.raises(UserError, match=said):
        resolve(program, word)
