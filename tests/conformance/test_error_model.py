"""The first-party error models pass the contract that strangers' models have to pass."""

from __future__ import annotations

from spindle.testing.error_model import ErrorModelContract


class TestBasic(ErrorModelContract):
    name = "basic"


class TestBasicIndividual(ErrorModelContract):
    name = "basic"
    parameters = {"minimisation": "individual"}
