"""What the library offers."""

from __future__ import annotations

import spindle_lib_physical_scaling


def test_everything_public_is_described():
    for name in spindle_lib_physical_scaling.__all__:
        assert getattr(spindle_lib_physical_scaling, name).__doc__, name
