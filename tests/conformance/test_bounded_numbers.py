"""No whole number of any plugin asks for more memory than there is: each has a largest value, or sizes nothing."""

from __future__ import annotations

import pytest

from spindle.params import Int, Ints, walk
from spindle.params.resolve import build
from spindle.plugins import registry

# Limits of what is counted, numbers of things that are there, seeds and places in an image: no array is as large as they are.
SIZES_NOTHING = set(
    """bad_pixel_threshold batch_offset batch_range chunksize circle delta error_model_group exclude_datasets exclude_images_multiple
    exclude_pixel_range_x exclude_pixel_range_y experiment first_image free_set_offset gradient_calculation_blocksize
    grid_search_scope group_size hierarchy_level id image_range imageset_index intersection_min_width lattice margin
    max_combinations max_free max_reflections max_spot_size maximum_sample_size min_chunksize min_cluster_size min_component_size min_group_size min_groups
    min_local min_nref_per_parameter min_pairs min_partition_size min_pixels min_points min_reflections min_samples min_spot_size
    minimum_number_of_reflections minimum_sample_size missing most_spots n_iqr njobs number_of_partitions old_test_flag_value overall panel per_degree pixel polygon
    random_seed rectangle reflections_per_bin region_of_interest saturation scan_axis scan_range seed steps use_datasets""".split()  # noqa: SIM905
)
CHOICES = sorted({(i.slot, i.name) for i in registry().infos if i.distribution.startswith("spindle")})


@pytest.mark.parametrize(("slot", "name"), CHOICES)
def test_every_whole_number_has_a_largest_value_or_sizes_nothing(slot, name):
    params = getattr(registry().load(slot, name), "Params", None)
    if params is None:
        return
    entries = [e for e in walk(build(params), templates=True) if isinstance(e.leaf, Int | Ints)]
    endless = {e.path for e in entries if e.leaf.max is None and e.name not in SIZES_NOTHING}
    assert not endless, "give it max=, or add its name to SIZES_NOTHING where no array is as large as it says"
    assert all(e.leaf.max <= 10_000_000 for e in entries if e.leaf.max is not None)
