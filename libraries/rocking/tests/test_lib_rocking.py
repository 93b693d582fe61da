"""What the library offers."""

from __future__ import annotations

import spindle_lib_rocking


def test_everything_public_is_described():
    for name in spindle_lib_rocking.__all__:
        assert getattr(spindle_lib_rocking, name).__doc__, name
