"""The first-party exporters pass the contract that strangers' exporters have to pass."""

from __future__ import annotations

from spindle.testing.exporter import ExporterContract


class TestMtz(ExporterContract):
    name = "mtz"


class TestXdsAscii(ExporterContract):
    name = "xds_ascii"


class TestXds(ExporterContract):
    name = "xds"
    holds_intensities = False
