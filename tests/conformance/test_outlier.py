"""The first-party outlier algorithms pass the contract that strangers' algorithms have to pass."""

from __future__ import annotations

from spindle.testing.outlier import OutlierContract


class TestTukey(OutlierContract):
    name = "tukey"


class TestMcd(OutlierContract):
    name = "mcd"


class TestSauterPoon(OutlierContract):
    name = "sauter_poon"


class TestNull(OutlierContract):
    name = "null"
    rejects = False
