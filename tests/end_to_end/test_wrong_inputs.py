"""Files that a program does not read, or not of this step, end in one message that names them, before anything is written."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.plugins import registry
from spindle.plugins.host import PluginHost

READERS = (
    "index",
    "refine",
    "integrate",
    "symmetry",
    "scale",
    "merge",
    "search_beam_position",
    "find_rotation_axis",
    "spot_counts_per_image",
)
KINDS = ("merged.mtz", "x.cbf", "mask.npz", "x.yaml", "folder", "empty.refl", "empty.expt", "x.txt", "no_such.refl")
# What cannot be meant: the experiments and reflections of steps that come later or earlier than what the program reads.
WRONG_STEPS = {
    "index": ["imported.expt", "imported.expt strong.refl imported.expt"],
    "refine": ["imported.expt strong.refl", "indexed.expt", "indexed.expt strong.refl", "indexed.expt integrated.refl"],
    "integrate": ["imported.expt strong.refl", "refined.expt strong.refl", "refined.refl", "imported.expt refined.refl"],
    "symmetry": ["integrated.expt", "integrated.expt strong.refl", "integrated.expt indexed.refl", "imported.expt integrated.refl"],
    "scale": ["symmetrized.refl", "symmetrized.expt strong.refl", "symmetrized.expt indexed.refl", "imported.expt symmetrized.refl"],
    "merge": ["scaled.expt", "scaled.expt strong.refl", "scaled.expt indexed.refl", "imported.expt scaled.refl"],
    "export": ["scaled.expt", "scaled.refl", "scaled.expt strong.refl", "imported.expt scaled.refl"],
    "find_spots": ["strong.refl", "no_such.expt"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(run_files, tmp_path_factory):
    """The files of every step, and some that no step reads."""
    folder = tmp_path_factory.mktemp("wrong")
    for file in [*run_files.glob("*.expt"), *run_files.glob("*.refl")]:
        shutil.copy(file, folder)
    shutil.copy(next((run_files / "images").glob("*.cbf")), folder / "x.cbf")
    np.savez(folder / "mask.npz", panel_0=np.ones((4, 5), bool))
    for name in ("folder", "empty"):
        (folder / name).mkdir()
    for number in (1, 2):
        (folder / "empty" / f"e_{number}.cbf").touch()
    for name, text in (
        ("merged.mtz", "MTZ "),
        ("x.yaml", "a: 1\n"),
        ("x.txt", "x\n"),
        ("broken.toml", "a = ["),
        ("empty.refl", ""),
        ("empty.expt", ""),
    ):
        (folder / name).write_text(text)
    return folder


def refused(folder, monkeypatch, capsys, *words) -> str:
    """The message with which a command ends; nothing is written but logs, and process.json where import of process has refused."""
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.iterdir() if not p.name.endswith(".log"))
    assert main(list(words)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "Traceback" not in message and len(message) < 700
    (folder / "process.json").unlink(missing_ok=True)
    after = sorted(p.name for p in folder.iterdir() if not p.name.endswith(".log"))
    assert after == before
    return message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", READERS)
def test_a_file_of_another_kind_is_named(folder, monkeypatch, capsys, program, kind):
    message = refused(folder, monkeypatch, capsys, program, "scaled.expt", "scaled.refl", kind)
    assert kind in message


@pytest.mark.parametrize(("program", "words"), [(p, w) for p, cases in WRONG_STEPS.items() for w in cases])
def test_files_of_another_step_are_refused(folder, monkeypatch, capsys, program, words):
    refused(folder, monkeypatch, capsys, program, *words.split())


#: Looks at files that a program that runs it names, and takes none on the command line.
FILES_OF_PROGRAMS = {"report"}


@pytest.mark.parametrize("name", [i.name for i in registry().infos if i.slot == "program"])
def test_a_program_that_takes_files_looks_at_them(name):
    """One that does not says so (takes_files = False), and the host refuses what it would have ignored."""
    program = PluginHost().load("program", name)
    package = Path(inspect.getfile(program)).parent
    looks = any(
        re.search(r"inputs\.files\b|experiments_of\(|read_unmerged\(", file.read_text())
        for file in package.glob("*.py")
    )
    assert looks == program.takes_files or name in FILES_OF_PROGRAMS


@pytest.mark.parametrize("name", ["indexed", "refined"])
def test_integrate_says_what_it_cannot_do_with_stills(folder, monkeypatch, capsys, name):
    """Images that were not rotated, without a model of their spots or beside others, end in a message that says which."""
    content = json.loads((folder / f"{name}.expt").read_text())
    (scan,) = content["scan"]
    assert scan["oscillation"][1] == 0.5
    still = {**scan, "oscillation": [scan["oscillation"][0], 0.0]}
    for n_before in (0, 1):
        first = content["experiment"][0]
        both = [{**first, "scan": i, "identifier": f"{i}"} for i in range(n_before + 1)]
        scans = [scan] * n_before + [still]
        (folder / "still.expt").write_text(json.dumps({**content, "scan": scans, "experiment": both}))
        message = refused(folder, monkeypatch, capsys, "integrate", "still.expt", "create_profile_model=False")
        expected = ("experiment 0 has no profile model", "experiment 1 is a still, experiment 0 was rotated")[n_before]
        assert expected in message and len(message.strip().splitlines()) == 1
        (folder / "still.expt").unlink()


#: Commands that cannot be meant, and what their one message names.
WRONG = [
    ("indexx imported.expt strong.refl", "'indexx'. Did you mean index"),
    ("find-spot imported.expt", "'find-spot'. Did you mean find_spots"),
    ("--colour", "--colour is not an option"),
    ("index imported.exp strong.refl", "'imported.exp'"),
    ("index imported.expt strong.refl no_such.refl", "'no_such.refl'"),
    ("index imported.expt strong.refl spacegroup=P1", "did you mean indexing.known_symmetry.space_group"),
    ("index imported.expt strong.refl space_group=P9", "space_group=P9"),
    ("index imported.expt strong.refl unit_cell=78,78,37", "got 3 values"),
    ("index imported.expt strong.refl unit_cell=78,78,37,90,90,190", "angles between 0 and 180"),
    ("index imported.expt strong.refl unit_cell=a,b,c,d,e,f", "expected a number"),
    ("index imported.expt strong.refl max_lattices=many", "max_lattices=many"),
    ("index imported.expt strong.refl max_lattices=-1", "must be at least 1"),
    ("index imported.expt strong.refl indexing.method=fft4d", "Did you mean fft"),
    ("index imported.expt strong.refl indexing.method=", "indexing.method="),
    ("index imported.expt strong.refl =5", "'=5' has no parameter name"),
    ("index imported.expt strong.refl mp.nproc=two", "mp.nproc=two"),
    ("index imported.expt strong.refl output.experiments=", "is a folder"),
    ("index imported.expt strong.refl output.experiments=no/such/x.expt", "the folder no/such does not exist"),
    ("index imported.expt strong.refl output.experiments=x.expt output.reflections=x.expt", "are the same file"),
    ("index imported.expt strong.refl output.log=strong.refl", "one of the input files"),
    ("index", "no experiments were given"),
    ("refine indexed.expt indexed.refl scan_varying=maybe", "expected true or false"),
    ("refine indexed.expt indexed.refl detector.fix=everything", "choose from all, position, orientation, distance"),
    ("integrate refined.expt refined.refl prediction.d_min=nan", "NaN is not a number"),
    ("integrate refined.expt refined.refl background.algorithm=glmm", "Did you mean glm"),
    (
        "integrate refined.expt refined.refl background.simple.outlier.algorithm=null",
        "add integration.background.algorithm=simple",
    ),
    ("integrate refined.expt refined.refl profile.algorithm=gaussian", "Did you mean gaussian_rs"),
    ("integrate refined.expt refined.refl scan_range=500,600", "scan_range=500,600"),
    ("integrate refined.expt refined.refl mask=no.mask", "no.mask: no such file"),
    ("find_spots imported.expt exclude_images=500:600", "there are no such images"),
    ("find_spots imported.expt exclude_images=9:1", "exclude_images=9:1"),
    ("find_spots imported.expt min_spot_size=100 max_spot_size=1", "min_spot_size=100"),
    ("find_spots imported.expt threshold.algorithm=None", "threshold 'None'"),
    ("find_spots imported.expt d_min=5 d_max=2", "check d_min, d_max"),
    ("symmetry integrated.expt integrated.refl laue_group=P5/m", "laue_group=P5/m"),
    ("symmetry integrated.expt integrated.refl laue_group=cubic", "laue_group=cubic"),
    ("scale symmetrized.expt symmetrized.refl model=physic", "Did you mean physical"),
    ("scale symmetrized.expt symmetrized.refl anomalous=perhaps", "anomalous=perhaps"),
    ("scale symmetrized.expt symmetrized.refl d_min=50", "none of the"),
    (
        "scale symmetrized.expt symmetrized.refl exclude_images=0:500:600",
        "there are no such images; experiment 0 has 1 to",
    ),
    ("scale symmetrized.expt symmetrized.refl exclude_images=7:1:2", "there is no experiment 7"),
    ("merge scaled.expt scaled.refl output.mtz=/no_such_folder/x.mtz", "/no_such_folder does not exist"),
    ("merge scaled.expt scaled.refl d_min=1000", "beyond 1000.0 A"),
    ("export scaled.expt scaled.refl format=mzt", "Did you mean mtz"),
    ("import no_such_####.cbf", "no file matches 'no_such_####.cbf'"),
    ("import strong.refl", "a reflection file is no image"),
    ("import x.cbf output.experiments=x.expt geometry.beam.wavelength=0", "geometry.beam.wavelength=0"),
    ("import x.cbf output.experiments=x.expt geometry.detector.distance=-5", "geometry.detector.distance=-5"),
    ("import x.cbf output.experiments=x.expt geometry.scan.oscillation=1", "expected 2 values, got 1"),
    ("import x.cbf output.experiments=x.expt mosflm_beam_centre=1", "mosflm_beam_centre=1"),
    ("show", "nothing to show"),
    ("show no_such.expt", "'no_such.expt'"),
    ("process no_such.cbf", "'no_such.cbf'"),
    ("process imported.expt start_at=nowhere", "start_at=nowhere"),
    ("replay no_such.json", "no_such.json"),
    ("replay strong.refl", "strong.refl is not a run record"),
    ("cite strong.refl", "strong.refl is not a run record"),
    ("cite", "give the record of a run"),
    ("completion csh", "'csh'"),
    ("new-plugin nothing mine", "there is no slot 'nothing'"),
    ("plugins --check no_such", "'no_such'"),
    ("help no_such_word_at_all", "'no_such_word_at_all'"),
    ("generate_mask imported.expt untrusted.circle=1,2", "expected 3 values, got 2"),
    ("generate_mask imported.expt untrusted.panel=7", "counted from 0"),
    ("reindex indexed.refl change_of_basis_op=a,a,a", "cannot be inverted"),
    ("reindex indexed.refl change_of_basis_op=hello", "is no operator"),
    ("filter_reflections integrated.refl flag_expression=no_flag", "there is no flag no_flag"),
    ("filter_reflections integrated.refl 'expression=no_column > 3'", "there is no column no_column"),
    ("sort_reflections integrated.refl key=nothing", "key=nothing"),
    ("slice_sequence refined.expt refined.refl image_range=20,1", "image_range=20,1"),
    ("simulate n_images=-3", "must be at least 1"),
    ("simulate space_group=P9", "space_group=P9"),
    ("estimate_resolution scaled.expt scaled.refl cc_half=7", "cc_half=7"),
    ("process x.cbf image_range=3", "expected 2 values, got 1"),
    ("process x.cbf small_molecule=yes_please", "expected true or false"),
    ("process x.cbf beam_centre=100", "expected at least 2 values"),
    ("process x.cbf wavelength=12,4", "expected a number"),
    ("process x.cbf export=shelxx", "Did you mean shelx"),
    ("process x.cbf fail_if=green", "choose from red, amber"),
    ("process x.cbf stop_after=import start_at=scale", "comes before the first step"),
    ("process x.cbf probe=muon", "choose from x-ray, electron, neutron"),
    ("process x.cbf nproc=0", "must be at least 1"),
    ("process x.cbf output.directory=x.txt", "cannot be made or entered"),
    ("process x.cbf composition=C3H7NO2S", "add export=shelx"),
    ("process imported.expt x.cbf", "give either images or an experiment list"),
    ("batch", "give folders with images"),
    ("batch nowhere", "'nowhere' is neither"),
    ("batch x.cbf", "fewer than min_images=2"),
    ("batch folder", "there are no series of images"),
    ("import x.cbf output.experiments=x.expt geometry.goniometer.axis=0,0,0", "give a direction"),
    ("import x.cbf output.experiments=x.expt format=cbff", "Did you mean cbf"),
    ("find_spots imported.expt gain=-1", "must be at least 0"),
    (
        "refine indexed.expt indexed.refl beam.fix=all detector.fix=all crystal.fix=all goniometer.fix=all",
        "nothing to refine",
    ),
    ("merge scaled.expt scaled.refl best_unit_cell=1,2", "got 2 values"),
    ("export scaled.expt scaled.refl format=shelx shelx.composition=Unobtainium", "a formula such as"),
    ("check_truth scaled.refl nowhere", "'nowhere' is neither"),
    ("compare imported.expt background.algorithm=glm,simpel", "Did you mean simple"),
    ("process strong.refl", "without its experiments"),
    ("process imported.expt strong.refl indexed.refl", "one of 2 reflection files"),
    ("process folder", "expected image files, found none"),
    ("process x.cbf d_min = 2", "a parameter is one word: d_min=value"),
    ("process x.cbf d_min=2.0A", "expected a number"),
    ("process x.cbf wavelength=12398", "0.001 to 100 A expected"),
    ("process x.cbf distance=0.2", "must be at least 1 "),
    ("process x.cbf image_range=1,999999999", "choose a range within"),
    ("process x.cbf image_range=-5,-1", "choose a range within"),
    ("process x.cbf nproc=99999999999999999999", "must be at most 4096"),
    ("process x.cbf mask=x.cbf", "x.cbf: not a mask"),
    ("process x.cbf prms.yml", "'prms.yml' is neither"),
    ("process empty", "the file is empty"),
    ("index imported.expt strong.refl max_cell=2", "not above indexing.min_cell=3"),
    ("integrate refined.expt refined.refl d_min=0", "below half the wavelength"),
    ("find_spots imported.expt gain=1e400", "too large for a number"),
    ("find_spots imported.expt scan_range=-4,-1", "there is no image -4"),
    ("batch broken.toml", "not valid TOML"),
    ("batch no_such.toml", "no such file"),
    ("export scaled.expt scaled.refl format=shelx shelx.composition=C3H7N02S", "is NO2 meant?"),
    ("simulate model=custom image_size=100000,100000", "are more than"),
    ("scale symmetrized.expt symmetrized.refl d_min=9 d_max=2", "d_min, the high resolution limit, is the smaller"),
    ("merge scaled.expt scaled.refl d_min=9 d_max=2", "d_min, the high resolution limit, is the smaller"),
    ("integrate refined.expt refined.refl prediction.d_min=9 prediction.d_max=2", "is the smaller of the two"),
    ("merge scaled.expt scaled.refl wavelength_tolerance=-1", "must be at least 0"),
    ("combine_experiments refined.expt refined.refl refined.expt", "refined.expt is given twice"),
    ("generate_mask imported.expt untrusted.rectangle=5,1,0,10", "the order is x0,x1,y0,y1"),
    ("compute_delta_cchalf scaled.expt scaled.refl", "set mode=image_group"),
    ("predict refined.expt d_min=-1", "must be at least 0"),
    ("report x.txt", "report reads nothing else"),
    ("compare scaled.refl", "give a setting with two values or more"),
    ("multiplex scaled.expt scaled.refl", "it needs two or more"),
    ("two_theta_refine imported.expt strong.refl", "has no column miller_index"),
    ("anvil_correction integrated.expt integrated.refl thickness=-1", "must be at least 0"),
    ("export_bitmaps imported.expt imageset_index=7", "counted from 0"),
    ("filter_reflections integrated.refl 'flag_expression=integrated &'", "write names with &, |, ~"),
    ("simulate detector.model=9999K", "choose from 300K"),
    ("replay scaled.expt", "is not a run record"),
    ("index imported.expt strong.refl space_group='P 6 2 3'", "no known symbol of a space group"),
]


@pytest.mark.parametrize(("command", "said"), WRONG, ids=[command for command, _ in WRONG])
def test_a_command_that_cannot_be_meant_is_refused_in_one_sentence(folder, monkeypatch, capsys, command, said):
    message = refused(folder, monkeypatch, capsys, *shlex.split(command))
    assert said in message, message
    assert len(message.strip().splitlines()) == 1, message
