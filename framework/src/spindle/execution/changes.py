"""What is different now from what a run record describes: files, images, parameters, versions, code."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.params import Params, to_dict

from .record import HEAD_BYTES, file_entry, versions

if TYPE_CHECKING:
    from spindle.models import Experiments

WITHOUT_INFLUENCE = ("nproc", "njobs", "log", "record", "observers", "details")
EXECUTOR = "mp.method"


@lru_cache(maxsize=256)
def code_hash(package: str) -> str:
    """Return a hash of all Python files of an importable package, empty when there is none of this name."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return ""
    folders = [Path(p) for p in spec.submodule_search_locations or ()]
    paths = [p for f in folders for p in sorted(f.rglob("*.py"))] or [Path(str(spec.origin))]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name) + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def code_of(plugins: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return package -> hash of the code of the host and of some plugins, as `PluginHost.used` lists them."""
    from spindle.plugins import registry

    known = {(i.slot, i.name): i.target.partition(":")[0].partition(".")[0] for i in registry().infos}
    packages = {known.get((p["slot"], p["name"]), "") for p in plugins} - {""}
    return {name: code_hash(name) for name in sorted({"spindle", *packages})}


def images_of(experiments: Experiments) -> dict[str, Any]:
    """Return what tells the images of experiments from others without reading them whole.

    Returns
    -------
    dict
        Number of files, and a hash of names, sizes and the first 64 KiB of each; files that are not there count by name.
    """
    digest, n = hashlib.sha256(), 0
    for imageset in experiments.unique("imageset"):
        for path in files_of(imageset):
            n += 1
            digest.update(os.fsencode(path.name))
            if path.is_file():
                with path.open("rb") as stream:
                    digest.update(f"{path.stat().st_size}".encode() + stream.read(HEAD_BYTES))
    return {"n_files": n, "sha256_of_heads": digest.hexdigest()}


def files_of(imageset: Any) -> list[Path]:
    """Return the image files of an image set."""
    if imageset.template is not None and "#" in imageset.template and imageset.image_range is not None:
        first, last = imageset.image_range
        return [Path(imageset.file_of_image(i)[0]) for i in range(first, last + 1)]
    return [Path(p) for p in dict.fromkeys([imageset.template] if imageset.template else imageset.paths)]


def first_change(
    record: dict[str, Any],
    params: Params,
    seed: int,
    inputs: Sequence[Path] | None,
    images: dict[str, Any] | None = None,
) -> str | None:
    """Return the first difference between a record and what a run would do now; None when there is none.

    Relative names are those of the current folder, which may have been moved since.

    Parameters
    ----------
    record : dict
    params : Params
        Effective parameters now; how many workers there are, names of logs and the like have no influence.
    seed : int
        Of random numbers now.
    inputs : sequence of Path, optional
        Input files now; those of the record when None.
    images : dict, optional
        `images_of` the experiments now; compared when the record has them too.
    """
    return (
        _changed_files(record, inputs)
        or _changed_images(record, images)
        or _changed_parameters(record, params)
        or (f"run.seed was {record['seed']} and is {seed} now" if record["seed"] != seed else None)
        or _changed_code(record)
        or _changed_outputs(record)
    )


def _changed_files(record: dict[str, Any], inputs: Sequence[Path] | None) -> str | None:
    before = {Path(e["path"]).resolve(): e for e in record["inputs"]}
    now = list(before) if inputs is None else [p.resolve() for p in inputs]
    if set(now) != set(before):
        new, gone = [p for p in now if p not in before], [p for p in before if p not in set(now)]
        if not before:
            return f"its inputs are {new[0].name}{' and others' if len(new) > 1 else ''}"
        return f"other files are given: {(new or gone)[0].name} was{' not' if new else ''} among them"
    for path, entry in before.items():
        if not path.exists():
            continue  # images may have been moved away after they were read; a step that needs them says so
        if _content(path, entry) != {k: v for k, v in entry.items() if k != "path"}:
            return f"its input {entry['path']} has changed"
    return None


def _changed_images(record: dict[str, Any], images: dict[str, Any] | None) -> str | None:
    before = record.get("images")
    return None if not before or not images or before == images else "the images have changed"


def _changed_parameters(record: dict[str, Any], params: Params) -> str | None:
    import json

    before = record["parameters"]
    now = json.loads(json.dumps(to_dict(params), default=str))
    for path in dict.fromkeys([*now, *before]):
        if path.rpartition(".")[2] in WITHOUT_INFLUENCE or path.endswith(EXECUTOR) or path.startswith(("run.", "mp.")):
            continue
        if path not in now or path not in before or now[path] != before[path]:
            return f"{path} was {before.get(path, 'not there')} and is {now.get(path, 'not there')} now"
    return None


def _changed_code(record: dict[str, Any]) -> str | None:
    now = versions()
    for name, version in record["versions"].items():
        if now.get(name) != version:
            return f"{name} was {version} and is {now.get(name, 'not installed')} now"
    for package, code in record.get("code", {}).items():
        if code_hash(package) != code:
            return f"the code of {package} has changed"
    return None


def _changed_outputs(record: dict[str, Any]) -> str | None:
    for entry in record["outputs"]:
        path = Path(entry["path"])
        if not path.exists():
            return f"its output {entry['path']} is gone"
        if _content(path, entry) != {k: v for k, v in entry.items() if k != "path"}:
            return f"its output {entry['path']} is no longer what it wrote"
    return None


def _content(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    found = file_entry(path, "sha256_of_head" not in entry)
    return {k: v for k, v in found.items() if k != "path"}
