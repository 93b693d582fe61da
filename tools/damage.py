"""Damaged inputs for every program that reads experiments, reflections, records and parameter files.

``python tools/damage.py FOLDER --kind expt --cases 200 --seed 7`` takes the files of a finished ``spindle process`` run in FOLDER (an
empty folder is given some), damages one of them per case, runs a program on it, and counts how it ended. A run may end well or with one
message; a traceback, a signal, more than `CPU_SECONDS` of processor time, more than `MEMORY` bytes, or a number that is not finite in an
output is a fault, which is printed with the command that makes it again (``--case``); the most time and memory that a program took stand
beside its counts. Programs are loaded and run once before; each case is a child of that process, which finds their compiled kernels.
``--minutes`` ends sooner, and ``--skip`` goes on there. ``--bounds`` has numba check every index of its kernels. The suite runs a small
fixed part.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import gzip
import http.client
import json
import os
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from damage_inputs import DATA_PROGRAMS, PROGRAMS, given_files, programs_of
from damage_run import make_run
from spoiling import damaged_data, damaged_experiments, damaged_reflections, damaged_text

KINDS = ("expt", "refl", "data", "text", "record")
CPU_SECONDS = 10  # of all threads and children together; programs take less than two on the small sets that are given
MEMORY = 2 * 2**30
# These serve a page until they are interrupted; what is asked of it.
SERVING = ("image_viewer", "view")
PIXELS = {"set": 0, "image": 1}
QUESTIONS: dict[str, dict[str, Any]] = {
    "state": {}, "scene": {"set": 0}, "reflections": PIXELS, "radial": PIXELS, "resolution_rings": {"set": 0}, "predict": {}, "lattice": {},
    "mask": {"set": 0, "rules": {"border": 2}, "shapes": []},
}  # fmt: skip
# What is asked besides where it is the files that the page writes that count.
WRITING: dict[str, dict[str, Any]] = {
    "write_mask": {"set": 0, "rules": {"border": 2}, "shapes": [], "name": "drawn.npz", "replace": True},
    "export_rows": {"bits": "/w==", "name": "chosen.refl", "replace": True},
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "well", "message" or the kind of fault; what it printed; seconds of processor time and bytes at its peak."""

    kind: str
    text: str
    seconds: float
    memory: int

    @property
    def is_fault(self) -> bool:
        """Whether it should not have ended so."""
        return self.kind not in ("well", "message")


def run(words: list[str], folder: Path, most_seconds: int = CPU_SECONDS) -> Outcome:
    """Run a program in a child of this process, in ``folder``, within limits of memory and time."""
    log = folder / "printed.txt"
    given = set(os.listdir(folder))
    child = os.fork()
    if child == 0:
        _run_here(words, folder, log, most_seconds)
    _, status, used = os.wait4(child, 0)
    text = log.read_text(errors="replace")
    seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024

    def outcome(kind: str, more: str = "") -> Outcome:
        return Outcome(kind, text + more, seconds, memory)

    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU or seconds > most_seconds:
        return outcome("too slow")
    if code < 0:
        return outcome(f"signal {-code}")
    if memory > MEMORY:
        return outcome("too large")
    if code not in (0, 2):
        return outcome("traceback")
    if "Traceback (most recent call last)" in text:
        return outcome("traceback printed")
    if os.environ.get("NUMBA_BOUNDSCHECK") and "out of bounds for axis" in text:  # taken for damage, and refused
        return outcome("out of bounds")
    wrong = not_finite(folder, given)
    if wrong:
        return outcome("not finite", f"\n{wrong}")
    return outcome("well" if code == 0 else "message")


def _run_here(words: list[str], folder: Path, log: Path, most_seconds: int) -> None:
    """Be the child: never returns."""
    code = 99
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds + 5))
        signal.alarm(60 * most_seconds)  # what waits for ever takes no processor time
        # Numba's code and the stacks of threads take address space, but no memory.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + 2**31, MEMORY + 2**31))
        code = _main(words, log)
    except BaseException as error:
        os.write(2, f"\nTraceback (most recent call last) of {type(error).__name__}: {error}\n".encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) and 0 <= code < 99 else 99)


def visit(printed: Path, writing: bool = False) -> None:
    """Ask a page of this process what its first pictures ask, then interrupt it; what it prints and answers shows its faults.

    With ``writing`` it is asked to write its files, too, and its refusals are printed as the messages of programs are.
    """
    try:
        found = None
        while found is None:
            time.sleep(0.05)
            found = re.search(r"http://localhost:(\d+)/\S*#token=([^&\s]+)", printed.read_text(errors="replace"))
        for name, words in (QUESTIONS | WRITING if writing else QUESTIONS).items():
            with contextlib.closing(http.client.HTTPConnection("localhost", int(found[1]), timeout=60)) as client:
                client.request("POST", f"/api/{name}", json.dumps(words), {"Authorization": f"Bearer {found[2]}"})
                answer = client.getresponse()
                content = answer.read()
            if answer.status >= 500:
                os.write(
                    2,
                    f"\nTraceback (most recent call last): {name} answered {answer.status}: {content[:500]!r}\n".encode(),
                )
            elif answer.status >= 400 and writing:
                os.write(2, b"error: " + content + b"\n")
            elif answer.getheader("content-type", "").startswith("application/json"):
                text = zlib.decompress(content) if answer.getheader("content-encoding") else content
                json.loads(text, parse_constant=_refuse(name))
    except Exception as error:
        os.write(2, f"\nTraceback (most recent call last) of {type(error).__name__}: {error}\n".encode())
    os.kill(os.getpid(), signal.SIGINT)


def _refuse(name: str) -> Callable[[str], float]:
    def refuse(value: str) -> float:
        raise ValueError(f"{value} in {name} is no number")

    return refuse


def not_finite(folder: Path, given: set[str]) -> str:
    """What is not finite in the files of a run that were not given, or is no JSON."""
    from spindle.errors import SpindleError
    from spindle.files import read_experiments, read_reflections
    from spindle.table import SCHEMA

    for path in sorted(folder.iterdir()):
        if path.name in given:
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(), parse_constant=_refuse(path.name))
            elif path.suffix == ".expt":
                read_experiments(path)
            elif path.suffix == ".refl":
                table = read_reflections(path)
                for name in SCHEMA:
                    values = table.get(name)
                    if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
                        return f"{path.name}: column {name} is not finite"
        except (SpindleError, ValueError) as error:
            return f"{path.name} cannot be read: {error}"
    return ""


def warm(source: Path, programs: list[str]) -> None:
    """Load the programs and run each once in this process, undamaged: its children have what they import, and its compiled kernels.

    A child that loads these itself takes ten times as long as one that finds them.
    """
    from crashes import warm_up

    warm_up()
    before = Path.cwd()
    for program in programs:
        folder = Path(tempfile.mkdtemp(prefix="damage-"))
        try:
            _, words = given_files(program, source, folder, np.random.default_rng(1))
            log = folder / "printed.txt"
            code = run_in_process(words, folder, log)
            if code != 0:
                raise RuntimeError(f"undamaged, spindle {' '.join(words)} ended with {code}:\n{log.read_text()}")
        finally:
            os.chdir(before)
            shutil.rmtree(folder, ignore_errors=True)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all of this


def run_in_process(words: list[str], folder: Path, log: Path) -> int:
    """Run a program in this process, which prints to a file; return its exit code."""
    kept = os.dup(1), os.dup(2)
    streams = sys.stdout, sys.stderr
    handler = signal.getsignal(signal.SIGINT)
    with open(log, "w", buffering=1) as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
        sys.stdout = sys.stderr = out
        try:
            os.chdir(folder)
            return _main(words, log)
        finally:
            for number, handle in zip((1, 2), kept, strict=True):
                os.dup2(handle, number)
                os.close(handle)
            sys.stdout, sys.stderr = streams
            signal.signal(signal.SIGINT, handler)


def _main(words: list[str], log: Path) -> int:
    from spindle.cli.main import main

    if words[0] in SERVING:
        threading.Thread(target=visit, args=(log,), daemon=True).start()
    return main(words)


def case(
    kind: str, program: str, source: Path, folder: Path, seed: int, most_seconds: int = CPU_SECONDS
) -> tuple[list[str], Outcome]:
    """Damage one file of a run (one of `KINDS`; "none" of them) and run a program on it."""
    rng = np.random.default_rng(seed)
    if kind == "record":
        record = record_of(program, source)
        given_files(program, source, folder, np.random.default_rng(1))
        (folder / "record.json").write_bytes(damaged_experiments(record.read_bytes(), rng))
        words = ["replay", "record.json", *["--force"][: rng.integers(2)]]
        return words, run(words, folder, most_seconds)
    files, words = given_files(program, source, folder, rng)
    second = kind in ("expt", "refl") and f"{kind[0]}2" in files and rng.integers(4) == 0
    if second:
        file = files[f"{kind[0]}2"]
        file.write_bytes((damaged_experiments if kind == "expt" else damaged_reflections)(file.read_bytes(), rng))
    elif kind == "expt":
        files["e"].write_bytes(damaged_experiments(files["e"].read_bytes(), rng))
    elif kind == "refl":
        content = damaged_reflections(files["r"].read_bytes(), rng)
        if rng.integers(20) == 0:
            words = [w.replace(".refl", ".refl.gz") if w == files["r"].name else w for w in words]
            Path(f"{files['r']}.gz").write_bytes(gzip.compress(content))
        else:
            files["r"].write_bytes(content)
    elif kind == "data":
        spoil = damaged_text if files["d"].suffix == ".toml" and rng.integers(2) else damaged_data
        files["d"].write_bytes(spoil(files["d"].read_bytes(), rng))
    elif kind == "text":
        name = ["run.toml", "run.phil"][rng.integers(2)]
        (folder / name).write_bytes(damaged_text(parameter_text(program, name), rng))
        words.append(name)
    return words, run(words, folder, most_seconds)


def record_of(program: str, source: Path) -> Path:
    """The record of an undamaged run of a program, which is made when there is none."""
    path = source / f"made_record_{program.replace(' ', '_')}.json"
    if not path.exists():
        folder = Path(tempfile.mkdtemp(prefix="damage-"))
        try:
            words, outcome = case("none", program, source, folder, 1, 3600)
            if outcome.kind != "well":
                raise RuntimeError(f"undamaged, spindle {' '.join(words)} ended with {outcome.kind}:\n{outcome.text}")
            shutil.copy(folder / f"spindle.{words[0]}.json", path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def parameter_text(program: str, name: str) -> bytes:
    """A parameter file with some parameters of every program."""
    if name.endswith(".toml"):
        return b'run.seed = 3\noutput.log = "x.log"\n[mp]\nnproc = 1\nmethod = "threads"\n'
    return b"run {\n  seed = 3\n}\noutput.log = x.log\nmp {\n  nproc = 1\n  method = threads\n}\n"


def cases(
    kind: str, source: Path, n: int, seed: int, programs: list[str] | None = None, skip: int = 0
) -> Iterator[tuple[int, str, list[str], Outcome]]:
    """Run the cases from number ``skip`` to n; the number of a case and its program are enough to make it again.

    Yields
    ------
    number, program, words of the command line, outcome
    """
    names = programs or programs_of(kind, source)
    for i in range(skip, n):
        number = seed * 1_000_000 + i
        program = names[i % len(names)]
        folder = Path(tempfile.mkdtemp(prefix="damage-"))
        try:
            words, outcome = case(kind, program, source, folder, number)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        yield number, program, words, outcome


def told(kind: str, number: int, program: str, words: list[str], outcome: Outcome) -> str:
    """What is printed of a fault."""
    again = f"python tools/damage.py FOLDER --kind {kind} --program {shlex.quote(program)} --case {number} --keep CASE"
    return f"--- {outcome.kind}: spindle {' '.join(words)}\nagain: {again}\n{outcome.text[-2500:]}\n"


def one_case(kind: str, program: str, number: int, source: Path, kept: Path) -> int:
    """Make a case again in a folder that stays, and print how it ends."""
    kept.mkdir(parents=True)
    words, outcome = case(kind, program, source, kept.resolve(), number)
    print(
        f"{outcome.text}\n{outcome.kind}, {outcome.seconds:.1f} s, {outcome.memory / 1e6:.0f} MB: spindle {' '.join(words)}"
    )
    return int(outcome.is_fault)


def main() -> int:
    """Run many cases and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="files of a finished run of spindle process, or empty")
    parser.add_argument("--kind", choices=KINDS, action="append", help="one or several, expt without")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--skip", type=int, default=0, help="begin with the case of this number")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no case after so many minutes")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SPINDLE_FUZZ_SEED", "1")))
    parser.add_argument("--program", action="append", choices=[*PROGRAMS, *DATA_PROGRAMS], help="only these programs")
    parser.add_argument("--case", type=int, help="make this case of the one --program again")
    parser.add_argument("--keep", type=Path, default=Path("CASE"), help="new folder for the files of that case")
    parser.add_argument("--bounds", action="store_true", help="check every index of compiled kernels")
    arguments = parser.parse_args()
    if arguments.bounds:
        os.environ["NUMBA_BOUNDSCHECK"] = "1"
    from spindle.execution.compile_cache import prepare_compile_cache

    prepare_compile_cache()
    source = arguments.folder.resolve()
    make_run(source)
    kinds = arguments.kind or ["expt"]
    asked = arguments.program
    programs = {kind: [name for name in programs_of(kind, source) if not asked or name in asked] for kind in kinds}
    warm(source, list(dict.fromkeys(program for names in programs.values() for program in names)))
    if arguments.case is not None:
        return one_case(kinds[0], programs[kinds[0]][0], arguments.case, source, arguments.keep)
    end = time.monotonic() + 60 * arguments.minutes
    faults = 0
    for kind in kinds:
        chosen = cases(kind, source, arguments.cases, arguments.seed, programs[kind], arguments.skip)
        faults += count(kind, chosen, end)
    return 1 if faults else 0


def count(kind: str, chosen: Iterable[tuple[int, str, list[str], Outcome]], end: float = float("inf")) -> int:
    """Run cases until a time of `time.monotonic`, print faults and the table of programs; return the number of faults."""
    counts: Counter[tuple[str, str]] = Counter()
    most: dict[str, tuple[float, int]] = {}
    faults = 0
    for number, program, words, outcome in chosen:
        counts[program, outcome.kind] += 1
        seconds, memory = most.get(program, (0.0, 0))
        most[program] = max(seconds, outcome.seconds), max(memory, outcome.memory)
        if outcome.is_fault:
            faults += 1
            print(told(kind, number, program, words, outcome), flush=True)
        if time.monotonic() > end:
            print(f"{kind} ended early; go on with --skip {number % 1_000_000 + 1}")
            break
    ends = sorted({ending for _, ending in counts})
    print(f"{kind:<32}" + "".join(f"{ending:>18}" for ending in [*ends, "most seconds", "most MB"]))
    for program in sorted(most):
        seconds, memory = most[program]
        row = "".join(f"{counts[program, ending]:>18}" for ending in ends)
        print(f"{program:<32}{row}{seconds:>18.1f}{memory / 1e6:>18.0f}")
    total = {ending: sum(n for (_, k), n in counts.items() if k == ending) for ending in ends}
    print(f"{sum(total.values())} {kind}: " + ", ".join(f"{n} {ending}" for ending, n in total.items()), flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
