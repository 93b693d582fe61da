"""Images in, merged intensities out, against the truth of a simulated set; interruptions and damage."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections

N_IMAGES = 40


def run(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder and check its exit code."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "spindle.cli.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == code, (
        f"{arguments[0]} ended with {done.returncode}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated")
    run(root, "simulate", f"n_images={N_IMAGES}")
    return root / "simulated"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Thirty images of a small detector, for what does not depend on their size."""
    root = tmp_path_factory.mktemp("small")
    words = ["detector.model=custom", "image_size=300,320", "distance=35", "wavelength=0.7", "structure.d_min=1"]
    cell = ["unit_cell=11,13,17,90,90,90", "space_group=P 21 21 21", "b_factor=4", "mean_counts=600"]
    run(root, "simulate", "n_images=30", "mosaic_spread=0.08", *words, *cell)
    return root


@pytest.fixture(scope="module")
def processed(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processed")
    run(folder, "process", *sorted(simulated.glob("*.cbf")))
    return folder


def test_all_the_usual_files_are_written(processed):
    names = {p.name for p in processed.iterdir()}
    expected = {
        f"{stem}.{kind}"
        for stem in ("indexed", "refined", "integrated", "symmetrized", "scaled")
        for kind in ("expt", "refl")
    }
    expected |= {
        "imported.expt",
        "strong.refl",
        "scaled_unmerged.mtz",
        "merged.mtz",
        "process.json",
        "spindle.process.log",
    }
    expected |= {
        f"spindle.{step}.log"
        for step in ("import", "find_spots", "index", "refine", "integrate", "symmetry", "scale", "merge")
    }
    assert expected <= names, expected - names
    assert not [n for n in names if n.startswith(".")], "temporary files were left behind"


def test_report_of_the_files_of_a_run_gives_its_verdict(processed):
    """Data reach further than they are merged; the page judges those that are merged, and so does a report made afterwards."""
    verdict = json.loads((processed / "process.json").read_text())["verdict"]
    names = ("scaled.expt", "refined.refl", "scaled.refl")  # of two steps
    run(processed, "report", *names, "output.html=None", "output.json=again.json")
    again = json.loads((processed / "again.json").read_text())
    assert again["verdict"] == verdict and "as they were merged" in again["judged"]
    page = (processed / "report.html").read_text()
    for line in verdict["lines"]:
        assert html.escape(line["said"]) in page


def test_nearly_all_spots_are_indexed(processed):
    table = read_reflections(processed / "indexed.refl")
    assert (table["id"] >= 0).mean() > 0.99
    cell = np.sort(read_experiments(processed / "refined.expt")[0].crystal.cell[:3])
    np.testing.assert_allclose(cell, [37.95, 78.9, 78.9], rtol=1.5e-3)


def test_intensities_are_those_that_were_simulated(processed, simulated):
    """Bias within 2 % and honest sigmas in every shell, for summation and profile fitting; positions to 0.03 px."""
    result = spindle.run(
        "check_truth", read_experiments(processed / "integrated.expt"), read_reflections(processed / "integrated.refl"),
        files=[simulated], n_shells=5, picture="",
    )  # fmt: skip
    shells = [t for t in result.tables if "found/true" in t.headers]
    assert len(shells) == 2
    for table in shells:
        for ratio, spread in zip(table.column("found/true")[:5], table.column("rms z")[:5], strict=True):
            assert float(ratio) == pytest.approx(1.0, abs=0.02), str(table)
            assert 0.9 < float(spread) < 1.1, str(table)


def test_the_merged_mtz_holds_the_true_intensities(processed, simulated):
    truth, plan = np.load(simulated / "truth.npz"), json.loads((simulated / "truth.json").read_text())
    mtz = gemmi.read_mtz_file(str(processed / "merged.mtz"))
    assert mtz.spacegroup.point_group_hm() == "422"
    np.testing.assert_allclose(mtz.cell.parameters, plan["cell"], rtol=1.5e-3)
    group = gemmi.find_spacegroup_by_name(plan["space_group"])
    asu, ops = gemmi.ReciprocalAsu(group), group.operations()
    true = {}
    for h, value in zip(truth["hkl_all"].tolist(), truth["I_all"], strict=True):
        true.setdefault(tuple(asu.to_asu(h, ops)[0]), []).append(float(value))
    found, expected = [], []
    for h, value in zip(mtz.make_miller_array().tolist(), np.array(mtz.column_with_label("IMEAN")), strict=True):
        key = tuple(asu.to_asu(h, ops)[0])
        if key in true:
            found.append(value)
            expected.append(np.mean(true[key]))
    assert len(found) > 0.95 * mtz.nreflections
    assert np.corrcoef(found, expected)[0, 1] > 0.99


def test_the_unmerged_mtz_has_a_batch_for_every_image(processed):
    mtz = gemmi.read_mtz_file(str(processed / "scaled_unmerged.mtz"))
    assert [b.number for b in mtz.batches] == list(range(1, N_IMAGES + 1))
    assert {"I", "SIGI", "SCALEUSED", "XDET", "YDET", "ROT", "LP", "BATCH", "M/ISYM"} <= set(mtz.column_labels())


def test_taking_up_where_nothing_is_says_what_is_missing(tmp_path):
    done = run(tmp_path, "process", "start_at=integrate", code=2)
    assert "refined.expt" in done.stderr + done.stdout


def cut_short(path):
    """Replace an image by its first half."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def links_to(small, folder):
    """A folder with links to all images; returns it and the seventeenth image."""
    folder.mkdir()
    for path in small.glob("simulated/*.cbf"):
        (folder / path.name).symlink_to(path)
    return folder, sorted(folder.glob("*.cbf"))[16]


def test_an_image_that_is_cut_short_is_named_by_import(small, tmp_path):
    images, victim = links_to(small, tmp_path / "images")
    cut_short(victim)
    done = run(tmp_path, "process", *sorted(images.glob("*.cbf")), "stop_after=import")
    assert victim.name in done.stdout + done.stderr and "cut short" in done.stdout + done.stderr


def test_an_image_that_is_cut_short_later_stops_the_run_and_leaves_nothing_half_done(small, tmp_path):
    images, victim = links_to(small, tmp_path / "images")
    run(tmp_path, "import", *sorted(images.glob("*.cbf")))
    cut_short(victim)
    done = run(tmp_path, "find_spots", "imported.expt", code=2)
    assert victim.name in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "strong.refl").exists()


def test_a_missing_image_in_the_middle_is_named(small, tmp_path):
    images = [p for p in sorted(small.glob("simulated/*.cbf")) if not p.name.endswith("0017.cbf")]
    done = subprocess.run(
        [sys.executable, "-m", "spindle.cli.main", "import", *map(str, images)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "17" in done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_ctrl_c_stops_cleanly(simulated, tmp_path):
    command = [sys.executable, "-m", "spindle.cli.main", "process", *map(str, sorted(simulated.glob("*.cbf")))]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "strong.refl").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    for _ in range(5):  # Python loses an interrupt that comes within a callback, as of an import; people press again
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            continue
        break
    else:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors or "Exception ignored" in errors
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    read_reflections(tmp_path / "strong.refl")
