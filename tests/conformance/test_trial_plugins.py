"""Slots without a plugin of our own: those of a stranger pass the kit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spindle.plugins import refresh
from spindle.testing.absorption import AbsorptionContract
from spindle.testing.importer import ImporterContract


@pytest.fixture(scope="module", autouse=True)
def strangers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "trial_plugins"))
        refresh()
        yield
    refresh()


class TestPlate(AbsorptionContract):
    name = "plate"
    parameters = {"mu": 3.0}
    nothing = {"thickness": 0.0, "sigma": 0.0}


class TestLines(ImporterContract):
    name = "lines"

    @pytest.fixture
    def result_file(self, tmp_path):
        path = tmp_path / "some.lines"
        header = {"n": 40, "wavelength": 0.98, "cell": [50, 60, 70, 90, 90, 90], "space_group": "P 1"}
        rows = [f"{h} 2 {-h} {100 + h} 5" for h in range(40)]
        path.write_text("\n".join(["LINES 1", json.dumps(header), *rows]) + "\n")
        return path
