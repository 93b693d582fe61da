"""Every file-system operation of a program ended or failed once, and its memory taken away.

``python tools/crashes.py FOLDER --program merge`` runs a program on the files of a finished ``spindle process`` run in FOLDER (an
empty folder is given some), counts what it does to files (open to write, write, fsync, rename, remove, chmod, mkdir), and runs it again
once for each: at the n-th operation the process is killed in the middle of it (``kill``), the operation fails once (``fails``), or the
disk is full from there on (``full``). Afterwards each output is whole, the old or the new one; a failure is one message and exit code 2; and the next run leaves
nothing of the last behind. ``memory`` gives the program a few MiB more at each run until it ends well. The suite runs a small part.

Operations of libraries that write files themselves (MTZ and HDF5) are not counted; what they write is temporary.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from damage import SERVING, run_in_process, visit
from damage_inputs import OF_SEVERAL, STAGES, of_several, write_data, write_open_mask
from damage_run import make_run
from injecting import Injector

CPU_SECONDS = 120
MODES = ("kill", "fails", "full", "memory")
# Per program its command line and what it is run on; mask.npz is there.
PROGRAMS = {
    "generate_mask": "generate_mask imported.expt border=2 output.mask=new.npz",
    "apply_mask": "apply_mask imported.expt mask.npz",
    "find_spots": "find_spots imported.expt",
    "index": "index imported.expt strong.refl",
    "refine": "refine indexed.expt indexed.refl",
    "integrate": "integrate refined.expt refined.refl",
    "symmetry": "symmetry integrated.expt integrated.refl",
    "scale": "scale symmetrized.expt symmetrized.refl",
    "merge": "merge scaled.expt scaled.refl",
    "export": "export scaled.expt scaled.refl",
    "report": "report scaled.expt scaled.refl",
    "compare": "compare results=scaled.refl,scaled.expt results=symmetrized.refl,symmetrized.expt",
    "multiplex": "multiplex integrated.expt integrated.refl",
    "damage_analysis": "damage_analysis scaled.expt scaled.refl",
    "merging_statistics": "merging_statistics scaled.expt scaled.refl",
    "rs_mapper": "rs_mapper indexed.expt grid_size=16",
    "scale_stills": "scale_stills stills_integrated.expt stills_integrated.refl",
    "stills_process": "stills_process stills.expt mp.method=serial",
    "batch": "batch sets.toml stop_after=import mp.method=serial",
    "reciprocal_lattice_viewer": "reciprocal_lattice_viewer indexed.expt indexed.refl",
    "image_viewer": "image_viewer indexed.expt indexed.refl browser=False",
    "view": "view integrated.expt integrated.refl browser=False",
}
# What a run that fails leaves for the next one, which goes on there and removes it.
KEPT = {"stills_process.parts"}


@dataclass(frozen=True)
class Finding:
    """What was wrong after one run: program, mode, number of the operation, what it was, and what was found."""

    program: str
    mode: str
    n: int
    operation: str
    what: str


def run(words: list[str], folder: Path, mode: str = "none", n: int = 0) -> tuple[int, str, list[str]]:
    """Run a program in a child of this process.

    Returns
    -------
    code : int
        Exit code, or minus the number of the signal that ended it.
    text : str
        What it printed.
    operations : list of str
        With the mode "count".
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as journal:
        child = os.fork()
        if child == 0:
            _run_here(words, folder, mode, n, printed.fileno(), journal.fileno())
        _, status = os.waitpid(child, 0)
        printed.seek(0)
        journal.seek(0)
        text, operations = printed.read().decode(errors="replace"), journal.read().decode().splitlines()
    code = os.waitstatus_to_exitcode(status)
    if code == 0 and words[0] in SERVING and "error: " in text:  # a page refuses a question, and goes on
        code = 2
    return code, text, operations


def _run_here(words: list[str], folder: Path, mode: str, n: int, printed: int, journal: int) -> None:
    """Be the child: never returns."""
    code = 99
    try:
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        for name, handle in (("stdout", 1), ("stderr", 2)):  # not those of a test runner
            setattr(sys, name, open(handle, "w", buffering=1, closefd=False))  # noqa: SIM115
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        signal.alarm(20 * CPU_SECONDS)  # what waits for ever takes no processor time
        from spindle.cli.main import main

        if words[0] in SERVING:
            threading.Thread(target=visit, args=(Path(f"/proc/self/fd/{printed}"), True), daemon=True).start()
        if mode == "memory":
            with open("/proc/self/statm") as file:
                now = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + n * 2**20, now + n * 2**20))
        elif mode != "none":
            Injector(folder, mode, n, journal).install()
        code = main(words)
        sys.stdout.flush()
    except BaseException as error:
        os.write(2, f"\nTraceback (most recent call last) of {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code if isinstance(code, int) and 0 <= code < 99 else 99)


def warm_up() -> None:
    """Load all programs here, so that children have the libraries that end a process when they are loaded without memory."""
    import gemmi  # noqa: F401

    from spindle.plugins import is_strict, registry
    from spindle.plugins.host import PluginHost

    if is_strict():
        registry().check_all()
    host = PluginHost()
    for name in registry().names("program"):
        host.load("program", name)


def prepare(program: str, source: Path, folder: Path) -> list[str]:
    """Copy what a program is run on into a folder; return the words of its command line."""
    words = PROGRAMS[program].split()
    for name in re.split("[=,]", ",".join(words[1:])):
        if (source / name).is_file():
            shutil.copy(source / name, folder / name)
    if program in OF_SEVERAL:
        content = of_several(source, STAGES[program])
        (folder / words[1]).write_bytes(content["e"])
        (folder / words[2]).write_bytes(content["r"])
    if "sets.toml" in words:
        write_data(source, folder, folder / "sets.toml")
    write_open_mask(source / "imported.expt", folder / "mask.npz")
    return words


def whole(path: Path) -> bool:
    """Whether a file can be read to its end."""
    from spindle.errors import SpindleError
    from spindle.files import read_experiments, read_reflections

    try:
        if path.suffix == ".expt":
            read_experiments(path)
        elif path.suffix == ".refl":
            read_reflections(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".npz":
            with np.load(path) as content:
                return all(content[name].size for name in content)
        elif path.suffix == ".mtz":
            import gemmi

            gemmi.read_mtz_file(str(path))
        elif path.suffix == ".html":
            return path.read_text().rstrip().endswith("</html>")
    except (SpindleError, ValueError, OSError, RuntimeError, EOFError):
        return False
    return True


class Case:
    """A program whose operations are known: what it does to files, and what it leaves when nothing happens."""

    def __init__(self, program: str, source: Path) -> None:
        self.program, self.source = program, source
        with _folder() as folder:
            self.words = prepare(program, source, folder)
            given = set(os.listdir(folder))
            code, text, self.operations = run(self.words, folder, "count")
            if code != 0:
                raise RuntimeError(f"spindle {' '.join(self.words)} ended with {code}:\n{text}")
            self.left = set(os.listdir(folder))
            new = sorted(self.left - given)
            names = [name for name in new if not name.endswith(".log") and (folder / name).is_file()]
            # what is no run record is not replaced by one
            self.old = {n: (folder / n).read_bytes() if n.endswith(".json") else b"the old one" for n in names}

    def try_out(self, mode: str, n: int) -> list[Finding]:
        """What is wrong after operation n was ended or failed, or with n MiB of memory."""
        found = []
        operation = self.operations[n - 1] if mode != "memory" else f"{n} MiB"

        def note(what: str) -> None:
            found.append(Finding(self.program, mode, n, operation, what))

        with _folder() as folder:
            prepare(self.program, self.source, folder)
            for name, old in self.old.items():
                (folder / name).write_bytes(old)
            code, text, _ = run(self.words, folder, mode, n)
            for name, old in self.old.items():
                path = folder / name
                is_json = path.suffix == ".json"  # records are removed before what they describe is replaced
                if not path.exists():
                    if not is_json:
                        note(f"{name} is gone")
                elif path.read_bytes() != old and not whole(path):
                    note(f"{name} is not whole")
                elif code == 0 and not is_json and path.read_bytes() == old:
                    note(f"the exit code is 0, {name} is the old one")
            if mode == "kill":
                if code not in (-signal.SIGKILL, 0):
                    note(f"ended with {code}")
                code, text, _ = run(self.words, folder)
                if code != 0:
                    note(f"the next run ended with {code}: {text[-600:]}")
            elif code not in (0, 2):
                note(f"ended with {code}: {text[-500:]}")
            elif "Traceback" in text or "Exception ignored" in text:
                note(f"printed a traceback: {text[-500:]}")
            elif code == 2 and text.count("error: ") != 1 and self.words[0] not in SERVING:
                note(f"{text.count('error: ')} messages: {text[-600:]}")
            elif code == 2 and f"{folder.name}/." in text.split("error: ")[1]:
                note(f"names a hidden file: {text[-300:]}")
            strange = sorted(set(os.listdir(folder)) - self.left)
            if code == 2 and strange and KEPT.issuperset(strange):
                code, text, _ = run(self.words, folder)
                if code != 0:
                    note(f"the next run ended with {code}: {text[-600:]}")
                strange = sorted(set(os.listdir(folder)) - self.left)
            if mode == "fails" and operation.startswith("remove"):  # the next run removes what this one could not
                strange = [name for name in strange if not name.startswith(".")]
            if strange:
                note(f"left {', '.join(strange)}")
        return found


class _folder:
    """A folder for one run."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="crashes-"))
        return self.path

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def cases(
    program: str, source: Path, modes: tuple[str, ...] = MODES, choose: Callable[[int], list[int]] | None = None
) -> Iterator[tuple[str, int, list[Finding]]]:
    """Try a program at every operation, or those that ``choose`` picks of their number; with memory of 1, 2, 4 ... MiB.

    Yields
    ------
    mode, n, findings
    """
    case = Case(program, source)
    total = len(case.operations)
    for mode in modes:
        numbers = [2**k for k in range(11)] if mode == "memory" else list(range(1, total + 1))
        for n in numbers if choose is None else [numbers[i] for i in choose(len(numbers))]:
            yield mode, n, case.try_out(mode, n)


def main() -> int:
    """Try programs and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="files of a finished run of spindle process")
    parser.add_argument("--program", action="append", choices=list(PROGRAMS), help="only these programs")
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument(
        "--points", type=int, default=10**9, help="no more than so many operations of each, evenly taken"
    )
    arguments = parser.parse_args()

    def evenly(n: int) -> list[int]:
        return (
            list(range(n))
            if n <= arguments.points
            else np.linspace(0, n - 1, arguments.points).round().astype(int).tolist()
        )

    from spindle.execution.compile_cache import prepare_compile_cache

    prepare_compile_cache()
    warm_up()
    counts: Counter[tuple[str, str]] = Counter()
    wrong = 0
    source, modes = arguments.folder.resolve(), tuple(arguments.mode or MODES)
    make_run(source)
    programs = arguments.program or list(PROGRAMS)
    for program in programs:
        if "memory" not in modes:  # which is that of a program that has loaded nothing
            with _folder() as folder:
                run_in_process(prepare(program, source, folder), folder, folder / "printed.txt")
                os.chdir("/")
        chosen = cases(program, source, modes, evenly)
        for mode, n, findings in chosen:
            counts[program, mode] += 1
            wrong += bool(findings)
            for found in findings:
                print(f"--- {found.program}, {found.mode} {n} ({found.operation}): {found.what}", flush=True)
    print(f"{'program':<24}" + "".join(f"{mode:>10}" for mode in MODES))
    for program in programs:
        print(f"{program:<24}" + "".join(f"{counts[program, mode]:>10}" for mode in MODES))
    print(f"{wrong} of {sum(counts.values())} runs have findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
