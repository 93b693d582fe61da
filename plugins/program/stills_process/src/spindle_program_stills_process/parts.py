"""What is finished of a run under way, kept on disk so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import ProgramResult
from spindle.errors import UserError
from spindle.files import (
    atomic_write,
    experiments_to_dict,
    read_experiments,
    read_reflections,
    write_experiments,
    write_reflections,
)
from spindle.models import Experiment, Experiments
from spindle.params import walk
from spindle.table import ReflectionTable

from .tasks import Outcome

__all__ = ["Parts", "key_of", "results_joined"]

NOTE = "key.json"
# What does not change results: where they go, and by whom the work is done.
ELSEWHERE = ("output", "mp", "run", "resume")


def key_of(stills: Iterable[Experiment], params: Any, version: str) -> str:
    """A number that changes with the images, the parameters and the version."""
    settings = [
        (e.path, repr(e.value)) for e in walk(params) if e.is_modified and not set(e.path.split(".")) & set(ELSEWHERE)
    ]
    digest = hashlib.sha256(json.dumps([version, sorted(settings)]).encode())
    for still in stills:
        number = still.scan.image_range[0] if still.scan is not None else 1
        name = ""
        if still.imageset is not None:
            try:
                path = Path(still.imageset.file_of_image(number)[0])
                stat = path.stat()
                name = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
            except (IndexError, OSError):
                name = still.image_name
        digest.update(f"{name} {number}".encode())
    digest.update(_digest(Experiments(stills)).encode())
    return digest.hexdigest()


def _digest(experiments: Experiments) -> str:
    """A number of the models."""
    content = experiments_to_dict(experiments)
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _key_in(note: Path) -> str:
    """The key that the note of a folder holds; a damaged note has none."""
    try:
        return str(json.loads(note.read_text())["key"])
    except (KeyError, TypeError, ValueError):
        return ""


class Parts:
    """A folder with finished parts: each a few files, of which the last, with the ending .json, says that it is whole.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    key : str
        Parts with another key are of another run.
    goes_on : bool
        Whether parts of an earlier run are taken; otherwise they are removed.
    """

    def __init__(self, folder: Path | None, key: str, goes_on: bool) -> None:
        self.folder, self.key, self.n_taken = folder, key, 0
        if folder is None or not folder.exists():
            return
        note = folder / NOTE
        if not note.is_file() or folder.is_symlink():
            raise UserError(
                f"stills_process: output.parts={folder} is there and no folder of an interrupted run; give another name, or none: "
                "output.parts=None"
            )
        if goes_on and _key_in(note) == key:
            return
        shutil.rmtree(folder)

    def _begin(self) -> Path:
        assert self.folder is not None
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            with atomic_write(self.folder / NOTE) as path:
                path.write_text(json.dumps({"key": self.key}))
        return self.folder

    def load(self, name: str) -> tuple[dict[str, Any], Experiments, list[ReflectionTable]] | None:
        """A part that is whole: what is said of it, its experiments and tables; None if there is none."""
        if self.folder is None or not (self.folder / f"{name}.json").is_file():
            return None
        try:
            said = json.loads((self.folder / f"{name}.json").read_text())
            experiments = read_experiments(self.folder / f"{name}.expt") if said["n_experiments"] else Experiments([])
            tables = [read_reflections(self.folder / f"{name}_{k}.refl") for k in range(said["n_tables"])]
        except (UserError, KeyError, TypeError, ValueError):  # damaged since: made again
            return None
        return said, experiments, tables

    def save(self, name: str, said: dict[str, Any], experiments: Experiments, tables: list[ReflectionTable]) -> None:
        """Keep a part; whoever is killed meanwhile leaves none."""
        if self.folder is None:
            return
        folder = self._begin()
        if len(experiments):
            write_experiments(experiments, folder / f"{name}.expt")
        for k, table in enumerate(tables):
            write_reflections(table, folder / f"{name}_{k}.refl")
        with atomic_write(folder / f"{name}.json") as path:
            content = {**said, "n_experiments": len(experiments), "n_tables": len(tables)}
            path.write_text(json.dumps(content, default=lambda v: v.tolist()))  # numbers of numpy

    def remove(self) -> None:
        """The run has ended."""
        if self.folder is not None and (self.folder / NOTE).is_file():
            shutil.rmtree(self.folder)

    # -- of this program
    # -------------------------------------------------------------------------------------------------------------------

    def outcomes(self, name: str, count: bool = True) -> list[Outcome] | None:
        """The outcomes of a block of images, as they were kept; ``count`` those that are taken up."""
        found = self.load(name)
        if found is None:
            return None
        self.n_taken += count
        said, experiments, tables = found
        out, first = [], 0
        for one in said["outcomes"]:
            n, table = one.pop("n_experiments"), one.pop("table")
            own = list(experiments)[first : first + n]
            first += n
            out.append(Outcome(**one, experiments=own, reflections=None if table is None else tables[table]))
        return out

    def keep_outcomes(self, name: str, outcomes: list[Outcome]) -> None:
        """Keep the outcomes of a block of images."""
        if self.folder is None:
            return
        said: list[dict[str, Any]] = []
        experiments: list[Experiment] = []
        tables: list[ReflectionTable] = []
        for one in outcomes:
            table = None if one.reflections is None else len(tables)
            if one.reflections is not None:
                part = one.reflections.view()
                part.identifiers = {}
                tables.append(part)
            experiments += one.experiments
            words = {n: getattr(one, n) for n in ("number", "name", "outcome", "reason", "n_spots", "n_indexed")}
            said.append({**words, "n_experiments": len(one.experiments), "table": table})
        self.save(name, {"outcomes": said}, Experiments(experiments), tables)

    def mapped(
        self, name: str, blocks: list[Any], run: Callable[[list[Any]], Iterator[list[Outcome]]]
    ) -> Iterator[list[Outcome]]:
        """The outcomes of all blocks, in order: those that are kept, and of the others what ``run`` makes of them, kept from then on."""
        kept = {k: found for k in range(len(blocks)) if (found := self.outcomes(f"{name}_{k:05d}")) is not None}
        made = run([block for k, block in enumerate(blocks) if k not in kept])
        for k in range(len(blocks)):
            if k in kept:
                yield kept.pop(k)
                continue
            outcomes = next(made)
            self.keep_outcomes(f"{name}_{k:05d}", outcomes)
            # as a run that goes on would read them, so that both end alike to the last digit
            yield self.outcomes(f"{name}_{k:05d}", count=False) or outcomes

    def result(self, name: str, experiments: Experiments, make: Callable[[], ProgramResult]) -> ProgramResult:
        """What a step made of some experiments, as it was kept, or as it makes it now."""
        digest = _digest(experiments) if self.folder is not None else ""
        kept = self._result(name, digest)
        if kept is not None:
            return kept
        done = make()
        tables = [] if done.reflections is None else [done.reflections]
        said = {"of": digest, "summary": done.summary, "next_step": done.next_step}
        self.save(name, said, done.experiments or Experiments([]), tables)
        return self._result(name, digest) or done

    def _result(self, name: str, digest: str) -> ProgramResult | None:
        found = self.load(name)
        if found is None or found[0].get("of") != digest:
            return None
        said, experiments, tables = found
        return ProgramResult(
            experiments, tables[0] if tables else None, summary=said["summary"], next_step=said["next_step"]
        )


def results_joined(results: list[tuple[int, ProgramResult]]) -> ProgramResult:
    """The results of integrating one part of the crystals after another, with the number of the first of each.

    Counts are added, means are taken over the crystals.
    """
    if len(results) == 1:
        return results[0][1]
    experiments: list[Experiment] = []
    parts, failed, n_rows = [], [], 0
    weights = [len(r.experiments or ()) for _, r in results]
    for first, result in results:
        table = result.reflections
        if table is not None:
            table = table.view()
            table.identifiers = {}
            table["id"] = table["id"] + np.int32(len(experiments))
            if "partial_id" in table:
                table["partial_id"] = table["partial_id"] + np.uint64(n_rows)
                n_rows += int(table["partial_id"].max()) + 1 if len(table) else 0
            parts.append(table)
        experiments += list(result.experiments or ())
        failed += [{**one, "experiment": one["experiment"] + first} for one in result.summary.get("failed", [])]
    joined = Experiments(experiments)
    reflections = ReflectionTable.concatenate(parts) if parts else None
    if reflections is not None:
        reflections.identifiers = joined.identifiers
        if "imageset_id" in reflections:
            images = {id(s): k for k, s in enumerate(joined.unique("imageset"))}
            number = np.array([images[id(e.imageset)] for e in joined], np.int32)
            reflections["imageset_id"] = number[reflections["id"]]
    base = next((r for _, r in results if r.experiments), results[0][1])
    summary: dict[str, Any] = dict(base.summary)
    for name, value in summary.items():
        each = [r.summary.get(name) for _, r in results]
        numbers = [v for v in each if isinstance(v, int | float) and not isinstance(v, bool)]
        if name.startswith("n_"):
            summary[name] = sum(numbers)
        elif name == "d_min" and numbers:
            summary[name] = min(numbers)
        elif isinstance(value, float) and len(numbers) == len(each):
            summary[name] = float(np.average(numbers, weights=np.maximum(weights, 1e-9)))
    if failed:
        summary["failed"] = failed
    return replace(base, experiments=joined, reflections=reflections, summary=summary)
