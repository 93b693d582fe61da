"""The format of the plugin guide works as printed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.testing import repository_root


@pytest.fixture(scope="module")
def guide():
    root = repository_root()
    if root is None or not (root / "docs" / "plugin-guide" / "formats.md").exists():
        pytest.skip("the documentation is not here")
    text = (root / "docs" / "plugin-guide" / "formats.md").read_text()
    block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    names: dict = {"__name__": "guide"}
    exec(compile(block, "formats.md", "exec"), names)
    return names


def test_format_of_the_guide_reads_its_images(guide, tmp_path):
    path = tmp_path / "image_0004.npy"
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(path, pixels)
    plugin = guide["NpyFormat"]()
    assert plugin.understand(path, path.read_bytes()) and not plugin.understand(path, b"")
    reader = plugin.open_image(path, b"", FormatOptions())
    models = reader.models(0)
    assert models.scan.oscillation_deg == (1.0, 0.25) and models.detector[0].image_size == (4, 3)
    first = reader.read(0)
    assert np.array_equal(first[0], pixels) and first[0].dtype == np.int32
    assert reader.read(0, first)[0] is first[0]
