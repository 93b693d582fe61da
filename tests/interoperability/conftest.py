"""Questions to the libraries that DIALS is made of."""

from __future__ import annotations

import json

import pytest

from spindle.testing.dials import dials_python


@pytest.fixture(scope="session")
def ask_cctbx(tmp_path_factory):
    """A function that runs a script of cctbx with values: it reads them from its first file and writes an answer to its second, both JSON."""

    def ask(script, values):
        folder = tmp_path_factory.mktemp("cctbx")
        (folder / "script.py").write_text(script)
        (folder / "in.json").write_text(json.dumps(values))
        dials_python("script.py", "in.json", "out.json", cwd=folder)
        return json.loads((folder / "out.json").read_text())

    return ask
