"""What each program of `tools/damage.py` is run on: its command line, the files of a finished run, and what is made of these."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

# Per program the words of its command line; {e} and {r} stand for the experiment and the reflection file that is damaged, {e2} and
# {r2} for whole ones of another crystal beside them.
PROGRAMS = {
    "show": "{e} {r}",
    "find_spots": "{e}",
    "generate_mask": "{e} border=2",
    "estimate_gain": "{e}",
    "search_beam_position": "{e} {r}",
    "find_rotation_axis": "{e} {r}",
    "spot_counts_per_image": "{e} {r}",
    "detect_blanks": "{e} {r}",
    "detect_blanks integrated": "{e} {r}",
    "export_bitmaps": "{e} output.directory=pictures",
    "merge_cbf": "{e} merge_n_images=2",
    "apply_mask": "{e} mask.npz",
    "index": "{e} {r}",
    "refine_bravais_settings": "{e} {r}",
    "reindex": "{e} {r} change_of_basis_op=a,c,-b",
    "reindex like": "{e} {r} reference.experiments={e2} reference.reflections={r2}",
    "refine": "{e} {r}",
    "integrate": "{e} {r}",
    "symmetry": "{e} {r}",
    "check_indexing_symmetry": "{e} {r} grid=1",
    "scale": "{e} {r}",
    "merge": "{e} {r}",
    "export": "{e} {r}",
    "export xds_ascii": "{e} {r} format=xds_ascii",
    "export xds": "{e} {r} format=xds",
    "predict": "{e} d_min=2.5",
    "predict given": "{e} {r}",
    "two_theta_refine": "{e} {r}",
    "plot_scan_varying_model": "{e}",
    "stereographic_projection": "{e} hkl_limit=1",
    "reciprocal_lattice_viewer": "{e} {r}",
    "align_crystal": "{e}",
    "compare_orientation_matrices": "{e} {e2}",
    "combine_experiments": "{e} {e2} {r} {r2}",
    "combine_experiments of several": "{e} {r} clustering.use=True",
    "assign_experiment_identifiers": "{e} {e2} {r} {r2}",
    "split_experiments": "{e} {r}",
    "split_experiments in groups": "{e} {r} by_wavelength=True",
    "slice_sequence": "{e} {r} image_range=2,8",
    "slice_sequence in blocks": "{e} {r} block_size=2",
    "filter_reflections": "{e} {r} d_min=2.5 select_good_intensities=True",
    "filter_reflections by rules": "{r} flag_expression=indexed&~centroid_outlier expression=miller_index[0]>-5",
    "sort_reflections": "{r} key=intensity.sum.value",
    "refine several": "{e} {r}",
    "show several": "{e} {r}",
    "create_profile_model": "{e} {r}",
    "report": "{e} {r}",
    "report integrated": "{e} {r}",
    "compare": "{r} {r2}",
    "multiplex": "{e} {r}",
    "cosym": "{e} {r}",
    "correlation_matrix": "{e} {r}",
    "cluster_unit_cell": "{e} {e2}",
    "compute_delta_cchalf": "{e} {r}",
    "missing_reflections": "{e} {r}",
    "estimate_resolution": "{e} {r}",
    "refine_error_model": "{e} {r}",
    "damage_analysis": "{e} {r}",
    "merging_statistics": "{e} {r}",
    "process": "{e} stop_after=find_spots",
    "stills_process": "{e} mp.method=serial",
    "stills_process refined": "{e} {r} mp.method=serial",
    "integrate stills": "{e} {r}",
    "scale_stills": "{e} {r}",
    "integrate ellipsoids": "{e} {r} profile.algorithm=ellipsoid create_profile_model=False",
    "rs_mapper": "{e} grid_size=16",
    "image_viewer": "{e} {r} browser=False",
    "view": "{e} {r} browser=False",
}  # fmt: skip
# Per program the words of a command line on a file of another kind, {d}; {e} and {r} are whole.
DATA_PROGRAMS = {
    "show mtz": "{d}",
    "merging_statistics mtz": "{d}",
    "damage_analysis mtz": "{d}",
    "estimate_resolution mtz": "{d}",
    "compare mtz": "{d} {r}",
    "show xds_ascii": "{d}",
    "compare xds_ascii": "{d} {r}",
    "compare mmcif": "{d} {r}",
    "import mmcif": "{d}",
    "import mtz": "{d}",
    "import xds_ascii": "{d}",
    "import matrix": "{d}",
    "import p4p": "{d}",
    "scale targets": "{e} {r} target_mtz={d}",
    "scale shape": "{e} {r} model=crystal_shape {d}",
    "multiplex mtz": "{e} {r} reference={d}",
    "view volume": "{d} browser=False",
    "batch sets": "{d} stop_after=import",
    "compare runs": "{e} runs={d} stop_after=index",
}
# What these files are.
DATA_FILES = {
    "mtz": "unmerged.mtz",
    "xds_ascii": "XDS_ASCII.HKL",
    "mmcif": "unmerged.cif",
    "matrix": "index.mat",
    "p4p": "crystal.p4p",
    "targets": "merged.mtz",
    "shape": "shape.toml",
    "volume": "volume.mrc",
    "sets": "sets.toml",
    "runs": "runs.toml",
}
# How those are made that need the files of a run.
MAKERS: dict[str, tuple[str, dict[str, Any]]] = {
    "merged.mtz": ("merge", {}),
    "unmerged.mtz": ("export", {"format": "mtz"}),
    "unmerged.cif": ("export", {"format": "mmcif"}),
    "XDS_ASCII.HKL": ("export", {"format": "xds_ascii"}),
    "index.mat": ("export", {"format": "mosflm"}),
    "volume.mrc": ("rs_mapper", {"grid_size": 16, "planes": []}),
}
TEXTS = {
    "crystal.p4p": """TITLE    x
CELL     10.0000 12.0000 15.0000 90.0000 101.0000 90.0000 1766.9
CELLSD   0.0010 0.0020 0.0030 0.0000 0.0100 0.0000 0.5
ORT1     0.00000000 0.08333333 0.00000000
ORT2    -0.10187167 0.00000000 0.00000000
ORT3     0.01980182 0.00000000 0.06791445
SOURCE   SYNCH   0.970000
""",
    "shape.toml": """[crystal_shape]
frame = "goniometer"
attenuation = 1.5
face = [[1, 0, 0, 0.05], [-1, 0, 0, 0.05], [0, 1, 0, 0.07], [0, -1, 0, 0.07], [0, 0, 1, 0.02], [0, 0, -1, 0.02]]
""",
}
SETS = """stop_after = "import"
d_min = 2.0

[first]
images = "{images}/*.cbf"

[second]
images = ["{images}/*_0001.cbf", "{images}/*_0002.cbf"]
d_min = 2.5
space_group = "P43212"
"""
RUNS = """[shared]
"find_spots.spotfinder.filter.min_spot_size" = 2
stop_after = "index"

[runs.plain]
"find_spots.spotfinder.filter.d_min" = 2.5

[runs.other]
"find_spots.spotfinder.threshold.algorithm" = "dispersion_extended"
find_spots.spotfinder.filter.d_min = 2.6

[results.kept]
reflections = "{folder}/strong.refl"
experiments = "{folder}/imported.expt"
"""
# Which files of the run a program works on.
IMAGES, INDEXED, REFINED = ("imported", "strong"), ("indexed", "indexed"), ("refined", "refined")
INTEGRATED, SCALED = ("integrated", "integrated"), ("scaled", "scaled")
STAGES = {
    "refine_bravais_settings": INDEXED,
    "reindex": INDEXED,
    "reindex like": INDEXED,
    "refine": INDEXED,
    "integrate": REFINED,
    "symmetry": INTEGRATED,
    "check_indexing_symmetry": SCALED,
    "scale": ("symmetrized", "symmetrized"),
    "merge": SCALED,
    "export": SCALED,
    "export xds_ascii": SCALED,
    "export xds": INDEXED,
    "predict": INTEGRATED,
    "predict given": INDEXED,
    "two_theta_refine": INTEGRATED,
    "plot_scan_varying_model": REFINED,
    "stereographic_projection": INDEXED,
    "reciprocal_lattice_viewer": INDEXED,
    "align_crystal": INDEXED,
    "compare_orientation_matrices": REFINED,
    "combine_experiments": INDEXED,
    "combine_experiments of several": INTEGRATED,
    "assign_experiment_identifiers": INDEXED,
    "split_experiments": REFINED,
    "split_experiments in groups": INTEGRATED,
    "slice_sequence": REFINED,
    "slice_sequence in blocks": INTEGRATED,
    "filter_reflections": INTEGRATED,
    "filter_reflections by rules": INDEXED,
    "detect_blanks integrated": INTEGRATED,
    "sort_reflections": INTEGRATED,
    "refine several": INDEXED,
    "show several": REFINED,
    "create_profile_model": REFINED,
    "report": SCALED,
    "report integrated": INTEGRATED,
    "compare": SCALED,
    "multiplex": INTEGRATED,
    "cosym": INTEGRATED,
    "correlation_matrix": SCALED,
    "cluster_unit_cell": REFINED,
    "compute_delta_cchalf": SCALED,
    "missing_reflections": SCALED,
    "estimate_resolution": SCALED,
    "refine_error_model": SCALED,
    "damage_analysis": SCALED,
    "merging_statistics": SCALED,
    "stills_process": ("stills", "stills"),
    "stills_process refined": ("stills_indexed", "stills_indexed"),
    "integrate stills": ("stills_refined", "stills_refined"),
    "scale_stills": ("stills_integrated", "stills_integrated"),
    "integrate ellipsoids": ("stills_ellipsoid", "stills_ellipsoid"),
    "rs_mapper": INDEXED,
    "image_viewer": INDEXED,
    "view": INTEGRATED,
    "compare mtz": SCALED,
    "compare xds_ascii": SCALED,
    "scale targets": ("symmetrized", "symmetrized"),
    "scale shape": ("symmetrized", "symmetrized"),
    "multiplex mtz": INTEGRATED,
    "compare mmcif": SCALED,
    "view volume": IMAGES,
}
# These read one file of two experiments.
OF_SEVERAL = {
    "combine_experiments of several", "split_experiments", "split_experiments in groups", "filter_reflections", "refine several",
    "show several", "stereographic_projection", "multiplex", "cosym", "correlation_matrix", "compute_delta_cchalf",
    "multiplex mtz",
}  # fmt: skip
# These make no data, and are not run from a record.
WITHOUT_RECORDS = ("show", "image_viewer", "view", "reciprocal_lattice_viewer")
KAPPA = {
    "axes": [[1.0, 0.0, 0.0], [0.643, 0.0, -0.766], [1.0, 0.0, 0.0]],
    "angles": [0.0, 0.0, 0.0],
    "names": ["phi", "kappa", "omega"],
    "scan_axis": 2,
}


def stage_of(program: str, rng: np.random.Generator) -> tuple[str, str]:
    """The experiment and reflection file that a program is run on."""
    if program == "show":
        return [IMAGES, REFINED, SCALED][rng.integers(3)]
    return STAGES.get(program, IMAGES)


def programs_of(kind: str, source: Path) -> list[str]:
    """Programs that read files of a kind; those of stills where the run has some."""
    if kind == "data":
        return list(DATA_PROGRAMS)
    needed = {"expt": "{e}", "refl": "{r}"}.get(kind, "")
    unwanted = WITHOUT_RECORDS if kind == "record" else ()
    has = {name: (source / f"{STAGES.get(name, IMAGES)[0]}.expt").exists() for name in PROGRAMS}
    return [
        name for name, words in PROGRAMS.items() if needed in words and has[name] and name.split()[0] not in unwanted
    ]


def given_files(
    program: str, source: Path, folder: Path, rng: np.random.Generator
) -> tuple[dict[str, Path], list[str]]:
    """Put what a program is run on into a folder; returns the files by "e", "r", "e2" and "r2", and the words of the command line."""
    stages = stage_of(program, rng)
    files = {"e": folder / f"{stages[0]}.expt", "r": folder / f"{stages[1]}.refl"}
    for file in files.values():
        if (source / file.name).exists():  # stills that are not indexed have no reflections
            shutil.copy(source / file.name, file)
    write_open_mask(files["e"], folder / "mask.npz")
    if program == "align_crystal":
        content = json.loads(files["e"].read_text())
        content["goniometer"] = [KAPPA for _ in content["goniometer"]]
        files["e"].write_text(json.dumps(content))
    if program in OF_SEVERAL:
        _put(of_several(source, stages), files)
    elif "{r2}" in PROGRAMS.get(program, "") or "{e2}" in PROGRAMS.get(program, ""):
        files |= {"e2": folder / "other.expt", "r2": folder / "other.refl"}
        _put(_another(source, stages), files)
    if program in DATA_PROGRAMS:
        files["d"] = folder / DATA_FILES[program.split()[1]]
        write_data(source, folder, files["d"])
    line = PROGRAMS.get(program) or DATA_PROGRAMS[program]
    words = line.format(**{key: file.name for key, file in files.items()}).split()
    return files, [program.split()[0], *words]


def write_data(source: Path, folder: Path, path: Path) -> None:
    """Make a file of another kind of those of a run."""
    import spindle
    from spindle.files import read_experiments, read_reflections

    if path.name == "sets.toml":
        path.write_text(SETS.format(images=source / "images"))
        return
    if path.name == "runs.toml":
        path.write_text(RUNS.format(folder=folder))
        return
    if path.name in TEXTS:
        path.write_text(TEXTS[path.name])
        return
    kept = source / f"made_{path.name}"
    if not kept.exists():
        data = read_experiments(source / "scaled.expt"), read_reflections(source / "scaled.refl")
        program, more = MAKERS[path.name]
        result = spindle.run(program, data[0], None if program == "rs_mapper" else data[1], **more)
        ending = path.suffix
        writer = next(write for name, write in result.files.items() if name.endswith(ending))
        writer(kept)
    shutil.copy(kept, path)


def _put(contents: dict[str, bytes], files: dict[str, Path]) -> None:
    for name, content in contents.items():
        files[name].write_bytes(content)


@cache  # made once for all cases
def _another(source: Path, stages: tuple[str, str]) -> dict[str, bytes]:
    """The second files beside those of a stage."""
    with tempfile.TemporaryDirectory() as made:
        files = {"e2": Path(made, "other.expt"), "r2": Path(made, "other.refl")}
        write_another(source / f"{stages[0]}.expt", source / f"{stages[1]}.refl", files["e2"], files["r2"])
        return {name: file.read_bytes() for name, file in files.items()}


@cache
def of_several(source: Path, stages: tuple[str, str]) -> dict[str, bytes]:
    """The files of a stage and the second ones in one."""
    with tempfile.TemporaryDirectory() as made:
        files = {name: Path(made, name) for name in ("e", "r", "e2", "r2")}
        for name, stage, suffix in zip("er", stages, (".expt", ".refl"), strict=True):
            shutil.copy(source / f"{stage}{suffix}", files[name])
        _put(_another(source, stages), files)
        join(files)
        return {name: files[name].read_bytes() for name in "er"}


def write_another(experiments: Path, reflections: Path, new_experiments: Path, new_reflections: Path) -> None:
    """The same files with identifiers, and crystals, of their own."""
    from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
    from spindle.geometry import rotation_matrix
    from spindle.models import Experiments

    turn = rotation_matrix(np.array([0.0, 0.0, 1.0]), 0.01)
    items = []
    for e in read_experiments(experiments):
        crystal = None if e.crystal is None else replace(e.crystal, A=turn @ e.crystal.A)
        items.append(replace(e, crystal=crystal, identifier=f"other {e.identifier}"))
    table = read_reflections(reflections)
    table.identifiers = {number: f"other {name}" for number, name in table.identifiers.items()}
    write_experiments(Experiments(items), new_experiments)
    write_reflections(table, new_reflections)


def join(files: dict[str, Path]) -> None:
    """Put the second files into the first, and remove them."""
    from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

    first, second = (list(read_experiments(files[name])) for name in ("e", "e2"))
    tables = [read_reflections(files[name]) for name in ("r", "r2")]
    for name in ("id", "imageset_id"):
        if name in tables[1]:
            tables[1][name] = np.where(tables[1][name] >= 0, tables[1][name] + len(first), -1).astype(
                tables[1][name].dtype
            )
    tables[1].identifiers = {number + len(first): name for number, name in tables[1].identifiers.items()}
    joined = ReflectionTable.concatenate(tables)
    write_experiments(Experiments([*first, *second]), files["e"])
    write_reflections(joined, files["r"])
    for name in ("e2", "r2"):
        files.pop(name).unlink()


def write_open_mask(experiments: Path, path: Path) -> None:
    """A mask of the detector of an experiment file in which no pixel is masked."""
    panels = json.loads(experiments.read_text())["detector"][0]["panels"]
    np.savez(path, **{f"panel_{i}": np.ones(panel["image_size"][::-1], bool) for i, panel in enumerate(panels)})
