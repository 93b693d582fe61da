"""The first-party ways to find the beam pass the contracts that strangers' have to pass."""

from __future__ import annotations

from spindle.testing.beam_position import ImageBeamPositionContract, SpotBeamPositionContract


class TestDefault(SpotBeamPositionContract):
    name = "default"


class TestMidpoint(ImageBeamPositionContract):
    name = "midpoint"
    tolerance_px = 3.0


class TestMaximum(ImageBeamPositionContract):
    name = "maximum"
    needs_direct_beam = True
    tolerance_px = 0.3


class TestInversion(ImageBeamPositionContract):
    name = "inversion"
    budget_us = 20.0  # tries many centres
    tolerance_px = 0.5
