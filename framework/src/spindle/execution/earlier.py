"""Outputs that an earlier run made from other data are replaced only when the user says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.errors import FileFormatError, UserError
from spindle.params import Params

from .protection import identity, outputs_of
from .record import HEAD_BYTES, read_record

if TYPE_CHECKING:
    from spindle.contracts import ProgramInputs
    from spindle.models import Experiments

_NUMBER = re.compile(r"\d+(?=\D*$)")
_MOST_RECORDS = 100


def data_of(experiments: Experiments | None, files: Iterable[Path] = (), given: bool = True) -> dict[str, Any] | None:
    """Return what a run works on, for its record: how many experiments, and which images.

    Parameters
    ----------
    experiments : Experiments or None
    files : iterable of Path
        Images that were given as files, when there are no experiments.
    given : bool
        Whether the experiments were given, rather than made by the run.

    Returns
    -------
    dict or None
        Number of experiments and a list of series of images, each with the path with ``#`` for the number, the width of the
        number, the ranges of numbers, and a hash of the beginning of the first; None when a folder stands for its images or
        when there are none.
    """
    if experiments is not None:
        from .changes import files_of

        paths = [p for imageset in experiments.unique("imageset") for p in files_of(imageset)]
    else:
        paths = [p for p in files if not _is_mask(p)]
        if any(p.is_dir() for p in paths):
            return None
    if not paths:
        return None
    return {"n_experiments": len(experiments or ()) if given else 0, "images": _series(paths)}


def _series(paths: Iterable[Path]) -> list[dict[str, Any]]:
    numbers: dict[tuple[str, int], set[int]] = {}
    first: dict[tuple[str, int], Path] = {}
    for path in paths:
        real = path.absolute()
        number = _NUMBER.search(real.name)
        width = len(number[0]) if number else 0
        name = real.name if number is None else f"{real.name[: number.start()]}{'#' * width}{real.name[number.end() :]}"
        key = (str(real.with_name(name)), width)
        numbers.setdefault(key, set()).add(int(number[0]) if number else 0)
        first.setdefault(key, real)
    return [
        {"path": key[0], "width": key[1], "ranges": _ranges(found), "head": _head(first[key])}
        for key, found in numbers.items()
    ]


def _ranges(numbers: set[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _head(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            return sha256(stream.read(HEAD_BYTES)).hexdigest()
    except OSError:
        return ""


def _left_out(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> int:
    """Return how many of the old images are not among the new ones, wherever those lie now."""
    count = 0
    for series in old:
        same = [
            s for s in new
            if s["path"] == series["path"]
            or (series["head"] and s["head"] == series["head"] and Path(s["path"]).name == Path(series["path"]).name)
        ]  # fmt: skip
        for begin, end in series["ranges"]:
            covered = {n for s in same for a, b in s["ranges"] for n in range(max(a, begin), min(b, end) + 1)}
            count += end - begin + 1 - len(covered)
    return count


def _count(series: Iterable[dict[str, Any]]) -> int:
    return sum(b - a + 1 for s in series for a, b in s["ranges"])


def check_earlier(
    program: str,
    outputs: Iterable[tuple[str, Path]],
    data: dict[str, Any] | None,
    inputs: Sequence[Path] = (),
    record_path: Path | None = None,
) -> bool:
    """Raise `UserError` when an output would replace one that an earlier run made from other images or more experiments.

    Run records tell what made a file. Without a record, or when the file is no longer what the record says, nothing is asked;
    neither is it when the same inputs are given to the same program, whatever the parameters.

    Parameters
    ----------
    program : str
    outputs : iterable of (str, Path)
        Name of the parameter and file.
    data : dict or None
        `data_of` what the run works on.
    inputs : sequence of Path
        Files that the user gave.
    record_path : Path or None
        Where the run's own record goes, for one that does not lie beside the outputs.

    Returns
    -------
    bool
        Whether it could be decided: False when it is not known yet which images are read.
    """
    existing = {name: path for name, path in outputs if path.is_file()}
    folders = {path.absolute().parent for path in existing.values()}
    records = _records(folders, record_path) if existing else []
    decided = data is not None
    for name, path in existing.items():
        record = next((r for r in records if _made(r, path)), None)
        if record is None:
            continue
        same_files = record["program"] == program and _same_paths(record, inputs)
        if same_files and not any(p.suffix in (".expt", ".refl") for p in inputs):
            decided = True
            continue
        if data is None:
            continue
        before = record["data"]
        missing = _left_out(before["images"], data["images"])
        if missing:
            what = (
                f"{missing} of its {_count(before['images'])} images are not among those given now ({_names(before)})"
            )
        elif record["program"] == program and not same_files and before["n_experiments"] > data["n_experiments"] > 0:
            what = f"it holds {before['n_experiments']} experiments and {data['n_experiments']} are given now"
        else:
            continue
        raise UserError(
            f"{program}: {name}={path} was made by spindle {record['program']} on {str(record['finished'])[:16]} from other data: "
            f"{what}. Choose another name or folder, or replace it with overwrite=True"
        )
    return decided


def _names(data: dict[str, Any]) -> str:
    shown = [
        f"{s['path']}, {s['ranges'][0][0]}-{s['ranges'][-1][1]}" if s["width"] else s["path"] for s in data["images"]
    ]
    return "; ".join(shown[:2]) + (f" and {len(shown) - 2} more series" if len(shown) > 2 else "")


def _records(folders: set[Path], record_path: Path | None) -> list[dict[str, Any]]:
    """Return the run records beside outputs, the newest first."""
    paths = [p for folder in folders for p in sorted(folder.glob("*.json")) if p.name.startswith("spindle.")]
    paths += [record_path] if record_path is not None and record_path.is_file() else []
    found = []
    for path in list(dict.fromkeys(p.absolute() for p in paths))[:_MOST_RECORDS]:
        try:
            record = read_record(path)
            data, folder = record["data"], path.parent
            if data is None:
                continue
            _left_out(data["images"], []), _names(data), data["n_experiments"] + 0  # whether it is what we write
            names = (record["finished"], record["program"], record["working_folder"])
            record["files"] = {Path(str(o["path"])).name: o for o in record["outputs"]}
        except (FileFormatError, OSError, KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
        if all(isinstance(n, str) for n in names):
            record["folder"] = folder
            found.append(record)
    return sorted(found, key=lambda r: r["finished"], reverse=True)


def _made(record: dict[str, Any], path: Path) -> bool:
    """Whether a file is an output of a run, in the folder of the run or where that was moved to, and as large as it was."""
    entry = record["files"].get(path.name)
    if entry is None or entry.get("size") != path.stat().st_size:
        return False
    places = (Path(record["working_folder"]) / entry["path"], record["folder"] / entry["path"])
    beside = Path(entry["path"]).name == entry["path"] and record["folder"] == path.absolute().parent
    return beside or any(identity(p) == identity(path) for p in places)


def _same_paths(record: dict[str, Any], inputs: Sequence[Path]) -> bool:
    try:
        before = [str(e["path"]) for e in record["inputs"]]
    except (KeyError, TypeError):
        return False
    places = (Path(record["working_folder"]), record["folder"])
    now = {str(p.absolute()) for p in inputs}
    return bool(now) and any({str((place / p).absolute()) for p in before} == now for place in places)


def outputs_to_check(params: Params, more: Iterable[tuple[str, Path | None]] = ()) -> list[tuple[str, Path]]:
    """Return names and files of all outputs of a program; logs and records are rewritten without a question."""
    found = {str(Path(e.value)): name for name, e in outputs_of(params) if e.name not in ("log", "record")}
    found |= {str(path): name for name, path in more if path is not None and str(path) not in found}
    return [(name, Path(path)) for path, name in found.items()]


def data_of_inputs(inputs: ProgramInputs) -> dict[str, Any] | None:
    """Return `data_of` what a program is given; None for what only the program can tell."""
    files = [] if inputs.experiments is not None else inputs.files
    return data_of(inputs.experiments, files)


def _is_mask(path: Path) -> bool:
    """Whether a file holds a mask or map of a detector rather than an image of it."""
    if path.suffix in (".mask", ".npz", ".pickle"):
        return True
    if path.suffix not in (".h5", ".hdf5") or not path.is_file():
        return False
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "panel_0" in file
    except OSError:
        return False
