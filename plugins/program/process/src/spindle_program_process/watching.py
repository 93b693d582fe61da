"""A series that is still being written: spots as images come, and the whole chain on those that are there so far."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.errors import Cancelled, ParameterError, UserError
from spindle.execution import module_command
from spindle.images import ArrivingImages, to_come
from spindle.models import Experiments
from spindle.params import walk
from spindle.report import EVENT

__all__ = ["Finished", "follow"]

#: Folder of what is processed while images come.
SO_FAR = "so_far"
ERRORS, RESULT = "errors.txt", "process.json"
#: The first time with so many images that turn the crystal so far; again with so many times more.
FEWEST_IMAGES, FEWEST_DEGREES, MORE = 20, 5.0, 1.5
PAUSE = 0.5
#: Parameters that say how images come, not what is done with them.
_OF_WATCHING = ("watch", "watch_timeout", "watch_images", "import.format.growing", "import.input.template")


@dataclass(frozen=True)
class Finished:
    """A series that has come to its end.

    Attributes
    ----------
    files : list of Path
    n_images : int
    """

    files: list[Path]
    n_images: int

    def settings(self, program: str) -> dict[str, Any]:
        """Parameters of a step that processes it like any other series."""
        if program == "find_spots":
            return {"watch_images": self.n_images}
        return {"format.growing": False, "input.template": None} if program == "import" else {}


def follow(files: list[Path], params: Any, context: Any) -> Finished:
    """Return when the series is finished; `find_spots` then remembers the spots of every image.

    Parameters
    ----------
    files : list of Path
        The images that the user named.
    params : Params
        Those of `process`.
    context : RunContext

    Raises
    ------
    UserError
        If no image comes, or if those that come are of several series.
    """
    if params.import_.geometry.scan.image_range is not None:
        raise ParameterError(
            "process: image_range= chooses images of a finished series; say how many there will be with watch_images="
        )
    begun = _begin(files, params, context)
    if len(begun) > 1:
        raise UserError(f"process: watch=True follows one series; the images make {len(begun)}")
    series = to_come(begun, params.find_spots.watch_images)
    so_far = _SoFar(series, params, context)
    so_far.start()
    try:
        found = context.run_program(
            "find_spots", begun, brief=not params.details, **{"output.experiments": "watched.expt"}
        )
    finally:
        so_far.stop()
    experiment = found.experiments[0]
    images = ArrivingImages(experiment, 0.0)
    n_images = images.n_images
    paths = [Path(p) for p in dict.fromkeys(images.file_of(i)[0] for i in range(n_images))]
    context.log.info("The series is finished: %d images", n_images)
    return Finished(paths, n_images)


def _begin(files: list[Path], params: Any, context: Any) -> Experiments:
    """The experiments of the first images, once there are any."""
    since, fault = time.monotonic(), None
    context.log.info("Waiting for the first images")
    while time.monotonic() - since < params.find_spots.watch_timeout:
        context.check_cancelled()
        try:
            experiments: Experiments = context.run_program("import", files=files, brief=True).experiments
            if any(e.scan is not None and not e.is_still for e in experiments):
                return experiments
            fault = UserError("process: watch=True needs a rotation series; there are only stills so far")
        except Cancelled:
            raise
        except UserError as error:  # not there yet, or not whole
            fault = error
        time.sleep(PAUSE)
    assert fault is not None
    raise fault


class _SoFar(threading.Thread):
    """Runs the chain on the images that are there, again and again, in a process beside."""

    def __init__(self, series: Experiments, params: Any, context: Any) -> None:
        super().__init__(name="spindle so far", daemon=True)
        self.images = ArrivingImages(series[0], 0.0)
        self.params, self.context = params, context
        self.ended = threading.Event()
        self.words = _words(params)

    def stop(self) -> None:
        """End the process beside and wait for it."""
        self.ended.set()
        self.join()

    def run(self) -> None:
        """Look at the number of images, and process them when there are enough."""
        scan = self.images.experiment.scan
        assert scan is not None
        width = max(abs(scan.oscillation_deg[1]), 1e-6)
        wanted = max(float(FEWEST_IMAGES), FEWEST_DEGREES / width)
        while not self.ended.wait(PAUSE):
            n_images = self.images.n_written()
            if wanted <= n_images < self.images.n_images:
                self._process(n_images)
                wanted = MORE * n_images

    def _process(self, n_images: int) -> None:
        """One run; what it says goes into one line."""
        folder = Path(SO_FAR)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        assert self.images.experiment.scan is not None
        first = self.images.experiment.scan.image_range[0]
        template = self.images.imageset.template or self.images.file_of(0)[0]
        named = (
            f"template={Path(template).absolute()}" if "#" in Path(template).name else str(Path(template).absolute())
        )
        words = [
            named, f"image_range={first},{first + n_images - 1}", "import.format.growing=True", *self.words,
            f"output.json={RESULT}",
        ]  # fmt: skip
        with open(folder / ERRORS, "wb") as errors:
            child = subprocess.Popen(
                module_command("spindle.cli.main", "process", *words), cwd=folder,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, child.pid, 5)
        while child.poll() is None:
            if self.ended.wait(0.1):
                if not (folder / RESULT).exists():  # else it is about to end by itself
                    child.terminate()
                    child.wait()
                    return
                child.wait()
        self.context.log.info("Images 1 to %d so far: %s", n_images, _said(folder, child.returncode), extra=EVENT)


def _words(params: Any) -> list[str]:
    """What the user has changed, as words of a command line that works in another folder."""
    words = []
    for entry in walk(params):
        is_ours = entry.path.removeprefix("find_spots.") in _OF_WATCHING or entry.path in _OF_WATCHING
        if not entry.is_modified or is_ours or entry.path.startswith("run."):
            continue
        text = entry.text
        if "output." not in entry.path and isinstance(entry.value, str | Path) and Path(str(entry.value)).exists():
            text = str(Path(str(entry.value)).absolute())
        words.append(f"{entry.path}={text}")
    return words


def _said(folder: Path, code: int) -> str:
    """How a run ended, in one line."""
    try:
        steps = json.loads((folder / RESULT).read_text())["steps"]
    except (OSError, ValueError, KeyError):
        log = folder / "spindle.process.log"
        return (
            f"they could not be processed (exit code {code}); {log} says why" if log.exists() else f"exit code {code}"
        )
    index, merge = steps.get("index", {}), steps.get("merge", {})
    parts = [f"{100 * index.get('fraction_indexed', 0.0):.0f} % of the spots indexed"]
    if merge:
        parts.append(
            f"{merge['space_group']}, {100 * merge['completeness']:.0f} % complete to {merge['d_min']:.2f} A, "
            f"CC1/2 {merge['cc_half']:.3f}"
        )
        parts.append(str(folder / "merged.mtz"))
    return ", ".join(parts)
