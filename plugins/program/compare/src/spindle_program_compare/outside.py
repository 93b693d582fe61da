"""Contestants that are other programs: commands run in a folder of their own, and the files that they leave."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.errors import SpindleError, UserError
from spindle.execution import program_command
from spindle.files import write_experiments, write_reflections

from .chain import NAMES, Given
from .contestant import Contestant, Stage, StepCost
from .finished import read_result

__all__ = ["DIALS", "Runner", "declared_runner", "run_outside"]

_PAUSE = 0.1
_LAST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Runner:
    """A program, or several, that process the same input.

    Attributes
    ----------
    name : str
    commands : tuple of (step, command)
        Run one after the other, without a shell. A step is one of `NAMES` for those that begin where Spindle's steps begin; of those
        only the ones from the first step on are run. In a command ``{images}`` stands for all image files, ``{experiments}`` and
        ``{reflections}`` for what was given, ``{nproc}`` for the number of workers.
    stages : dict of str to (experiments, reflections)
        Files that the stages indexed, refined, integrated and scaled are read from, where they are there.
    reads : dict of str to (experiments, reflections)
        Names under which a step finds what was given.
    """

    name: str
    commands: tuple[tuple[str, str], ...]
    stages: dict[str, tuple[str, str]]
    reads: dict[str, tuple[str, str]]


DIALS = Runner(
    "dials",
    (
        ("import", "dials.import {images}"),
        ("find_spots", "dials.find_spots imported.expt nproc={nproc}"),
        ("index", "dials.index imported.expt strong.refl nproc={nproc}"),
        ("refine", "dials.refine indexed.expt indexed.refl"),
        ("integrate", "dials.integrate refined.expt refined.refl nproc={nproc}"),
        ("symmetry", "dials.symmetry integrated.expt integrated.refl"),
        ("scale", "dials.scale symmetrized.expt symmetrized.refl"),
    ),
    {
        "indexed": ("indexed.expt", "indexed.refl"), "refined": ("refined.expt", "refined.refl"),
        "integrated": ("integrated.expt", "integrated.refl"), "scaled": ("scaled.expt", "scaled.refl"),
    },
    {
        "find_spots": ("imported.expt", ""), "index": ("imported.expt", "strong.refl"), "refine": ("indexed.expt", "indexed.refl"),
        "integrate": ("refined.expt", "refined.refl"), "symmetry": ("integrated.expt", "integrated.refl"),
        "scale": ("symmetrized.expt", "symmetrized.refl"),
    },
)  # fmt: skip


def declared_runner(name: str, table: Mapping[str, Any]) -> Runner:
    """A runner as a file of runs declares it.

    Raises
    ------
    UserError
        If it has no commands, or no results.
    """
    commands = table.get("commands")
    if not isinstance(commands, list) or not commands or not all(isinstance(c, str) for c in commands):
        raise UserError(f'compare: runners.{name} needs commands = ["...", ...], run one after the other')
    stages = {}
    for stage, files in table.items():
        if stage == "commands":
            continue
        if stage not in ("indexed", "refined", "integrated", "scaled"):
            raise UserError(f"compare: runners.{name}.{stage}: stages are indexed, refined, integrated and scaled")
        words = [files] if isinstance(files, str) else files
        if not isinstance(words, list) or not 1 <= len(words) <= 2:
            raise UserError(f'compare: runners.{name}.{stage} = {files!r}: one file, or ["x.expt", "x.refl"]')
        stages[stage] = (words[0], words[1]) if len(words) == 2 else ("", words[0])
    if not stages:
        raise UserError(
            f'compare: runners.{name} does not say what it leaves; write for example scaled = "XDS_ASCII.HKL"'
        )
    return Runner(name, tuple((f"command {i + 1}", c) for i, c in enumerate(commands)), stages, {})


def run_outside(runner: Runner, given: Given, stop: int, folder: Path, context: Any) -> Contestant:
    """Run the commands in a folder; what goes wrong is the reason of the contestant."""
    contestant = Contestant(runner.name, runner.name)
    try:
        experiments, reflections = _hand_over(runner, given, folder)
        images = " ".join(shlex.quote(str(p.resolve())) for p in given.files)
        for step, command in runner.commands:
            if step in NAMES and not given.start <= NAMES.index(step) <= stop:
                continue
            contestant.failed_at = step
            words = shlex.split(
                command.format(images=images, experiments=experiments, reflections=reflections, nproc=context.n_workers)
            )
            context.log.info("%s ...", words[0])
            contestant.costs.append(_run(step, words, folder, context))
        contestant.failed_at = ""
    except SpindleError as error:
        contestant.reason = str(error)
    for stage, (expt, refl) in runner.stages.items():
        if not (folder / refl).is_file():
            continue
        try:
            setattr(contestant, stage, _stage(folder / expt if expt else None, folder / refl, context))
        except SpindleError as error:
            contestant.reason = contestant.reason or str(error)
    if contestant.last is None and not contestant.reason:
        wanted = ", ".join(refl for _, refl in runner.stages.values())
        contestant.reason = f"it left none of the files {wanted}"
    _count_spots(contestant, folder)
    return contestant


def _stage(experiments: Path | None, reflections: Path, context: Any) -> Stage:
    return read_result(reflections, experiments, context)


def _hand_over(runner: Runner, given: Given, folder: Path) -> tuple[str, str]:
    """Write what was given in memory where the first command finds it."""
    if given.experiments is None:
        return "", ""
    expt, refl = runner.reads.get(NAMES[given.start], ("given.expt", "given.refl"))
    write_experiments(given.experiments, folder / expt)
    if given.reflections is not None and refl:
        write_reflections(given.reflections, folder / refl)
    return expt, refl


def _run(step: str, words: list[str], folder: Path, context: Any) -> StepCost:
    """Run a command, outside of our own environment.

    Raises
    ------
    UserError
        If it is not there, or ends with an error.
    """
    path = shutil.which(words[0])
    if path is None:
        raise UserError(f"{words[0]} is not installed on this machine, or not on its PATH")
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONPYCACHEPREFIX")}
    environment["PATH"] = os.pathsep.join([str(Path(path).parent), environment.get("PATH", "")])
    began = time.perf_counter()
    log = folder / f"{step.replace(' ', '_')}.output"
    with open(log, "wb") as output:
        child = subprocess.Popen(
            program_command(path, *words[1:]),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        cpu, memory = _wait(child, context)
    if child.returncode != 0:
        said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise UserError(
            f"{words[0]} ended with code {child.returncode}: {' / '.join(said[-_LAST_WORDS:]) or 'it said nothing'}"
        )
    return StepCost(step, time.perf_counter() - began, cpu, memory)


def _wait(child: subprocess.Popen[bytes], context: Any) -> tuple[float | None, float | None]:
    """Wait for the end; seconds of processor time and peak memory (MB), where the system tells them."""
    try:
        if os.name == "posix":
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024.0
                context.check_cancelled()
                time.sleep(_PAUSE)
        while child.poll() is None:
            context.check_cancelled()
            time.sleep(_PAUSE)
        return None, None
    except BaseException:
        with suppress(OSError):
            child.kill()
            child.wait()
        raise


def _count_spots(contestant: Contestant, folder: Path) -> None:
    """Spots found and indexed, of programs that leave them as DIALS does."""
    from spindle.files import read_reflections

    if contestant.indexed is None or not (folder / "strong.refl").is_file():
        return
    n_spots = len(read_reflections(folder / "strong.refl"))
    n_indexed = int((contestant.indexed.reflections["id"] >= 0).sum())
    contestant.numbers["index"] = {
        "n_spots": n_spots, "n_indexed": n_indexed, "fraction_indexed": n_indexed / max(n_spots, 1),
    }  # fmt: skip
