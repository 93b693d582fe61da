"""The first-party outlier algorithms pass the contract that strangers' algorithms have to pass."""

from __future__ import annotations

from spindle.testing.outlier import OutlierContract


class TestTukey(OutlierContract):
    name = "tukey"


class TestMcd(OutlierContract):
    name = "mcd"


class TestSauterPoon(OutlierContract):
    name = "sauter_poon"
    inert = {"verbose": "prints more"}
    expected_failures = {
        f"test_every_column_is_looked_at_on_both_sides[2-{sign}1.0]": "it looks at positions on the detector alone"
        for sign in ("", "-")
    }


class TestNull(OutlierContract):
    name = "null"
    rejects = False
