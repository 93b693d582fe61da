"""Stills go as far as they can in `process`; the end says how far, why, and what to run."""

from __future__ import annotations

import pytest

from spindle.cli.main import main
from spindle.files import read_experiments

SET = ["wavelength=0.7", "distance=55", "beam_centre=243,310", "mosaic_spread=0.08", "b_factor=3", "mean_counts=3000"]
CELL = ["unit_cell=21.4,24.2,27.6,90,90,90", "space_group=P 21 21 21"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three stills of as many crystals, one without a spot among them, and ten images of another that was turned."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for n in (1, 2, 3):
            name = [f"prefix=s{n}", f"output.directory=s{n}", f"seed={n}", "n_images=1", "oscillation=0.5"]
            counts = ["mean_counts=0.01"] if n == 2 else []
            assert main(["simulate", *SET, *CELL, *name, *counts]) == 0
        turned = ["prefix=t", "output.directory=t", "seed=7", "n_images=10", "oscillation=1"]
        assert main(["simulate", *SET, *CELL, *turned]) == 0
    for path in folder.glob("s?/*.cbf"):
        text = path.read_bytes()
        path.write_bytes(text.replace(b"# Angle_increment 0.5", b"# Angle_increment 0.0"))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("known", [[], CELL], ids=["unknown", "known"])
def test_stills_end_after_integrate(images, tmp_path, monkeypatch, capsys, known):
    monkeypatch.chdir(tmp_path)
    assert main(["process", *(str(p) for p in sorted(images.glob("s?/*.cbf"))), *known]) == 2
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())
    assert "ends after integrate: 2 of 2 experiments are stills" in text
    assert "spindle scale_stills integrated.expt integrated.refl" in text and "s2_" in text
    assert "Warning of index" in (tmp_path / "spindle.process.log").read_text() and "Warning of index" not in text
    refined = read_experiments(tmp_path / "refined.expt")
    assert len(read_experiments(tmp_path / "integrated.expt")) == 2
    assert len(refined) == 2 and len(refined.unique("crystal")) == 2
    for experiment in refined:
        assert sorted(experiment.crystal.cell[:3]) == pytest.approx((21.4, 24.2, 27.6), rel=0.03)


def test_stills_among_sweeps_end_after_index(images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = [str(p) for folder in ("s1", "t") for p in sorted((images / folder).glob("*.cbf"))]
    assert main(["process", *files]) == 2
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())
    assert "ends after index: 1 of 2 experiments are stills" in text
    assert f"spindle process {images / 't' / 't_####.cbf'}" in text
    assert len(read_experiments(tmp_path / "indexed.expt")) == 2
