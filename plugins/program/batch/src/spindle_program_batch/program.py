"""The program `batch`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import atomic_write
from spindle.params import (
    Assignment,
    Bool,
    Choice,
    Float,
    FolderParam,
    HostParams,
    Int,
    Multiprocessing,
    PathParam,
    Strings,
    UnrecordedParams,
    build,
)
from spindle.params import Params as ParamsBase
from spindle.report import EVENT, json_text

from .results import STATISTICS, entry_of, page_of, results_of, table_of
from .running import RunSet, stop_all
from .sets import DataSet, find_sets, with_absolute_file

#: Seconds between looks at folders that are watched.
PAUSE = 1.0


class Batch(Program):
    """Process many data sets, each in a folder of its own.

    Give folders, which are searched for series of images, or images, or a file of sets (.toml). Each series is a data set;
    `spindle process` processes it in a folder that is named like it. All other words, name=value, are parameters of process for all sets.

        spindle batch /data/visit
        spindle batch /data/visit space_group=P43212 d_min=1.8 output.directory=processed
        spindle batch sets.toml resume=True fail_if=red
        spindle batch /data/visit watch=True watch_timeout=3600

    A file of sets has a table for each set, with its images and what parameters of process it has for itself; those above all
    tables are for all sets:

        small_molecule = true
        [first]
        images = "a/*.cbf"
        [second]
        images = ["b_1/*.cbf", "b_2/*.cbf"]
        space_group = "P212121"
    """

    takes_words = True
    goes_on = "resume"

    class Params(UnrecordedParams):
        """Process many data sets."""

        resume = Bool(
            False,
            help="Leave alone what is finished and has not changed, and take up what is not; see resume of process.",
        )
        min_images = Int(2, min=1, max=1_000_000, help="Series of fewer images are no data set.")
        process = Strings(
            None,
            none=True,
            multiple=True,
            level=1,
            help="Parameters of process for all sets, name=value, as on the command line.",
        )
        fail_if = Choice(
            ["red", "amber"],
            default=None,
            none=True,
            help="End with the exit code 3 when a set is red, or amber or red.",
        )
        watch = Bool(
            False,
            help="Process sets as they appear in the folders, and again what has grown; what there is so far is in batch.json and "
            "batch.html at any time.",
        )
        watch_settle = Float(
            10.0,
            min=0,
            max=86400,
            units="s",
            help="A set is processed when no image of it has come for so long, for watch=True.",
        )
        watch_timeout = Float(
            None,
            none=True,
            min=0.1,
            units="s",
            help="End when nothing has come for so long, for watch=True; None waits until Ctrl-C.",
        )

        class mp(Multiprocessing):
            """Where the sets are processed: several at a time, which share the workers."""

        class output(ParamsBase):
            """What is written."""

            directory = FolderParam(
                None,
                none=True,
                working=True,
                help="Folder in which each set gets its own; it is made where there is none.",
            )
            json = PathParam("batch.json", none=True, help="Results of all sets, for other programs.")
            html = PathParam("batch.html", none=True, help="Page of all sets.")
            log = PathParam("spindle.batch.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Process the sets; see `spindle.contracts.program.ProgramSpec`."""
        given = [*inputs.words, *map(str, inputs.files)]
        common = [with_absolute_file(w, Path()) for w in (*(params.process or ()), *filter(_is_parameter, given))]
        places = [w for w in given if not _is_parameter(w)]
        if not places:
            raise UserError("batch: give folders with images, images, or a file of sets: spindle batch /data/visit")
        work = _Work(common, params, context)
        try:
            if params.watch:
                work.watch(places)
            else:
                sets, left_out = find_sets(places, params.min_images)
                for text in left_out:
                    context.log.info("Left out: %s", text)
                work.check(sets)
                work.process(sets)
        except BaseException:
            stop_all()
            raise
        return work.result()


def _is_parameter(word: str) -> bool:
    return "=" in word and not Path(word).exists()


class _Work:
    """The sets that were processed so far."""

    def __init__(self, common: list[str], params: Any, context: Any) -> None:
        self.common, self.params, self.context = common, params, context
        self.folder = Path.cwd()
        self.entries: dict[str, dict[str, Any]] = {}
        self.total = 0

    def check(self, sets: Sequence[DataSet]) -> None:
        """Refuse wrong parameters before anything is done.

        Raises
        ------
        UserError
            Names the set where they are its own.
        """
        program: Any = self.context.host.load("program", "process")
        for words in dict.fromkeys(s.words for s in sets) or [()]:
            try:
                assignments = [Assignment(*_pair(word), "command line") for word in (*self.common, *words)]
                build(program.Params, assignments, self.context.host.load, HostParams)
            except UserError as error:
                whose = next((s.name for s in sets if s.words == words and words), "")
                raise type(error)(f"batch: {f'set {whose}: ' if whose else ''}{error}") from error

    def process(self, sets: Sequence[DataSet], is_last: bool = True, resume: bool = False) -> None:
        """Process sets, several at a time, and write what there is after each."""
        if not sets:
            return
        n_workers = int(self.context.executor.n_workers)
        share = max(1, n_workers // min(len(sets), n_workers))
        words = [f"mp.nproc={share}", f"merge.output.json={STATISTICS}"]
        if resume or self.params.resume:
            words.append("resume=True")
        self.total += len([s for s in sets if s.name not in self.entries])
        self.context.log.info("%d data sets, %d at a time", len(sets), min(len(sets), n_workers))
        task = RunSet(str(self.folder), (*words, *self.common))
        with self.context.progress("data sets", len(sets)) as progress:
            for one, outcome in zip(sets, self.context.executor.map(task, sets), strict=True):
                entry = entry_of(one, outcome, self.folder)
                self.entries[one.name] = entry
                progress.advance(1)
                self._say(entry)
                self._write(is_finished=is_last and len(self.entries) == self.total)

    def _say(self, entry: dict[str, Any]) -> None:
        first = entry["verdict"]["lines"][0]["said"] if entry["verdict"]["lines"] else ""
        overall = (entry["statistics"] or {}).get("overall", {})
        words = [
            entry["colour"],
            entry["space_group"] or "",
            f"{overall['d_min']:.2f} A" if overall.get("d_min") else "",
        ]
        if entry["colour"] != "green":
            words.append(first)
        said = ", ".join(w for w in words if w)
        self.context.log.info("[%d/%d] %s: %s", len(self.entries), self.total, entry["name"], said, extra=EVENT)

    def _write(self, is_finished: bool) -> None:
        """What there is so far, for those who look while the others are processed."""
        entries = list(self.entries.values())
        if self.params.output.json is not None:
            _write(
                self.params.output.json,
                json_text(results_of(entries, version("spindle-diffraction-base"), is_finished), 1) + "\n",
            )
        if self.params.output.html is not None:
            _write(self.params.output.html, page_of(entries, is_finished))

    def watch(self, places: Sequence[str]) -> None:
        """Process sets as they appear, and again those that have grown, until nothing comes any more."""
        done: dict[str, tuple[int, str, int]] = {}
        since = time.monotonic()
        self.check([])
        self.context.log.info("Waiting for data sets in %s", ", ".join(places))
        try:
            while self.params.watch_timeout is None or time.monotonic() - since < self.params.watch_timeout:
                self.context.check_cancelled()
                sets, _ = find_sets(places, self.params.min_images, may_be_none=True)
                new = [s for s in sets if done.get(s.name) != s.state]
                ripe = [s for s in new if time.time() - s.newest() >= self.params.watch_settle]
                if ripe:
                    states = {s.name: s.state for s in ripe}
                    self.process(ripe, is_last=False, resume=True)
                    done |= states
                if new:
                    since = time.monotonic()
                if not ripe:
                    time.sleep(PAUSE)
        except KeyboardInterrupt:
            self.context.log.info("Interrupted: what was processed so far stands")
        self._write(is_finished=True)

    def result(self) -> ProgramResult:
        """The table of all sets, and the files once more."""
        entries = list(self.entries.values())
        self.context.table(table_of(entries))
        colours = [e["colour"] for e in entries]
        summary = {"n_sets": len(entries), **{c: colours.count(c) for c in ("green", "amber", "red")}}
        files: dict[str, Any] = {}
        if self.params.output.json is not None:
            content = json_text(results_of(entries, version("spindle-diffraction-base"), True), 1) + "\n"
            files[str(self.params.output.json)] = lambda path: Path(path).write_text(content, encoding="utf-8")
        if self.params.output.html is not None:
            page = page_of(entries, True)
            files[str(self.params.output.html)] = lambda path: Path(path).write_text(page, encoding="utf-8")
        bad = {None: (), "red": ("red",), "amber": ("amber", "red")}[self.params.fail_if]
        n_bad = sum(c in bad for c in colours)
        unfit = (
            f"{n_bad} of {len(entries)} data sets are {' or '.join(bad)}, and fail_if={self.params.fail_if}"
            if n_bad
            else ""
        )
        return ProgramResult(summary=summary, files=files, next_step=_next(entries, self.params), unfit=unfit)


def _next(entries: Sequence[dict[str, Any]], params: Any) -> str:
    """What to do with the sets."""
    page = f"open {params.output.html}" if params.output.html is not None else "look at the table"
    good = [e["name"] for e in entries if e["colour"] != "red" and "experiments" in e["files"]]
    if len(good) < 2:
        return page
    files = " ".join(f"{name}/integrated.expt {name}/integrated.refl" for name in good[:3])
    more = " ..." if len(good) > 3 else ""
    return f"{page}; sets of one crystal form are put together with spindle cosym {files}{more}"


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.strip(), value


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
