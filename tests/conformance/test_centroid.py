"""The first-party centroid algorithms pass the contract that strangers' algorithms have to pass."""

from __future__ import annotations

from spindle.testing.centroid import CentroidContract


class TestSimple(CentroidContract):
    name = "simple"


def test_a_mean_outside_its_box_is_no_centroid():
    """Counts below and above the background that nearly cancel put the weighted mean far away."""
    import numpy as np

    import spindle.plugins.host
    from spindle.table import MaskCode, Shoeboxes

    boxes = Shoeboxes.empty(np.zeros(1, int), np.array([[10, 13, 5, 6, 2, 3]]))
    boxes.mask[:] = MaskCode.VALID | MaskCode.FOREGROUND
    boxes.data[:] = [2.0, 1.0, 0.1]
    boxes.background[:] = 1.0
    host = spindle.plugins.host.PluginHost()
    plugin = host.add("centroid", "simple", host.load("centroid", "simple")())
    result = plugin.compute_centroids(boxes)
    assert not result.success[0]
    boxes.background[:] = 0.5
    result = plugin.compute_centroids(boxes)
    assert result.success[0] and 10 <= result.position[0, 0] <= 13
